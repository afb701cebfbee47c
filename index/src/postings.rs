//! Postings: sorted series refs, as stored in an index and as computed from those.

use tithon_chunks::put_uvarint;

use crate::IndexError;
use crate::SeriesRef;
use crate::cursor::Cursor;

/// A set of series of one block, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Postings {
    refs: Vec<u32>,
}

impl Postings {
    /// Takes refs that ascend strictly.
    pub(crate) fn from_sorted(refs: Vec<u32>) -> Postings {
        Postings { refs }
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.refs.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// The refs in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SeriesRef> + DoubleEndedIterator + Clone + '_ {
        self.refs.iter().map(|r| SeriesRef(*r))
    }

    /// The refs as plain numbers.
    pub fn as_u32s(&self) -> &[u32] {
        &self.refs
    }

    /// The same in few bytes: the differences of neighbours as varints, the first from 0.
    pub fn to_deltas(&self) -> Vec<u8> {
        let mut deltas = Vec::with_capacity(self.refs.len() + self.refs.len() / 4 + 5);
        let mut before = 0;
        for r in &self.refs {
            put_uvarint(u64::from(r - before), &mut deltas);
            before = *r;
        }
        deltas
    }

    /// Takes what [`Postings::to_deltas`] gives. Fails on anything else.
    pub fn from_deltas(deltas: &[u8]) -> Result<Postings, IndexError> {
        let mut cursor = Cursor::new(deltas, 0);
        let mut refs: Vec<u32> = Vec::with_capacity(deltas.len());
        while cursor.left() > 0 {
            let offset = cursor.offset();
            let delta = cursor.uvarint32("difference of postings")?;
            let next =
                refs.last().map_or(Some(delta), |before| before.checked_add(delta).filter(|_| delta > 0));
            let (what, found, expected) = ("difference of postings", u64::from(delta), "refs that ascend");
            refs.push(next.ok_or(IndexError::Invalid { what, offset, found, expected })?);
        }
        refs.shrink_to_fit();
        Ok(Postings { refs })
    }

    /// The `i`th series.
    pub fn get(&self, i: usize) -> Option<SeriesRef> {
        self.refs.get(i).copied().map(SeriesRef)
    }
}

/// Strictly ascending refs; others are sorted and freed of repetitions.
impl FromIterator<SeriesRef> for Postings {
    fn from_iter<I: IntoIterator<Item = SeriesRef>>(refs: I) -> Postings {
        let mut refs: Vec<u32> = refs.into_iter().map(|r| r.0).collect();
        if !refs.is_sorted_by(|a, b| a < b) {
            refs.sort_unstable();
            refs.dedup();
        }
        Postings { refs }
    }
}

/// The big-endian refs of a list as stored: `be32 length | be32 count | refs | CRC32C`, checksum verified.
pub(crate) fn stored_refs<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], IndexError> {
    let offset = cursor.offset();
    counted_refs(cursor.framed("postings list")?, offset)
}

/// As [`stored_refs`], the checksum not verified: for lists of which only a part is read.
pub(crate) fn unverified_refs<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], IndexError> {
    let offset = cursor.offset();
    let len = cursor.u32_be("postings list")?;
    let content = cursor.take(len as usize, "postings list")?;
    cursor.u32_be("postings list")?;
    counted_refs(content, offset)
}

fn counted_refs(content: &[u8], offset: u64) -> Result<&[u8], IndexError> {
    let mut inner = Cursor::new(content, offset + 4);
    let count = inner.u32_be("postings count")?;
    let refs = inner.take(inner.left(), "postings")?;
    if refs.len() as u64 != u64::from(count) * 4 {
        let (what, found) = ("postings count", u64::from(count));
        return Err(IndexError::Invalid { what, offset, found, expected: "the length of the list" });
    }
    Ok(refs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn deltas_come_back(refs in prop::collection::btree_set(any::<u32>(), 0..200), bits in 0u32..32) {
            let refs: std::collections::BTreeSet<u32> = refs.into_iter().map(|r| r >> bits).collect();
            let postings = Postings::from_sorted(refs.into_iter().collect());
            prop_assert_eq!(Postings::from_deltas(&postings.to_deltas()).unwrap(), postings);
        }

        #[test]
        fn any_bytes_give_refs_that_ascend(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(postings) = Postings::from_deltas(&bytes) {
                prop_assert!(postings.as_u32s().is_sorted_by(|a, b| a < b));
            }
        }
    }
}
