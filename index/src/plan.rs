//! From matchers to series without I/O: a plan says which postings lists it needs and is handed their bytes.
//!
//! A matcher that the empty string does not satisfy asks for series having one of the values it accepts; one that the
//! empty string satisfies takes away the series having one of the values it refuses. So an absent label equals an
//! empty one. Prometheus `tsdb/querier.go`, `PostingsForMatchers`; Thanos `pkg/store/bucket.go`, posting groups.

use std::ops::Range;

use bytes::Bytes;

use crate::cursor::Cursor;
use crate::postings::stored_refs;
use crate::{IndexError, IndexHeader, LabelValue, MatchOp, Matcher, Postings, sets};

/// Which postings lists decide which series match, and how.
#[derive(Clone, Debug)]
pub struct PostingsPlan {
    ranges: Vec<Range<u64>>,
    /// Series must be in each of these; the fewest first.
    add: Vec<Group>,
    /// And in none of these.
    remove: Vec<Group>,
    limit: usize,
    nothing: bool,
}

/// Lists whose union one matcher asks for.
#[derive(Clone, Debug, Default)]
struct Group {
    runs: Vec<Run>,
    /// Refs in all lists together.
    refs: u64,
}

/// Lists that lie one behind the other.
#[derive(Clone, Debug)]
struct Run {
    range: Range<u64>,
    lists: usize,
    /// Where the range is in the plan's ranges.
    slot: usize,
}

impl PostingsPlan {
    /// Plans for the series that satisfy all matchers, all series when there is no matcher; `limit` cuts the result
    /// (0: no limit).
    pub fn new(header: &IndexHeader, matchers: &[Matcher], limit: usize) -> Result<PostingsPlan, IndexError> {
        let mut plan = PostingsPlan { ranges: vec![], add: vec![], remove: vec![], limit, nothing: false };
        for matcher in matchers {
            if matcher.matches_empty() {
                let group = Group::select(header, matcher, false)?;
                if !group.runs.is_empty() {
                    plan.remove.push(group);
                }
            } else {
                let group = Group::select(header, matcher, true)?;
                if group.runs.is_empty() {
                    plan.nothing = true;
                    (plan.add, plan.remove) = (vec![], vec![]);
                    return Ok(plan);
                }
                plan.add.push(group);
            }
        }
        if plan.add.is_empty() {
            match header.postings_range(b"", b"")? {
                Some(range) => plan.add.push(Group::all(range)),
                None => plan.nothing = true,
            }
        }
        plan.add.sort_by_key(|group| group.refs);
        plan.collect_ranges();
        Ok(plan)
    }

    /// Gives each distinct range a slot, in the order of the file.
    fn collect_ranges(&mut self) {
        let runs = || self.add.iter().chain(&self.remove).flat_map(|group| &group.runs);
        let mut ranges: Vec<Range<u64>> = runs().map(|run| run.range.clone()).collect();
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges.dedup();
        for run in self.add.iter_mut().chain(&mut self.remove).flat_map(|group| &mut group.runs) {
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

impl Group {
    /// The lists of the values that satisfy the matcher, or of those that do not.
    fn select(header: &IndexHeader, matcher: &Matcher, satisfy: bool) -> Result<Group, IndexError> {
        let mut group = Group::default();
        let Some(part) = header.offsets().name(matcher.name())? else { return Ok(group) };
        let contiguous = header.offsets().contiguous();
        if matcher.value().is_empty()
            && matches!(matcher.op(), MatchOp::Equal | MatchOp::NotEqual)
            && let Some(range) = header.offsets().whole(part)?
        {
            return Ok(Group::whole(range, part.count()));
        }
        let single = matches!((matcher.op(), satisfy), (MatchOp::Equal, true) | (MatchOp::NotEqual, false));
        if single {
            if let Some(range) = header.offsets().find(matcher.name(), matcher.value())? {
                group.push(&LabelValue { value: matcher.value(), list: range }, contiguous);
            }
            return Ok(group);
        }
        for value in header.offsets().values(part) {
            let value = value?;
            if matcher.matches(value.value) == satisfy {
                group.push(&value, contiguous);
            }
        }
        Ok(group)
    }

    /// The list of all series.
    fn all(range: Range<u64>) -> Group {
        Group::whole(range, 1)
    }

    /// All lists of a label, one behind the other.
    fn whole(range: Range<u64>, lists: usize) -> Group {
        let refs = (range.end - range.start).saturating_sub(12 * lists as u64) / 4;
        Group { refs, runs: vec![Run { range, lists, slot: 0 }] }
    }

    fn push(&mut self, value: &LabelValue<'_>, contiguous: bool) {
        self.refs += value.series();
        match self.runs.last_mut() {
            Some(run) if contiguous && run.range.end == value.list.start => {
                run.range.end = value.list.end;
                run.lists += 1;
            }
            _ => self.runs.push(Run { range: value.list.clone(), lists: 1, slot: 0 }),
        }
    }

    /// The refs of all lists, ascending.
    fn union(&self, fetched: &[Bytes]) -> Result<Vec<u32>, IndexError> {
        let mut refs = Vec::new();
        for run in &self.runs {
            // Checked: every slot was given by `collect_ranges`, and `fetched` has as many.
            let mut cursor = Cursor::new(&fetched[run.slot], run.range.start);
            for _ in 0..run.lists {
                sets::expand(stored_refs(&mut cursor)?, &mut refs);
                let padding = cursor.offset().next_multiple_of(4) - cursor.offset();
                cursor.take((padding as usize).min(cursor.left()), "padding")?;
            }
        }
        Ok(sets::normalize(refs))
    }
}
