//! Series with equal labels: merged if they have no samples at the same step, else an error.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tithon_index::Labels;

use crate::error::QueryError;
use crate::frame::{Frame, Row};
use crate::result::MatrixSeries;

/// Merges rows with equal labels into the first of them; fails if two have a sample at the same step.
pub(crate) fn equal_labels(frame: Frame) -> Result<Frame, QueryError> {
    if !has_equal_labels(&frame) {
        return Ok(frame);
    }
    let mut at: HashMap<Labels, usize> = HashMap::with_capacity(frame.rows.len());
    let mut rows: Vec<Row> = Vec::with_capacity(frame.rows.len());
    for row in frame.rows {
        match at.entry(row.labels.clone()) {
            Entry::Vacant(e) => {
                e.insert(rows.len());
                rows.push(row);
            }
            Entry::Occupied(e) => {
                if !rows[*e.get()].column.absorb(&row.column) {
                    return Err(QueryError::same_labelset());
                }
            }
        }
    }
    Ok(Frame { rows })
}

fn has_equal_labels(frame: &Frame) -> bool {
    if frame.rows.len() < 2 || frame.rows.is_sorted_by(|a, b| a.labels < b.labels) {
        return false;
    }
    let mut hashes: Vec<u64> = frame.rows.iter().map(|row| row.labels.hash64()).collect();
    hashes.sort_unstable();
    hashes.windows(2).any(|pair| pair[0] == pair[1])
}

/// Merges neighbours of a sorted matrix that have equal labels; fails if two have a sample at the same time.
pub(crate) fn equal_matrix_labels(series: Vec<MatrixSeries>) -> Result<Vec<MatrixSeries>, QueryError> {
    let mut out: Vec<MatrixSeries> = Vec::with_capacity(series.len());
    for next in series {
        match out.last_mut().filter(|last| last.labels == next.labels) {
            None => out.push(next),
            Some(last) => absorb(last, next)?,
        }
    }
    Ok(out)
}

fn absorb(into: &mut MatrixSeries, other: MatrixSeries) -> Result<(), QueryError> {
    let (a, b) = (std::mem::take(&mut into.samples), other.samples);
    let mut floats: Vec<(i64, f64)> = a.floats.timestamps.into_iter().zip(a.floats.values).collect();
    floats.extend(b.floats.timestamps.into_iter().zip(b.floats.values));
    floats.sort_by_key(|(t, _)| *t);
    let mut histograms: Vec<_> = a.histograms.timestamps.into_iter().zip(a.histograms.values).collect();
    histograms.extend(b.histograms.timestamps.into_iter().zip(b.histograms.values));
    histograms.sort_by_key(|(t, _)| *t);
    if floats.windows(2).any(|w| w[0].0 == w[1].0) || histograms.windows(2).any(|w| w[0].0 == w[1].0) {
        return Err(QueryError::same_labelset());
    }
    let samples = &mut into.samples;
    (samples.floats.timestamps, samples.floats.values) = floats.into_iter().unzip();
    (samples.histograms.timestamps, samples.histograms.values) = histograms.into_iter().unzip();
    Ok(())
}
