//! Series in memory, as tests load them.

use std::collections::BTreeMap;

use tithon_chunks::{
    CUSTOM_BUCKETS_SCHEMA, EncodedChunk, FloatHistogram, FloatHistogramEncoder, STALE_NAN_BITS, Samples,
    Span, TimeRange, Timestamp, decode_samples,
};
use tithon_index::{Labels, METRIC_NAME, Matcher};
use tithon_promql::{SelectInput, SelectSpec, SequenceValue, Series, SeriesData};

use crate::script::Load;

/// A sample with its start timestamp; 0 is none.
#[derive(Clone)]
struct Sample {
    start: i64,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Float(f64),
    Histogram(Box<FloatHistogram>),
}

/// Samples by series and time.
#[derive(Default)]
pub(crate) struct Storage {
    series: BTreeMap<Labels, BTreeMap<i64, Sample>>,
}

impl Storage {
    pub(crate) fn load(&mut self, load: Load) {
        // A series given twice in a block has the values of the last line.
        let mut block: BTreeMap<Labels, BTreeMap<i64, Sample>> = BTreeMap::new();
        for series in load.series {
            let mut samples = BTreeMap::new();
            for (i, value) in series.values.into_iter().enumerate() {
                let t = i as i64 * load.step_ms;
                let value = match value {
                    SequenceValue::Omitted => continue,
                    SequenceValue::Float(value) => Value::Float(value),
                    SequenceValue::Histogram { histogram, .. } => Value::Histogram(histogram),
                };
                let start = series.starts.get(i).copied().flatten().map_or(0, |offset| t + offset);
                samples.insert(t, Sample { start, value });
            }
            block.insert(series.labels, samples);
        }
        if load.with_custom_buckets {
            for (labels, samples) in custom_buckets(&block) {
                block.insert(labels, samples);
            }
        }
        for (labels, samples) in block {
            self.series.entry(labels).or_default().extend(samples);
        }
    }

    /// The series that match, with their samples in the range.
    pub(crate) fn select(&self, spec: &SelectSpec) -> SelectInput {
        let mut selected = Vec::new();
        for (labels, samples) in &self.series {
            let matches = |m: &Matcher| m.matches(labels.get(m.name()).unwrap_or_default());
            if spec.matchers.iter().all(matches) {
                let samples = columns(samples, spec.range);
                if !samples.is_empty() {
                    let data = SeriesData::Samples(Box::new(samples));
                    selected.push(Ok(Series { labels: labels.clone(), data }));
                }
            }
        }
        Box::new(selected.into_iter())
    }
}

/// The samples in the range. Histograms go through chunks, which decide on their counter reset hints.
fn columns(samples: &BTreeMap<i64, Sample>, range: TimeRange) -> Samples {
    let (mut out, mut histograms) = (Samples::default(), Samples::default());
    let mut chunk = Chunk::default();
    for (t, sample) in samples {
        match &sample.value {
            Value::Histogram(histogram) => chunk.push(*t, histogram, &mut histograms),
            // The marker takes the kind of the series that it ends.
            Value::Float(value) if value.to_bits() == STALE_NAN_BITS && !chunk.encoder.is_empty() => {
                let stale = FloatHistogram { sum: *value, ..FloatHistogram::default() };
                chunk.push(*t, &stale, &mut histograms);
            }
            Value::Float(value) => {
                std::mem::take(&mut chunk).finish(&mut histograms);
                if range.contains(Timestamp(*t)) {
                    out.floats.push(Timestamp(*t), *value);
                    out.float_start_timestamps.push(sample.start);
                }
            }
        }
    }
    chunk.finish(&mut histograms);
    for (t, histogram) in histograms.histograms.timestamps.iter().zip(histograms.histograms.values) {
        if range.contains(Timestamp(*t)) {
            out.histograms.timestamps.push(*t);
            out.histograms.values.push(histogram);
            out.histogram_start_timestamps.push(samples[t].start);
        }
    }
    for starts in [&mut out.float_start_timestamps, &mut out.histogram_start_timestamps] {
        if starts.iter().all(|start| *start == 0) {
            starts.clear();
        }
    }
    out
}

