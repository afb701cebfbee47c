//! Literals with any text between them.

use aho_corasick::{AhoCorasick, packed};
use memchr::memmem::Finder;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::words::Words;

/// `prefix.*a.*(b|c).*suffix`
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    pub(crate) prefix: Box<[u8]>,
    pub(crate) middle: Box<[Needle]>,
    pub(crate) suffix: Box<[u8]>,
    /// Bytes that the text must have beyond the literals: 1 for `.+`.
    pub(crate) more: usize,
}

/// As `starts_with`, which asks `memcmp` even about nothing; with masked loads and the dangling pointer of an empty
/// slice that takes 250 ns.
pub(super) fn begins(text: &[u8], prefix: &[u8]) -> bool {
    prefix.is_empty() || text.starts_with(prefix)
}

fn ends(text: &[u8], suffix: &[u8]) -> bool {
    suffix.is_empty() || text.ends_with(suffix)
}

impl Glob {
    /// The literals and gaps that an expression is made of; with `fold`, literals in which no letter has a case. Between two gaps
    /// one of some literals may be asked for.
    pub(super) fn of(hir: &Hir, fold: bool) -> Option<Glob> {
        let parts = match hir.kind() {
            HirKind::Concat(parts) => parts.as_slice(),
            HirKind::Empty => &[],
            _ => std::slice::from_ref(hir),
        };
        // The texts before, between and behind the gaps, and the bytes of those that are several.
        let (mut texts, mut more, mut bytes) = (vec![Words::one(b"")], 0, 0);
        for part in parts {
            match part.kind() {
                HirKind::Repetition(gap) if gap.max.is_none() && gap.min <= 1 && is_any(&gap.sub) => {
                    more += gap.min as usize;
                    bytes += texts.last()?.bytes_if_several();
                    texts.push(Words::one(b""));
                }
                _ => {
                    let words = Words::of(part)?;
                    if if fold { words.exact } else { words.folded } {
                        return None;
                    }
                    let last = texts.pop()?.then(&words)?;
                    if bytes + last.bytes_if_several() > NEEDLES_BYTES_MAX {
                        return None;
                    }
                    texts.push(last);
                }
            }
        }
        if more > 0 && texts.len() > 2 {
            return None;
        }
        let prefix = texts.remove(0).only()?;
        let suffix = texts.pop().map(Words::only);
        let middle = texts.into_iter().map(|words| Needle::of(words, fold)).collect::<Option<Vec<_>>>()?;
        let middle = middle.into_iter().filter(|needle| !needle.is_everywhere()).collect();
        match suffix {
            Some(suffix) => Some(Glob { prefix, middle, suffix: suffix?, more }),
            // Without a gap there is no room between prefix and suffix: `usize::MAX` says so.
            None => Some(Glob { prefix, middle, suffix: [].into(), more: usize::MAX }),
        }
    }

    pub(super) fn is_literal(&self) -> bool {
        self.more == usize::MAX
    }

    /// Whether every text is accepted that is not empty.
    pub(crate) fn is_everything(&self) -> bool {
        self.prefix.is_empty() && self.middle.is_empty() && self.suffix.is_empty()
    }

    /// Whether it is a prefix and anything behind.
    pub(crate) fn is_prefix(&self) -> bool {
        self.more == 0 && self.middle.is_empty() && self.suffix.is_empty()
    }

    pub(crate) fn accepts(&self, text: &[u8]) -> bool {
        if text.len() < self.prefix.len() + self.suffix.len() + self.more {
            return false;
        }
        if !begins(text, &self.prefix) || !ends(text, &self.suffix) {
            return false;
        }
        let mut rest = &text[self.prefix.len()..text.len() - self.suffix.len()];
        for needle in &self.middle {
            match needle.end_in(rest) {
                Some(end) => rest = &rest[end..],
                None => return false,
            }
        }
        true
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        128 + self.middle.iter().map(Needle::bytes).sum::<usize>() as u64
    }

    /// Whether a text holds all that is asked for between gaps, in any order.
    pub(crate) fn may_be_in(&self, text: &[u8]) -> bool {
        self.middle.iter().all(|needle| needle.end_in(text).is_some())
    }

    /// The longest literal, which every accepted text holds; `None` when there is none.
    pub(crate) fn longest(&self) -> Option<&[u8]> {
        let middle = self.middle.iter().filter_map(|needle| match needle {
            Needle::One(finder) => Some(finder.needle()),
            Needle::Even(_) | Needle::Any(_) => None,
        });
        let all = middle.chain([&*self.prefix, &*self.suffix]);
        all.max_by_key(|literal| literal.len()).filter(|literal| !literal.is_empty())
    }
}

/// What is looked for between two gaps.
#[derive(Clone, Debug)]
pub(crate) enum Needle {
    One(Finder<'static>),
    /// One of some literals of the same length.
    Even(packed::Searcher),
    Any(AhoCorasick),
}

/// Most literals of which one is looked for, before an automaton is made instead.
const NEEDLES_MAX: usize = 256;
/// Most bytes of all such literals of an expression: what searches for them takes up to a kilobyte for each.
const NEEDLES_BYTES_MAX: usize = 4 << 10;

impl Needle {
    /// One of some texts; `None` where they are too many, or some with `fold`.
    fn of(words: Words, fold: bool) -> Option<Needle> {
        let words = words.words;
        match words.as_slice() {
            [one] => Some(Needle::One(Finder::new(one).into_owned())),
            some if fold || some.len() > NEEDLES_MAX => None,
            some if some.iter().any(Vec::is_empty) => Some(Needle::One(Finder::new(b"").into_owned())),
            some => {
                // What ends first is wanted, so that the most is left for the rest: of texts of one length that is the leftmost,
                // which can be found many bytes at a time.
                let are_even = some.iter().all(|word| word.len() == some[0].len());
                let packed = are_even.then(|| packed::Searcher::new(some)).flatten();
                match packed {
                    Some(searcher) => Some(Needle::Even(searcher)),
                    None => AhoCorasick::new(some).ok().map(Needle::Any),
                }
            }
        }
    }

    /// Whether every text holds it.
    fn is_everywhere(&self) -> bool {
        matches!(self, Needle::One(finder) if finder.needle().is_empty())
    }

    /// The end of the occurrence that ends first.
    fn end_in(&self, text: &[u8]) -> Option<usize> {
        match self {
            Needle::One(finder) => finder.find(text).map(|at| at + finder.needle().len()),
            Needle::Even(searcher) => searcher.find(text).map(|found| found.end()),
            Needle::Any(automaton) => automaton.find(text).map(|found| found.end()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Needle::One(finder) => finder.needle().len(),
            Needle::Even(searcher) => searcher.memory_usage(),
            Needle::Any(automaton) => automaton.memory_usage(),
        }
    }
}

fn is_any(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX)
        }
        _ => false,
    }
}
