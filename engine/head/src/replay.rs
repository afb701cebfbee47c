//! Reads a log into memory. Prometheus `tsdb/head_wal.go`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tithon_chunks::{
    FloatHistogram, Histogram, SCHEMA_MAX, Sample, SampleValue, TimeRange, decode_exact, is_known_schema,
};

use crate::counts::Counts;
use crate::index::Index;
use crate::options::HeadOptions;
use crate::record::{Record, RefSample, Tombstone};
use crate::series::{MemSeries, SeriesState, Value};
use crate::wal::{Files, read_segment, remove_temporaries, repair};
use crate::{HeadError, WalError};

/// What was found in a log.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Series in memory.
    pub series: usize,
    /// Samples in memory.
    pub samples: u64,
    /// Segments read, those of the checkpoint among them.
    pub segments: usize,
    /// Samples that blocks have, or that are not newer than another one of their series.
    pub old_samples: u64,
    /// Samples of series that the log does not name.
    pub unknown_series: u64,
    /// Histograms of a schema that is not known.
    pub unknown_schemas: u64,
    /// The damage behind which the log was cut.
    pub repaired: Option<WalError>,
}

/// A log in memory.
pub(crate) struct Loaded {
    pub(crate) index: Index,
    pub(crate) last_id: u64,
    pub(crate) next_segment: u64,
    pub(crate) replayed: Replayed,
}

struct Replay<'a> {
    index: Index,
    counts: &'a Counts,
    by_id: HashMap<u64, Arc<MemSeries>>,
    deleted: HashMap<u64, Vec<Tombstone>>,
    last_id: u64,
    min_valid: i64,
    range_ms: i64,
    replayed: Replayed,
}

pub(crate) fn replay(
    dir: &Path,
    index: Index,
    counts: &Counts,
    min_valid: i64,
    options: HeadOptions,
) -> Result<Loaded, HeadError> {
    std::fs::create_dir_all(dir).map_err(HeadError::io(dir))?;
    remove_temporaries(dir)?;
    let mut replay = Replay {
        index,
        counts,
        by_id: HashMap::new(),
        deleted: HashMap::new(),
        last_id: 0,
        min_valid,
        range_ms: options.range_ms,
        replayed: Replayed::default(),
    };
    let files = Files::of(dir)?;
    let mut next_segment = 0;
    let checkpoint = files.checkpoints.last();
    if let Some((number, path)) = checkpoint {
        for (_, segment) in Files::of(path)?.segments_from(path, None)? {
            replay.segment(segment)?;
        }
        next_segment = number + 1;
    }
    for (number, segment) in files.segments_from(dir, checkpoint.map(|_| next_segment))? {
        next_segment = number + 1;
        match replay.segment(segment) {
            Err(WalError::Corrupt { path, offset, damage }) => {
                repair(dir, &path, offset)?;
                replay.replayed.repaired = Some(WalError::Corrupt { path, offset, damage });
                break;
            }
            done => done?,
        }
    }
    replay.delete();
    Ok(Loaded { index: replay.index, last_id: replay.last_id, next_segment, replayed: replay.replayed })
}

impl Replay<'_> {
    fn segment(&mut self, path: &Path) -> Result<(), WalError> {
        self.replayed.segments += 1;
        read_segment(path, |record| {
            match record {
                Record::Series(series) => series.into_iter().for_each(|(id, labels)| self.series(id, labels)),
                Record::Samples(samples) => self.samples(samples, |value| Some(Value::Float(value))),
                Record::Histograms(samples) => self.samples(samples, histogram),
                Record::FloatHistograms(samples) => self.samples(samples, float_histogram),
                Record::Tombstones(tombstones) => tombstones.into_iter().for_each(|one| self.tombstone(one)),
                Record::Other(_) => {}
            }
            Ok(())
        })
    }

    /// A series that is there already gets another number.
    fn series(&mut self, id: u64, labels: tithon_index::Labels) {
        self.last_id = self.last_id.max(id);
        let series = match self.index.get(&labels) {
            Some(series) => Arc::clone(series),
            None => {
                let series = Arc::new(MemSeries::new(id, labels, true));
                self.counts.add_series(&series);
                self.index.insert(Arc::clone(&series));
                series
            }
        };
        self.by_id.insert(id, series);
    }

    fn samples<V>(&mut self, samples: Vec<RefSample<V>>, value: impl Fn(V) -> Option<Value>) {
        for sample in samples {
            // A number of samples whose series is not named any more must not be given to another series.
            self.last_id = self.last_id.max(sample.series);
            let Some(series) = self.by_id.get(&sample.series) else {
                self.replayed.unknown_series += 1;
                continue;
            };
            let mut state = series.lock();
            if sample.t < self.min_valid || state.last.as_ref().is_some_and(|last| last.t >= sample.t) {
                self.replayed.old_samples += 1;
                continue;
            }
            let before = state.n_chunks();
            let Some(value) = value(sample.value) else {
                self.replayed.unknown_schemas += 1;
                continue;
            };
            if let Ok(completed) = state.push(sample.t, value, self.range_ms) {
                self.replayed.samples += 1;
                self.counts.add_sample(sample.t, before, state.n_chunks(), completed);
            }
        }
    }

    fn tombstone(&mut self, tombstone: Tombstone) {
        self.last_id = self.last_id.max(tombstone.series);
        if (tombstone.min, tombstone.max) != (i64::MIN, i64::MAX) {
            self.deleted.entry(tombstone.series).or_default().push(tombstone);
        } else if let Some(series) = self.by_id.remove(&tombstone.series) {
            self.index.remove(&[series]);
        }
    }

    /// Takes deleted samples out of their series, which are put together anew.
    fn delete(&mut self) {
        for (id, tombstones) in &self.deleted {
            let Some(series) = self.by_id.get(id) else { continue };
            let mut state = series.lock();
            let is_deleted = |t: i64| tombstones.iter().any(|one| one.min <= t && t <= one.max);
            let mut samples = Vec::new();
            for chunk in state.chunks_in(TimeRange::ALL) {
                // Chunks that were just made decode.
                let _ = decode_exact(chunk.encoding, &chunk.data, &mut samples);
            }
            let mut rest = SeriesState::default();
            rest.is_logged = true;
            for Sample { t, value, .. } in samples.into_iter().filter(|sample| !is_deleted(sample.t.0)) {
                let value = match value {
                    SampleValue::Float(value) => Value::Float(value),
                    SampleValue::Histogram(value) => Value::Histogram(Box::new(value)),
                    SampleValue::FloatHistogram(value) => Value::FloatHistogram(Box::new(value)),
                };
                let _ = rest.push(t.0, value, self.range_ms);
            }
            // Its newest sample still says what is out of order.
            rest.last = state.last.take();
            *state = rest;
        }
    }
}

/// A histogram as it is kept: finer ones than are written are reduced; `None` for a schema that is not known.
fn histogram(mut histogram: Histogram) -> Option<Value> {
    if !is_known_schema(histogram.schema) {
        return None;
    }
    if histogram.schema > SCHEMA_MAX {
        histogram.reduce_resolution(SCHEMA_MAX).ok()?;
    }
    Some(Value::Histogram(Box::new(histogram)))
}

fn float_histogram(mut histogram: FloatHistogram) -> Option<Value> {
    if !is_known_schema(histogram.schema) {
        return None;
    }
    if histogram.schema > SCHEMA_MAX {
        histogram.reduce_resolution(SCHEMA_MAX).ok()?;
    }
    Some(Value::FloatHistogram(Box::new(histogram)))
}