/// A chunk of histograms being written.
struct Chunk {
    encoder: FloatHistogramEncoder,
    min_time: i64,
    max_time: i64,
}

impl Default for Chunk {
    fn default() -> Chunk {
        Chunk { encoder: FloatHistogramEncoder::new(false), min_time: i64::MAX, max_time: i64::MIN }
    }
}

impl Chunk {
    /// Appends a histogram; a chunk that it completes is decoded into `out`.
    fn push(&mut self, t: i64, histogram: &FloatHistogram, out: &mut Samples) {
        if let Some(encoder) = self.encoder.push(None, 0, t, histogram).expect("a valid histogram") {
            let next = Chunk { encoder, ..Chunk::default() };
            std::mem::replace(self, next).finish(out);
        }
        (self.min_time, self.max_time) = (self.min_time.min(t), t);
    }

    fn finish(self, out: &mut Samples) {
        if self.encoder.is_empty() {
            return;
        }
        let encoding = self.encoder.encoding();
        let (min_time, max_time) = (Timestamp(self.min_time), Timestamp(self.max_time));
        let chunk = EncodedChunk { encoding, min_time, max_time, data: self.encoder.finish().into() };
        decode_samples(&chunk, TimeRange::ALL, out).expect("a chunk of our own");
    }
}

/// A classic histogram at one time.
#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Histograms with custom buckets made from the classic ones of a block.
fn custom_buckets(
    block: &BTreeMap<Labels, BTreeMap<i64, Sample>>,
) -> BTreeMap<Labels, BTreeMap<i64, Sample>> {
    let mut classic: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for (labels, samples) in block {
        let name = String::from_utf8_lossy(labels.metric_name().unwrap_or_default()).into_owned();
        let Some((base, suffix)) = name.rsplit_once('_') else { continue };
        let bound = labels.get("le").and_then(|le| std::str::from_utf8(le).ok()?.parse::<f64>().ok());
        if !matches!((suffix, bound), ("bucket", Some(_)) | ("count" | "sum", _)) {
            continue;
        }
        let mut builder = labels.to_builder();
        let group = builder.set(METRIC_NAME, base.as_bytes()).remove(b"le").finish();
        let by_time = classic.entry(group).or_default();
        for (t, sample) in samples {
            let Value::Float(value) = sample.value else { continue };
            let at = by_time.entry(*t).or_default();
            match (suffix, bound) {
                ("bucket", Some(bound)) => at.buckets.push((bound, value)),
                ("count", _) => at.count = Some(value),
                _ => at.sum = value,
            }
        }
    }
    let sample =
        |classic: Classic| Sample { start: 0, value: Value::Histogram(Box::new(converted(classic))) };
    classic
        .into_iter()
        .map(|(labels, by_time)| (labels, by_time.into_iter().map(|(t, c)| (t, sample(c))).collect()))
        .collect()
}

fn converted(classic: Classic) -> FloatHistogram {
    let mut buckets = classic.buckets;
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup_by(|a, b| a.0 == b.0);
    let highest = buckets.last().map(|b| b.1);
    let count = classic.count.or(highest).unwrap_or(0.0);
    if buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
        buckets.push((f64::INFINITY, count));
    }
    let mut before = 0.0;
    let counts =
        buckets.iter().map(|(_, cumulative)| cumulative - std::mem::replace(&mut before, *cumulative));
    let mut histogram = FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count,
        sum: classic.sum,
        positive_buckets: counts.collect(),
        positive_spans: vec![Span { offset: 0, length: buckets.len() as u32 }],
        custom_values: buckets[..buckets.len() - 1].iter().map(|b| b.0).collect(),
        ..FloatHistogram::default()
    };
    histogram.compact(0);
    histogram
}
