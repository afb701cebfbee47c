//! From matchers to series without I/O: a plan says which postings lists it needs and is handed their bytes.
//!
//! A matcher that the empty string does not satisfy asks for series having one of the values it accepts; one that the
//! empty string satisfies takes away the series having one of the values it refuses. So an absent label equals an
//! empty one. Prometheus `tsdb/querier.go`, `PostingsForMatchers`; Thanos `pkg/store/bucket.go`, posting groups.

use std::ops::Range;

use bytes::Bytes;

use crate::lists::Lists;
use crate::{IndexError, IndexHeader, Matcher, Postings, sets};

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

impl PostingsPlan {
    /// Plans for the series that satisfy all matchers, all series when there is no matcher; `limit` cuts the result
    /// (0: no limit).
    pub fn new(header: &IndexHeader, matchers: &[Matcher], limit: usize) -> Result<PostingsPlan, IndexError> {
        let mut plan = PostingsPlan { ranges: vec![], add: vec![], remove: vec![], limit, nothing: false };
        for matcher in matchers {
            if matcher.matches_empty() {
                let group = Lists::select(header.offsets(), matcher, false)?;
                if !group.is_empty() {
                    plan.remove.push(group);
                }
            } else {
                let group = Lists::select(header.offsets(), matcher, true)?;
                if group.is_empty() {
                    plan.nothing = true;
                    (plan.add, plan.remove) = (vec![], vec![]);
                    return Ok(plan);
                }
                plan.add.push(group);
            }
        }
        if plan.add.is_empty() {
            match header.postings_range(b"", b"")? {
                Some(range) => plan.add.push(Lists::whole(range, 1)),
                None => plan.nothing = true,
            }
        }
        plan.add.sort_by_key(Lists::refs);
        plan.collect_ranges();
        Ok(plan)
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
        let mut found: Option<Vec<u32>> = None;
        for group in &self.add {
            let refs = group.union(fetched)?;
            let both = match found {
                Some(found) => sets::intersect(&found, &refs),
                None => refs,
            };
            if both.is_empty() {
                return Ok(Postings::default());
            }
            found = Some(both);
        }
        let mut found = found.unwrap_or_default();
        for group in &self.remove {
            found = sets::difference(&found, &group.union(fetched)?);
        }
        if self.limit > 0 {
            found.truncate(self.limit);
        }
        Ok(Postings::from_sorted(found))
    }

    fn check_fetched(&self, fetched: &[Bytes]) -> Result<(), IndexError> {
        let (got, expected) = (fetched.len() as u64, self.ranges.len() as u64);
        if got != expected {
            return Err(IndexError::Fetched { what: "ranges", got, expected });
        }
        for (range, bytes) in self.ranges.iter().zip(fetched) {
            let (got, expected) = (bytes.len() as u64, range.end - range.start);
            if got != expected {
                return Err(IndexError::Fetched { what: "bytes of a range", got, expected });
            }
        }
        Ok(())
    }
}
