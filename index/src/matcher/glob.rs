//! Literals with any text between them.

use memchr::memmem::Finder;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::words::{Words, folded_letter};

/// `prefix.*a.*b.*suffix`
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    pub(crate) prefix: Box<[u8]>,
    pub(crate) middle: Box<[Finder<'static>]>,
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
    /// The literals and gaps that an expression is made of; with `fold`, literals in which no letter has a case.
    pub(super) fn of(hir: &Hir, fold: bool) -> Option<Glob> {
        let parts = match hir.kind() {
            HirKind::Concat(parts) => parts.as_slice(),
            HirKind::Empty => &[],
            _ => std::slice::from_ref(hir),
        };
        // Literals before, between and behind the gaps.
        let (mut literals, mut more) = (vec![vec![]], 0);
        for part in parts {
            match part.kind() {
                HirKind::Literal(literal) if fold && Words::one(&literal.0).exact => return None,
                HirKind::Literal(literal) => literals.last_mut()?.extend_from_slice(&literal.0),
                HirKind::Class(Class::Unicode(class)) if fold => {
                    literals.last_mut()?.push(folded_letter(class)?);
                }
                HirKind::Repetition(gap) if gap.max.is_none() && gap.min <= 1 && is_any(&gap.sub) => {
                    more += gap.min as usize;
                    literals.push(vec![]);
                }
                _ => return None,
            }
        }
        if more > 0 && literals.len() > 2 {
            return None;
        }
        let prefix = literals.remove(0).into();
        let suffix = literals.pop();
        let middle = literals.iter().filter(|l| !l.is_empty()).map(|l| Finder::new(l).into_owned()).collect();
        match suffix {
            Some(suffix) => Some(Glob { prefix, middle, suffix: suffix.into(), more }),
            // Without a gap there is no room between prefix and suffix: `usize::MAX` says so.
            None => Some(Glob { prefix, middle, suffix: [].into(), more: usize::MAX }),
        }
    }

    pub(super) fn is_literal(&self) -> bool {
        self.more == usize::MAX
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
        for finder in &self.middle {
            match finder.find(rest) {
                Some(at) => rest = &rest[at + finder.needle().len()..],
                None => return false,
            }
        }
        true
    }

    /// The longest literal, which every accepted text holds; `None` when there is none.
    pub(crate) fn longest(&self) -> Option<&[u8]> {
        let middle = self.middle.iter().map(Finder::needle);
        let all = middle.chain([&*self.prefix, &*self.suffix]);
        all.max_by_key(|literal| literal.len()).filter(|literal| !literal.is_empty())
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
