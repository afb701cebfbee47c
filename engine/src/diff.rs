//! Compares two sets of blocks sample by sample: whether they answer every query alike, whatever the blocks and chunks
//! are.

use serde::Serialize;
use tithon_chunks::{
    Aggregate, AggregateChunk, EncodedChunk, Encoding, Sample, SampleValue, TimeRange, canonical_bytes,
    decode_exact,
};

use crate::{Block, BlockError, BlockSelect, Merge, MergeStep, SelectRequest, SelectedSeries, SeriesBatch};

/// One difference; serialises to one JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Difference {
    /// A series that only the first set has.
    OnlyInFirst {
        /// The labels of the series.
        labels: String,
    },
    /// A series that only the second set has.
    OnlyInSecond {
        /// The labels of the series.
        labels: String,
    },
    /// A series that both have with other samples.
    Samples {
        /// The labels of the series.
        labels: String,
        /// The aggregate, for a downsampled series.
        aggregate: Option<&'static str>,
        /// Samples in the first set.
        first: usize,
        /// Samples in the second set.
        second: usize,
        /// Time of the first sample that differs, milliseconds.
        time: Option<i64>,
    },
}

/// Compares two sets of blocks. Each set is read as a querier does: deletions are applied, overlaps joined by time.
/// Stops after `most` differences. Counter reset hints of histograms are not compared.
pub fn diff(first: &[Block], second: &[Block], most: usize) -> Result<Vec<Difference>, BlockError> {
    diff_batches(all(first), all(second), most)
}

fn all(blocks: &[Block]) -> Vec<BlockSelect<'_>> {
    let everything = || SelectRequest::new(Vec::new(), TimeRange::ALL);
    blocks.iter().map(|block| block.select(everything())).collect()
}

/// Like [`diff`], for blocks that are read by the caller: each iterator returns all series of one block, in label
/// order.
pub fn diff_batches<B>(first: Vec<B>, second: Vec<B>, most: usize) -> Result<Vec<Difference>, BlockError>
where
    B: Iterator<Item = Result<SeriesBatch, BlockError>>,
{
    let (mut first, mut second) = (all_series(first), all_series(second));
    let (mut a, mut b) = (first.next().transpose()?, second.next().transpose()?);
    let mut found = Vec::new();
    while found.len() < most {
        let order = match (&a, &b) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.labels.cmp(&b.labels),
        };
        let (ours, theirs) = (a.take_if(|_| order.is_le()), b.take_if(|_| order.is_ge()));
        match (&ours, &theirs) {
            (Some(ours), Some(theirs)) => compare(ours, theirs, &mut found)?,
            (Some(ours), None) => found.push(Difference::OnlyInFirst { labels: ours.labels.to_string() }),
            (None, Some(theirs)) => {
                found.push(Difference::OnlyInSecond { labels: theirs.labels.to_string() })
            }
            (None, None) => {}
        }
        if ours.is_some() {
            a = first.next().transpose()?;
        }
        if theirs.is_some() {
            b = second.next().transpose()?;
        }
    }
    found.truncate(most);
    Ok(found)
}

