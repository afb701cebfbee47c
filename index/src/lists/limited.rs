//! The first series only: all lists are evaluated window by window, each window some times as wide as the one before,
//! until there are as many series as are wanted.

use std::ops::Range;

use bytes::Bytes;

use super::Lists;
use crate::cursor::Cursor;
use crate::postings::{stored_refs, unverified_refs};
use crate::{IndexError, sets};

/// The first `limit` series that are in a list of each group of `add`, the group with the fewest refs first, and in none
/// of `remove`. Of lists longer than a page only what is needed is read, and their checksums are not verified.
pub(crate) fn first_series(
    add: &[Lists],
    remove: &[Lists],
    fetched: &[Bytes],
    limit: usize,
) -> Result<Vec<u32>, IndexError> {
    let open = |lists: &Lists| Parts::open(lists, fetched);
    let mut add = add.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut remove = remove.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let Some((first, others)) = add.split_first_mut() else { return Ok(vec![]) };
    let mut found = Vec::new();
    for window in Windows::over(first, limit) {
        let mut some = first.take(&window);
        for (parts, wanted) in
            others.iter_mut().map(|p| (p, true)).chain(remove.iter_mut().map(|p| (p, false)))
        {
            if some.is_empty() {
                break;
            }
            let these = parts.take(&window);
            some = if wanted { sets::intersect(&some, &these) } else { sets::difference(&some, &these) };
        }
        found.append(&mut some);
        if found.len() >= limit {
            found.truncate(limit);
            break;
        }
    }
    Ok(found)
}

/// A list this long is not read whole to verify its checksum.
const VERIFIED_BYTES: usize = 4096;

/// What is left of the lists of a group.
struct Parts<'f> {
    lists: Vec<&'f [[u8; 4]]>,
}

impl<'f> Parts<'f> {
    fn open(group: &Lists, fetched: &'f [Bytes]) -> Result<Parts<'f>, IndexError> {
        let mut lists = Vec::with_capacity(group.lists);
        let read = |cursor: &mut Cursor<'f>| {
            let list = unverified_refs(&mut cursor.clone())?;
            if list.len() > VERIFIED_BYTES { unverified_refs(cursor) } else { stored_refs(cursor) }
        };
        group.each_by(fetched, read, |refs| lists.push(refs.as_chunks::<4>().0))?;
        lists.retain(|list| !list.is_empty());
        Ok(Parts { lists })
    }

    /// Takes the refs of a window out of the lists, and drops those before it.
    fn take(&mut self, window: &Range<u64>) -> Vec<u32> {
        let number = |stored: &[u8; 4]| u64::from(u32::from_be_bytes(*stored));
        let mut refs = Vec::new();
        for list in &mut self.lists {
            let (_, list_left) = list.split_at(sets::seek(list, |stored| number(stored) < window.start));
            let (inside, behind) =
                list_left.split_at(sets::seek(list_left, |stored| number(stored) < window.end));
            sets::expand(inside.as_flattened(), &mut refs);
            *list = behind;
        }
        self.lists.retain(|list| !list.is_empty());
        sets::normalize(refs)
    }
}

/// Windows over all refs, each some times as wide as the one before.
struct Windows {
    left: Range<u64>,
    width: u64,
}

/// The first window should hold so many times the refs wanted, each further one is so many times as wide.
const GROWTH: u64 = 4;

impl Windows {
    fn over(parts: &Parts<'_>, limit: usize) -> Windows {
        let number = |stored: Option<&[u8; 4]>| stored.map(|stored| u64::from(u32::from_be_bytes(*stored)));
        let start = parts.lists.iter().filter_map(|list| number(list.first())).min().unwrap_or(0);
        let end = parts.lists.iter().filter_map(|list| number(list.last())).max().map_or(0, |last| last + 1);
        let refs: u64 = parts.lists.iter().map(|list| list.len() as u64).sum();
        let span = u128::from(end.saturating_sub(start)) * u128::from(GROWTH) * limit as u128;
        let width = u64::try_from(span / u128::from(refs.max(1))).unwrap_or(u64::MAX).max(1);
        Windows { left: start..end, width }
    }
}

impl Iterator for Windows {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        if self.left.is_empty() {
            return None;
        }
        let end = self.left.start.saturating_add(self.width).min(self.left.end);
        let window = self.left.start..end;
        (self.left.start, self.width) = (end, self.width.saturating_mul(GROWTH));
        Some(window)
    }
}
