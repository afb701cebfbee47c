//! The series that follow others in lists that were read. Entries lie in the order of their series, so the entry of a
//! series ends at the latest where the entry of any later series begins.

use bytes::Bytes;

use super::Lists;
use crate::postings::unverified_refs;
use crate::{IndexError, sets};

/// Groups of more lists than this are not searched.
const LISTS_MAX: usize = 16;

/// For each of `found`, which ascend, the least greater ref in the lists of `groups`; `None` if there is none.
pub(crate) fn next_refs<'a>(
    groups: impl Iterator<Item = &'a Lists>,
    fetched: &[Bytes],
    found: &[u32],
) -> Result<Vec<Option<u32>>, IndexError> {
    let mut next: Vec<Option<u32>> = vec![None; found.len()];
    for group in groups.filter(|group| group.lists <= LISTS_MAX) {
        group.each_by(fetched, unverified_refs, |stored| {
            narrow(&mut next, found, stored.as_chunks::<4>().0)
        })?;
    }
    Ok(next)
}

/// Takes into account the refs of one list as stored, big-endian and ascending.
fn narrow(next: &mut [Option<u32>], found: &[u32], mut list: &[[u8; 4]]) {
    for (next, found) in next.iter_mut().zip(found) {
        list = &list[sets::seek(list, |stored| u32::from_be_bytes(*stored) <= *found)..];
        let Some(first) = list.first().map(|stored| u32::from_be_bytes(*stored)) else { return };
        *next = Some(next.map_or(first, |known| known.min(first)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_least_greater_ref_of_all_lists(
            found in prop::collection::btree_set(0_u32..60, 0..20),
            lists in prop::collection::vec(prop::collection::btree_set(0_u32..60, 0..20), 0..4),
        ) {
            let found: Vec<u32> = found.into_iter().collect();
            let mut next = vec![None; found.len()];
            for list in &lists {
                let stored: Vec<[u8; 4]> = list.iter().map(|r| r.to_be_bytes()).collect();
                narrow(&mut next, &found, &stored);
            }
            let behind = |r: &u32| lists.iter().flat_map(|list| list.range(r + 1..).next()).min().copied();
            prop_assert_eq!(next, found.iter().map(behind).collect::<Vec<_>>());
        }
    }
}
