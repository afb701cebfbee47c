//! From matchers to series without I/O: a plan says which postings lists it needs and is handed their bytes.
//!
//! A matcher that the empty string does not satisfy asks for series having one of the values it accepts; one that the
//! empty string satisfies takes away the series having one of the values it refuses. So an absent label equals an
//! empty one. Prometheus `tsdb/querier.go`, `PostingsForMatchers`; Thanos `pkg/store/bucket.go`, posting groups.

use std::ops::Range;

use bytes::Bytes;

use crate::lists::{Lists, first_series, next_refs};
use crate::{IndexError, IndexHeader, Matcher, Postings, SeriesRef};

/// Which postings lists decide which series match, and how.
#[derive(Clone, Debug)]
pub struct PostingsPlan {
    ranges: Vec<Range<u64>>,
    /// Series must be in each of these; the fewest first.
    add: Vec<Lists>,
    /// And in none of these.
    remove: Vec<Lists>,
    limit: usize,
    nothing: bool,
}

/// A plan being made, some matchers at a time: a pattern that is asked of each value of a large label takes long.
#[derive(Clone, Debug, Default)]
pub struct Planning {
    /// The lists that the matchers looked at ask for.
    add: Vec<Lists>,
    remove: Vec<Lists>,
    /// How many matchers have been looked at.
    looked: usize,
    nothing: bool,
}

impl Planning {
    /// Looks at matchers up to the next one that is costly; whether there are more. Header and matchers are the same at
    /// every step.
    pub fn step(&mut self, header: &IndexHeader, matchers: &[Matcher]) -> Result<bool, IndexError> {
        let all = header.postings_range(b"", b"")?.map(|range| Lists::whole(range, 1));
        while let Some(matcher) = matchers.get(self.looked).filter(|_| !self.nothing) {
            let is_remove = matcher.matches_empty();
            let lists = Lists::select(header.offsets(), matcher, !is_remove)?;
            // The lists of a name share no series: as many refs as there are series are all series.
            let every = all.as_ref().is_some_and(|all| all.refs() == lists.refs());
            match (is_remove, lists.is_empty()) {
                (false, true) => self.nothing = true,
                (true, false) if every => self.nothing = true,
                (true, false) => self.remove.push(lists),
                (false, false) if !every => self.add.push(lists),
                _ => {}
            }
            self.looked += 1;
            if matcher.is_costly() && self.looked < matchers.len() {
                return Ok(!self.nothing);
            }
        }
        Ok(false)
    }

    /// The plan; `limit` as in [`PostingsPlan::new`].
    pub fn finish(self, header: &IndexHeader, limit: usize) -> Result<PostingsPlan, IndexError> {
        let mut plan =
            PostingsPlan { ranges: vec![], add: vec![], remove: vec![], limit, nothing: self.nothing };
        if plan.nothing {
            return Ok(plan);
        }
        match header.postings_range(b"", b"")? {
            Some(all) if self.add.is_empty() => plan.add.push(Lists::whole(all, 1)),
            None => plan.nothing = true,
            _ => {}
        }
        let sorted = |mut lists: Vec<Lists>| {
            lists.sort_by_key(Lists::refs);
            lists
        };
        plan.add.extend(sorted(self.add));
        plan.remove.extend(sorted(self.remove));
        plan.collect_ranges();
        Ok(plan)
    }
}

impl PostingsPlan {
    /// Plans for the series that satisfy all matchers, all series when there is no matcher; `limit` cuts the result
    /// (0: no limit), and what lies behind the last series wanted is not looked at.
    pub fn new(header: &IndexHeader, matchers: &[Matcher], limit: usize) -> Result<PostingsPlan, IndexError> {
        let mut planning = Planning::default();
        while planning.step(header, matchers)? {}
        planning.finish(header, limit)
    }

    /// Gives each distinct range a slot, in the order of the file.
    fn collect_ranges(&mut self) {
        let runs = || self.add.iter().chain(&self.remove).flat_map(|group| group.runs());
        let mut ranges: Vec<Range<u64>> = runs().map(|run| run.range.clone()).collect();
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges.dedup();
        for run in self.add.iter_mut().chain(&mut self.remove).flat_map(|group| group.runs_mut()) {
            let key = (run.range.start, run.range.end);
            run.slot = ranges.partition_point(|range| (range.start, range.end) < key);
        }
        self.ranges = ranges;
    }

    /// Byte ranges of the index to fetch, ascending by start, each at most once.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The series that match, given the bytes of [`PostingsPlan::ranges`] in their order.
    pub fn resolve(&self, fetched: &[Bytes]) -> Result<Postings, IndexError> {
        self.check_fetched(fetched)?;
        if self.nothing {
            return Ok(Postings::default());
        }
        if self.limit > 0 {
            return first_series(&self.add, &self.remove, fetched, self.limit).map(Postings::from_sorted);
        }
        let Some((first, others)) = self.add.split_first() else { return Ok(Postings::default()) };
        let mut found = first.union(fetched)?;
        for (lists, wanted) in others.iter().map(|l| (l, true)).chain(self.remove.iter().map(|l| (l, false)))
        {
            if found.is_empty() {
                break;
            }
            found = lists.restrict(found, fetched, wanted)?;
        }
        Ok(Postings::from_sorted(found))
    }

    /// For each series that [`PostingsPlan::resolve`] found, the nearest one behind it in the lists that were read, or
    /// `None`. The entry of a series ends at the latest where that one's begins. Long unions of lists are not searched.
    pub fn next_series(
        &self,
        fetched: &[Bytes],
        found: &Postings,
    ) -> Result<Vec<Option<SeriesRef>>, IndexError> {
        self.check_fetched(fetched)?;
        let next = next_refs(self.add.iter().chain(&self.remove), fetched, found.as_u32s())?;
        Ok(next.into_iter().map(|next| next.map(SeriesRef)).collect())
    }

    fn check_fetched(&self, fetched: &[Bytes]) -> Result<(), IndexError> {
        let (got, expected) = (fetched.len() as u64, self.ranges.len() as u64);
        if got != expected {
            return Err(IndexError::Fetched { what: "ranges", got, expected });
        }
        for (range, bytes) in self.ranges.iter().zip(fetched) {
            let (got, expected) = (bytes.len() as u64, range.end - range.start);
            if got < expected {
                let (what, offset) = ("postings list", range.start);
                return Err(IndexError::Truncated { what, offset, needed: expected, left: got });
            }
            if got != expected {
                return Err(IndexError::Fetched { what: "bytes of a range", got, expected });
            }
        }
        Ok(())
    }
}
