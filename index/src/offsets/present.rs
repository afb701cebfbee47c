//! Which values of a label some series of a set have, found in the postings lists of the values: the entries of the
//! series are not read.

use std::ops::Range;

use super::LabelValues;
use crate::cursor::Cursor;
use crate::postings::{stored_refs, unverified_refs};
use crate::{IndexError, Postings, Texts, sets};

/// A bitmap over a set of series is made where it takes at most this many words a series.
const WORDS_PER_REF: usize = 2;
/// Lists of more bytes are looked at up to the first series of the set only, and their checksums are not verified.
const VERIFIED_BYTES: u64 = 4096;

/// A set of series that many lists are compared with.
#[derive(Debug)]
pub struct SeriesSet<'a> {
    refs: &'a [u32],
    /// Bit `i` stands for the series `first + i`; empty where the set is too sparse.
    bits: Vec<u64>,
    first: u32,
}

impl<'a> SeriesSet<'a> {
    /// The set of these series.
    pub fn new(postings: &'a Postings) -> SeriesSet<'a> {
        let refs = postings.as_u32s();
        let (first, last) = (refs.first().copied().unwrap_or(0), refs.last().copied().unwrap_or(0));
        let words = (last - first) as usize / 64 + 1;
        if words > refs.len().saturating_mul(WORDS_PER_REF) {
            return SeriesSet { refs, bits: Vec::new(), first };
        }
        let mut bits = vec![0u64; words];
        for series in refs {
            let bit = series - first;
            bits[bit as usize / 64] |= 1 << (bit % 64);
        }
        SeriesSet { refs, bits, first }
    }

    fn has(&self, series: u32) -> bool {
        let Some(bit) = series.checked_sub(self.first) else { return false };
        self.bits.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Whether the set has a series of a stored list.
    fn meets(&self, list: &[u8]) -> bool {
        let mut list = list.as_chunks::<4>().0;
        if !self.bits.is_empty() {
            return list.iter().any(|series| self.has(u32::from_be_bytes(*series)));
        }
        // Each leaps to where the other one is.
        let mut refs = self.refs;
        while let Some(series) = list.first().map(|bytes| u32::from_be_bytes(*bytes)) {
            refs = &refs[sets::seek(refs, |r| *r < series)..];
            match refs.first() {
                None => return false,
                Some(r) if *r == series => return true,
                Some(r) => list = &list[sets::seek(list, |bytes| u32::from_be_bytes(*bytes) < *r)..],
            }
        }
        false
    }
}

impl LabelValues<'_> {
    /// Those of the values left that a series of `set` has, at most `most`. `lists` are the bytes of the index at `place`,
    /// which hold the lists of all values left ([`LabelValues::whole`]).
    pub fn present(
        self,
        set: &SeriesSet<'_>,
        lists: &[u8],
        place: &Range<u64>,
        most: usize,
    ) -> Result<Texts, IndexError> {
        let mut out = Texts::default();
        for value in self {
            let value = value?;
            if out.len() == most {
                break;
            }
            let at = usize::try_from(value.list.start.saturating_sub(place.start)).unwrap_or(usize::MAX);
            let mut cursor = Cursor::at(lists, at, place.start);
            let is_long = value.list.end - value.list.start > VERIFIED_BYTES;
            let list = if is_long { unverified_refs(&mut cursor)? } else { stored_refs(&mut cursor)? };
            if set.meets(list) {
                out.push(value.value);
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::SeriesRef;

    fn refs() -> impl Strategy<Value = BTreeSet<u32>> {
        prop_oneof![
            proptest::collection::btree_set(0u32..200, 0..60),
            proptest::collection::btree_set(any::<u32>(), 0..60)
        ]
    }

    proptest! {
        #[test]
        fn sets_meet_as_sets_do(set in refs(), list in refs()) {
            let postings: Postings = set.iter().map(|r| SeriesRef(*r)).collect();
            let stored: Vec<u8> = list.iter().flat_map(|r| r.to_be_bytes()).collect();
            prop_assert_eq!(SeriesSet::new(&postings).meets(&stored), !set.is_disjoint(&list));
        }
    }
}
