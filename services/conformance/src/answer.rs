//! An answer to `Series` as received.

use bytes::Bytes;
use prost::Message;
use prost_types::Any;
use tithon_chunks::ErrorKind;
use tithon_index::Labels;
use tithon_proto::labels_from_wire;
use tithon_proto::thanos::series_response::Result as Frame;
use tithon_proto::thanos::{Series, SeriesResponse};
use tithon_runtime::to_status;
use tonic::Status;

/// Largest number of series read of an answer; the rest is not read.
const SERIES_MAX: usize = 20_000;
/// Largest number of bytes read of an answer.
const BYTES_MAX: usize = 256 << 20;

/// The content of an answer's frames.
#[derive(Debug, Default)]
pub(crate) struct SeriesAnswer {
    /// Series in the order of their frames.
    pub(crate) series: Vec<Series>,
    /// Number of series in each batch.
    pub(crate) batches: Vec<usize>,
    pub(crate) warnings: Vec<String>,
    pub(crate) hints: Vec<Any>,
    /// Number of frames without content.
    pub(crate) empty_frames: usize,
    /// Status of a failed call.
    pub(crate) status: Option<Status>,
    /// Whether the answer was longer than what was read.
    pub(crate) is_cut: bool,
    bytes: usize,
}

impl SeriesAnswer {
    /// Adds a frame.
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

    /// Whether the call succeeded.
    pub(crate) fn is_ok(&self) -> bool {
        self.status.is_none()
    }

    /// The label sets in the order of the frames, without repetitions of neighbours.
    pub(crate) fn label_sets(&self) -> Vec<Labels> {
        let mut sets: Vec<Labels> = self.series.iter().map(|one| labels_from_wire(&one.labels)).collect();
        sets.dedup();
        sets
    }
}

/// A short text for a status.
pub(crate) fn status_text(status: Option<&Status>) -> String {
    status.map_or("OK".to_owned(), |status| format!("{:?} ({})", status.code(), status.message()))
}

/// Decodes a frame of `Series`.
pub(crate) fn frame(bytes: &Bytes) -> Result<SeriesResponse, Status> {
    SeriesResponse::decode(bytes.clone())
        .map_err(|error| to_status(ErrorKind::Internal, format!("a frame cannot be decoded: {error}")))
}
