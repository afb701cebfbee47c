//! Expressions that accept few texts, written out.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

use super::go_class::fold;

/// Most texts a set may hold, and bytes in them, before an automaton is made instead.
const SET_MAX: usize = 20_000;
const SET_BYTES_MAX: usize = 1 << 20;

/// All texts that an expression accepts, when they are few.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) words: Vec<Vec<u8>>,
    /// Some letter stands for itself alone.
    pub(super) exact: bool,
    /// Some letter, in lower case, stands for all its cases.
    pub(super) folded: bool,
}

/// Words, sorted.
pub(super) type WordSet = Box<[Box<[u8]>]>;

impl Words {
    /// One word, which stands for itself.
    pub(super) fn one(word: &[u8]) -> Words {
        let exact = word.iter().any(|b| b.is_ascii_alphabetic() || !b.is_ascii());
        Words { words: vec![word.to_vec()], exact, folded: false }
    }

    /// The texts; `None` when they are many.
    pub(super) fn of(hir: &Hir) -> Option<Words> {
        match hir.kind() {
            HirKind::Empty => Some(Words::one(b"")),
            HirKind::Literal(literal) => Some(Words::one(&literal.0)),
            HirKind::Class(Class::Unicode(class)) => Words::of_class(class),
            HirKind::Concat(parts) => {
                parts.iter().try_fold(Words::one(b""), |words, part| words.then(&Words::of(part)?))
            }
            HirKind::Alternation(parts) => {
                let none = Words { words: vec![], exact: false, folded: false };
                parts.iter().try_fold(none, |words, part| words.or(Words::of(part)?))
            }
            HirKind::Repetition(repetition) => {
                let (sub, max) = (Words::of(&repetition.sub)?, repetition.max?.min(SET_MAX as u32));
                let mut words = Words { words: vec![], exact: false, folded: false };
                let mut power = Words::one(b"");
                for n in 0..=max {
                    if n >= repetition.min {
                        words = words.or(power.clone())?;
                    }
                    power = power.then(&sub)?;
                }
                Some(words)
            }
            _ => None,
        }
    }

    fn of_class(class: &ClassUnicode) -> Option<Words> {
        if let Some(letter) = folded_letter(class) {
            return Some(Words { words: vec![vec![letter]], exact: false, folded: true });
        }
        let size: usize = class.iter().map(|range| range.len()).sum();
        if size > 256 {
            return None;
        }
        let mut words = Words { words: vec![], exact: false, folded: false };
        for c in class.iter().flat_map(|range| range.start()..=range.end()) {
            words = words.or(Words::one(c.encode_utf8(&mut [0; 4]).as_bytes()))?;
        }
        Some(words)
    }

    /// The text, if there is one only.
    pub(super) fn only(mut self) -> Option<Box<[u8]>> {
        let word = self.words.pop()?;
        self.words.is_empty().then(|| word.into())
    }

    /// How many bytes the texts have, if there are several of them.
    pub(super) fn bytes_if_several(&self) -> usize {
        if self.words.len() == 1 { 0 } else { self.words.iter().map(|word| word.len() + 1).sum() }
    }

    /// Each of the texts with each of the others behind it; `None` when they are many.
    pub(super) fn then(mut self, next: &Words) -> Option<Words> {
        let n = self.words.len().checked_mul(next.words.len()).filter(|n| *n <= SET_MAX)?;
        if let [one] = next.words.as_slice() {
            self.words.iter_mut().for_each(|word| word.extend_from_slice(one));
        } else {
            let mut words = Vec::with_capacity(n);
            for a in &self.words {
                words.extend(next.words.iter().map(|b| [a.as_slice(), b].concat()));
            }
            self.words = words;
        }
        if self.words.iter().map(Vec::len).sum::<usize>() > SET_BYTES_MAX {
            return None;
        }
        (self.exact, self.folded) = (self.exact | next.exact, self.folded | next.folded);
        Some(self)
    }

    fn or(mut self, other: Words) -> Option<Words> {
        self.words.extend(other.words);
        (self.exact, self.folded) = (self.exact | other.exact, self.folded | other.folded);
        (self.words.len() <= SET_MAX).then_some(self)
    }

    /// The texts, sorted, and whether they are in lower case and stand for all cases of their letters; `None` when that holds
    /// for some of the letters only.
    pub(super) fn into_set(self) -> Option<(WordSet, bool)> {
        if self.exact && self.folded {
            return None;
        }
        let mut words: Vec<Box<[u8]>> = self.words.into_iter().map(Into::into).collect();
        words.sort_unstable();
        words.dedup();
        Some((words.into(), self.folded))
    }
}

/// The ASCII letter, in lower case, whose cases the class holds and nothing else.
fn folded_letter(class: &ClassUnicode) -> Option<u8> {
    let upper = class.ranges().first()?.start();
    if !upper.is_ascii_uppercase() {
        return None;
    }
    let cases = fold(ClassUnicode::new([ClassUnicodeRange::new(upper, upper)]));
    (*class == cases).then(|| upper.to_ascii_lowercase() as u8)
}
