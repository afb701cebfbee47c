//! The records of a log. Prometheus `tsdb/record/record.go`.
//!
//! A record is its type, one byte, and then entries until it ends. `ref` is the number of a series in the head, `be64`:
//!
//! ```text
//!  1 series            { be64 ref, uvarint n, n times (str name, str value) }
//!  2 samples           be64 ref, be64 time, { varint ref - that, varint time - that, f64 value }
//!  3 tombstones        { be64 ref, varint first, varint last }
//!  7 histograms        as 2, with a histogram for the value; 9 the same with custom buckets
//!  8 float histograms  as 7; 10 the same with custom buckets
//! 11 to 13             samples, histograms and float histograms with start timestamps
//! ```

mod decode;
mod encode;
mod histogram;

use tithon_chunks::{FloatHistogram, Histogram};
use tithon_index::Labels;

pub(crate) use self::encode::{
    put_float_histograms, put_histograms, put_samples, put_series, put_tombstones,
};

/// A record, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Series and their numbers.
    Series(Vec<(u64, Labels)>),
    /// Samples of floats.
    Samples(Vec<RefSample<f64>>),
    /// Deletions.
    Tombstones(Vec<Tombstone>),
    /// Samples of integer histograms.
    Histograms(Vec<RefSample<Histogram>>),
    /// Samples of float histograms.
    FloatHistograms(Vec<RefSample<FloatHistogram>>),
    /// A record of another type, of which nothing is read: exemplars, metadata, markers, or one that is not known.
    Other(u8),
}

/// A sample of the series of a number.
#[derive(Clone, Debug, PartialEq)]
pub struct RefSample<V> {
    /// The number of the series.
    pub series: u64,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// What was measured.
    pub value: V,
}

/// A deletion: the samples of a series in a closed range of time. All of time says that the series left the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The number of the series.
    pub series: u64,
    /// The first millisecond.
    pub min: i64,
    /// The last millisecond.
    pub max: i64,
}

impl Record {
    /// The record in bytes, as it is written to a log: histograms with custom buckets are in a record of their own. Empty for
    /// records of other types.
    pub fn encode(&self) -> Vec<Vec<u8>> {
        match self {
            Record::Series(series) => {
                vec![put_series(series.iter().map(|(series, labels)| (*series, labels)))]
            }
            Record::Samples(samples) => vec![put_samples(samples)],
            Record::Tombstones(tombstones) => vec![put_tombstones(tombstones)],
            Record::Histograms(samples) => put_histograms(samples),
            Record::FloatHistograms(samples) => put_float_histograms(samples),
            Record::Other(_) => Vec::new(),
        }
    }
}

const SERIES: u8 = 1;
const SAMPLES: u8 = 2;
const TOMBSTONES: u8 = 3;
const HISTOGRAMS: u8 = 7;
const FLOAT_HISTOGRAMS: u8 = 8;
const CUSTOM_HISTOGRAMS: u8 = 9;
const CUSTOM_FLOAT_HISTOGRAMS: u8 = 10;
const SAMPLES_V2: u8 = 11;
const HISTOGRAMS_V2: u8 = 12;
const FLOAT_HISTOGRAMS_V2: u8 = 13;

#[cfg(test)]
mod tests;