/// The series of all blocks, merged. Items after an error do not count.
fn all_series<B>(mut batches: Vec<B>) -> impl Iterator<Item = Result<SelectedSeries, BlockError>>
where
    B: Iterator<Item = Result<SeriesBatch, BlockError>>,
{
    let mut merge = Merge::new(batches.len());
    std::iter::from_fn(move || {
        loop {
            match merge.step() {
                MergeStep::Series(series) => return Some(Ok(series)),
                MergeStep::Done => return None,
                MergeStep::Need(i) => match batches[i].next().transpose() {
                    Ok(Some(batch)) => merge.feed(i, batch.series),
                    Ok(None) => merge.end(i),
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    })
}

fn compare(a: &SelectedSeries, b: &SelectedSeries, found: &mut Vec<Difference>) -> Result<(), BlockError> {
    if a.chunks == b.chunks {
        return Ok(());
    }
    for part in std::iter::once(None).chain(Aggregate::ALL.map(Some)) {
        let (ours, theirs) = (samples(a, part)?, samples(b, part)?);
        if ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(x, y)| same(x, y)) {
            continue;
        }
        let apart = ours.iter().zip(&theirs).position(|(x, y)| !same(x, y));
        let at = apart.unwrap_or(ours.len().min(theirs.len()));
        let time = ours.get(at).into_iter().chain(theirs.get(at)).map(|s| s.t.0).min();
        found.push(Difference::Samples {
            labels: a.labels.to_string(),
            aggregate: part.map(Aggregate::name),
            first: ours.len(),
            second: theirs.len(),
            time,
        });
    }
    Ok(())
}

/// All samples of raw chunks, or of one aggregate of downsampled ones, by time. Of several raw samples at one time, one
/// is kept.
fn samples(series: &SelectedSeries, part: Option<Aggregate>) -> Result<Vec<Sample>, BlockError> {
    let failed = |source| BlockError::Series { labels: series.labels.clone(), source };
    let mut out = Vec::new();
    for EncodedChunk { encoding, data, .. } in &series.chunks {
        match (encoding, part) {
            (Encoding::Aggregate, Some(aggregate)) => {
                if let Some((encoding, data)) = AggregateChunk::parse(data).map_err(failed)?.get(aggregate) {
                    decode_exact(encoding, data, &mut out).map_err(failed)?;
                }
            }
            (Encoding::Aggregate, None) => {}
            (_, None) => decode_exact(*encoding, data, &mut out).map_err(failed)?,
            (_, Some(_)) => {}
        }
    }
    out.sort_by_key(|sample| sample.t);
    if part.is_none() {
        out.dedup_by_key(|sample| sample.t);
    }
    Ok(out)
}

/// Whether two samples are equal to the bit, counter reset hints aside: these depend on where chunks begin.
fn same(a: &Sample, b: &Sample) -> bool {
    let comparable = |sample: &Sample| {
        let mut sample = sample.clone();
        match &mut sample.value {
            SampleValue::Float(_) => {}
            SampleValue::Histogram(h) => h.counter_reset_hint = Default::default(),
            SampleValue::FloatHistogram(h) => h.counter_reset_hint = Default::default(),
        }
        let mut bytes = Vec::new();
        canonical_bytes(&sample, &mut bytes);
        bytes
    };
    a.st == b.st && comparable(a) == comparable(b)
}

#[cfg(test)]
mod tests {
    use tithon_testdata::shared;

    use super::*;

    fn blocks_in(dir: &str) -> Vec<Block> {
        let entries = std::fs::read_dir(shared(dir)).unwrap();
        let mut dirs: Vec<_> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
        dirs.sort();
        dirs.into_iter().map(|dir| Block::open(dir).unwrap()).collect()
    }

    #[test]
    fn compaction_changes_no_sample() {
        for case in ["horizontal", "horizontal-all-encodings", "horizontal-aggr", "tombstones"] {
            let ours = blocks_in(&format!("testdata/compaction/{case}/in"));
            let theirs = blocks_in(&format!("testdata/compaction/{case}/out"));
            assert_eq!(diff(&ours, &theirs, 10).unwrap(), [], "{case}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let all = blocks_in("testdata/compaction/horizontal/in");
        let found = diff(&all, &all[..2], usize::MAX).unwrap();
        assert!(found.iter().any(|d| matches!(d, Difference::OnlyInFirst { .. })));
        assert!(found.iter().any(
            |d| matches!(d, Difference::Samples { first, second, time: Some(_), .. } if first > second)
        ));
        assert!(found.iter().all(|d| !matches!(d, Difference::OnlyInSecond { .. })));
        assert_eq!(diff(&all, &all[..2], 3).unwrap().len(), 3);
    }
}
