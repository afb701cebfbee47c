//! An answer to `Series`, as it came.

use bytes::Bytes;
use prost_types::Any;
use tithon_index::Labels;
use tithon_proto::labels_from_wire;
use tithon_proto::thanos::Series;
use tithon_proto::thanos::series_response::Result as Frame;
use tonic::Status;

use crate::client::frame;

/// Series that are taken of one answer; what follows them is not read.
const SERIES_MAX: usize = 20_000;
/// Bytes that are taken of one answer.
const BYTES_MAX: usize = 256 << 20;

/// The frames of one answer.
#[derive(Debug, Default)]
pub(crate) struct SeriesAnswer {
    /// Series in the order of their frames.
    pub(crate) series: Vec<Series>,
    /// How many series each batch had.
    pub(crate) batches: Vec<usize>,
    pub(crate) warnings: Vec<String>,
    pub(crate) hints: Vec<Any>,
    /// Frames that hold nothing.
    pub(crate) empty_frames: usize,
    /// How the call failed.
    pub(crate) status: Option<Status>,
    /// Whether the answer was left before its end, being too long.
    pub(crate) is_cut: bool,
    bytes: usize,
}

impl SeriesAnswer {
    /// Takes one frame.
    pub(crate) fn add(&mut self, bytes: &Bytes) -> Result<(), Status> {
        self.bytes += bytes.len();
        match frame(bytes)?.result {
            Some(Frame::Series(series)) => self.series.push(series),
            Some(Frame::Batch(batch)) => {
                self.batches.push(batch.series.len());
                self.series.extend(batch.series);
            }
            Some(Frame::Warning(warning)) => self.warnings.push(warning),
            Some(Frame::Hints(hints)) => self.hints.push(hints),
            None => self.empty_frames += 1,
        }
        self.is_cut = self.series.len() > SERIES_MAX || self.bytes > BYTES_MAX;
        Ok(())
    }

    /// Whether the call ended well.
    pub(crate) fn is_ok(&self) -> bool {
        self.status.is_none()
    }

    /// The label sets in the order of the frames, each once.
    pub(crate) fn label_sets(&self) -> Vec<Labels> {
        let mut sets: Vec<Labels> = self.series.iter().map(|one| labels_from_wire(&one.labels)).collect();
        sets.dedup();
        sets
    }
}

/// A status in a few words.
pub(crate) fn told(status: Option<&Status>) -> String {
    status.map_or("OK".to_owned(), |status| format!("{:?} ({})", status.code(), status.message()))
}
