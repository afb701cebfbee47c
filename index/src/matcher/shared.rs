//! Compiled expressions that live beyond one matcher, so that the same pattern is compiled once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::text::TextTest;

/// Most patterns that are kept, and bytes of them as written.
const KEPT_MAX: usize = 256;
const KEPT_TEXT_MAX: usize = 4 << 20;

/// The patterns used last.
#[derive(Default)]
pub(super) struct Kept {
    tests: HashMap<Box<[u8]>, (Arc<TextTest>, u64)>,
    text_bytes: usize,
    /// Counts uses: the greater, the later.
    uses: u64,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// The compiled form of a pattern: one that is kept, or else what `compile` makes of it, which is kept when it is costly.
pub(super) fn compiled<E>(
    pattern: &[u8],
    compile: impl FnOnce() -> Result<TextTest, E>,
) -> Result<Arc<TextTest>, E> {
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(test) = kept().get_or_insert_default().get(pattern) {
        return Ok(test);
    }
    let test = Arc::new(compile()?);
    if matches!(*test, TextTest::Automaton(_)) {
        kept().get_or_insert_default().keep(pattern, &test);
    }
    Ok(test)
}

impl Kept {
    fn get(&mut self, pattern: &[u8]) -> Option<Arc<TextTest>> {
        self.uses += 1;
        let (test, used) = self.tests.get_mut(pattern)?;
        *used = self.uses;
        Some(Arc::clone(test))
    }

    fn keep(&mut self, pattern: &[u8], test: &Arc<TextTest>) {
        if pattern.len() > KEPT_TEXT_MAX / 4 {
            return;
        }
        self.text_bytes += pattern.len();
        if self.tests.insert(pattern.into(), (Arc::clone(test), self.uses)).is_some() {
            self.text_bytes -= pattern.len();
        }
        while self.tests.len() > KEPT_MAX || self.text_bytes > KEPT_TEXT_MAX {
            let oldest = self.tests.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(pattern, _)| pattern.clone()) else { return };
            self.tests.remove(&oldest);
            self.text_bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_used_last_are_kept() {
        let mut kept = Kept::default();
        let test = Arc::new(TextTest::compile(b"a.c|b[0-9]+").unwrap());
        for i in 0..KEPT_MAX + 10 {
            kept.keep(format!("pattern {i}").as_bytes(), &test);
            assert!(kept.get(b"pattern 0").is_some());
        }
        assert_eq!(kept.tests.len(), KEPT_MAX);
        assert!(kept.get(b"pattern 5").is_none());
        kept.keep(&vec![b'x'; KEPT_TEXT_MAX], &test);
        assert_eq!(kept.tests.len(), KEPT_MAX);
    }

    #[test]
    fn equal_patterns_are_compiled_once() {
        let compile = || TextTest::compile(b"shared.[0-9]+x");
        let one = compiled(b"shared.[0-9]+x", compile).unwrap();
        let other = compiled(b"shared.[0-9]+x", || -> Result<TextTest, _> { panic!("compiled twice") });
        let other: Result<_, String> = other;
        assert!(Arc::ptr_eq(&one, &other.unwrap()));
    }
}
