//! Compiled expressions that live beyond one matcher, so that the same pattern is compiled once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::budget::AUTOMATA_MAX;
use super::text::TextTest;

/// Most patterns that are kept.
const KEPT_MAX: usize = 256;
/// Most bytes that they and their automata take: half of what all automata may, the rest is for patterns in use.
const KEPT_BYTES_MAX: usize = AUTOMATA_MAX / 2;
/// Longest pattern that is kept, bytes.
const KEPT_PATTERN_MAX: usize = 1 << 20;

/// The patterns used last.
#[derive(Default)]
pub(super) struct Kept {
    tests: HashMap<Box<[u8]>, KeptTest>,
    bytes: usize,
    /// Counts uses: the greater, the later.
    uses: u64,
}

struct KeptTest {
    test: Arc<TextTest>,
    bytes: usize,
    /// The number of its last use.
    used: u64,
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
    if let TextTest::Automaton(automaton) = &*test {
        kept().get_or_insert_default().keep(pattern, &test, automaton.bytes_max());
    }
    Ok(test)
}

impl Kept {
    fn get(&mut self, pattern: &[u8]) -> Option<Arc<TextTest>> {
        self.uses += 1;
        let kept = self.tests.get_mut(pattern)?;
        kept.used = self.uses;
        Some(Arc::clone(&kept.test))
    }

    /// Keeps the compiled form of a pattern, which takes at most so many bytes.
    fn keep(&mut self, pattern: &[u8], test: &Arc<TextTest>, bytes: usize) {
        if pattern.len() > KEPT_PATTERN_MAX {
            return;
        }
        let bytes = bytes + pattern.len();
        let kept = KeptTest { test: Arc::clone(test), bytes, used: self.uses };
        let before = self.tests.insert(pattern.into(), kept);
        self.bytes = self.bytes + bytes - before.map_or(0, |before| before.bytes);
        while self.tests.len() > KEPT_MAX || self.bytes > KEPT_BYTES_MAX {
            let oldest = self.tests.iter().min_by_key(|(_, kept)| kept.used);
            let Some(oldest) = oldest.map(|(pattern, _)| pattern.clone()) else { return };
            self.bytes -= self.tests.remove(&oldest).map_or(0, |kept| kept.bytes);
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
            kept.keep(format!("pattern {i}").as_bytes(), &test, 100);
            assert!(kept.get(b"pattern 0").is_some());
        }
        assert_eq!(kept.tests.len(), KEPT_MAX);
        assert!(kept.get(b"pattern 5").is_none());
        kept.keep(&vec![b'x'; KEPT_PATTERN_MAX + 1], &test, 100);
        assert_eq!(kept.tests.len(), KEPT_MAX);
        kept.keep(b"large", &test, KEPT_BYTES_MAX - 2000);
        assert!(kept.tests.len() < 20 && kept.get(b"large").is_some());
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
