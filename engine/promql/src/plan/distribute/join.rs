//! The answers of several engines to one fragment become the series of one selection.

use std::collections::BTreeMap;

use tithon_chunks::{FloatHistogram, Samples, Timestamp};
use tithon_index::Labels;

use crate::result::{Sample, Value};
use crate::series::{Series, SeriesData};

/// Joins answers: series with equal labels are one, and where two have a sample at one time the later answer's stays.
///
/// Numbers and texts have no series and are left out. The series ascend by labels.
pub fn join_answers(answers: impl IntoIterator<Item = Value>) -> Vec<Series> {
    let mut parts: BTreeMap<Labels, Vec<Samples>> = BTreeMap::new();
    for answer in answers {
        match answer {
            Value::Matrix(series) => {
                series.into_iter().for_each(|s| parts.entry(s.labels).or_default().push(s.samples));
            }
            Value::Vector(elements) => {
                for element in elements {
                    let samples = single(element.t, element.sample);
                    parts.entry(element.labels).or_default().push(samples);
                }
            }
            Value::Scalar { .. } | Value::String { .. } => {}
        }
    }
    let joined = parts
        .into_iter()
        .map(|(labels, parts)| Series { labels, data: SeriesData::Samples(Box::new(joined(parts))) });
    joined.collect()
}

fn single(t: Timestamp, sample: Sample) -> Samples {
    let mut samples = Samples::default();
    match sample {
        Sample::Float(v) => samples.floats.push(t, v),
        Sample::Histogram(h) => {
            samples.histograms.timestamps.push(t.0);
            samples.histograms.values.push(h.as_ref().clone());
        }
    }
    samples
}

/// A sample of either kind.
enum Point {
    Float(f64),
    Histogram(FloatHistogram),
}

fn joined(mut parts: Vec<Samples>) -> Samples {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let mut points: BTreeMap<i64, Point> = BTreeMap::new();
    for part in parts {
        let floats = part.floats.timestamps.into_iter().zip(part.floats.values);
        points.extend(floats.map(|(t, v)| (t, Point::Float(v))));
        let histograms = part.histograms.timestamps.into_iter().zip(part.histograms.values);
        points.extend(histograms.map(|(t, h)| (t, Point::Histogram(h))));
    }
    let mut out = Samples::default();
    for (t, point) in points {
        match point {
            Point::Float(v) => out.floats.push(Timestamp(t), v),
            Point::Histogram(h) => {
                out.histograms.timestamps.push(t);
                out.histograms.values.push(h);
            }
        }
    }
    out
}
