//! Frames of a `Series` answer, encoded straight from our own types.
//!
//! In both kinds of frame a series is field 1 of the message around it, so series are appended to a buffer as they
//! come, and a frame is a slice of it, with the header of the batch before it where there is one.

use bytes::{BufMut, Bytes};
use prost::Message;
use tithon_chunks::{Aggregate, EncodedChunk, Encoding};
use tithon_index::Labels;
use xxhash_rust::xxh64::xxh64;

use crate::thanos::SeriesResponse;
use crate::thanos::series_response::Result as Arm;
use crate::{ConvertError, encoding_to_wire, series_to_wire};

/// One encoded `SeriesResponse`.
#[derive(Clone, Debug)]
pub struct SeriesFrame {
    /// Series in a `batch` have its tag and length before them.
    is_batch: bool,
    body: Bytes,
}

impl SeriesFrame {
    /// A frame of one series, from the bytes that [`append_series`] appended for it.
    pub fn series(appended: Bytes) -> SeriesFrame {
        SeriesFrame { is_batch: false, body: appended }
    }

    /// A frame of several series, from the bytes that [`append_series`] appended for them.
    pub fn batch(appended: Bytes) -> SeriesFrame {
        SeriesFrame { is_batch: true, body: appended }
    }

    /// A warning.
    pub fn warning(text: String) -> SeriesFrame {
        let message = SeriesResponse { result: Some(Arm::Warning(text)) };
        SeriesFrame { is_batch: false, body: message.encode_to_vec().into() }
    }

    /// The most bytes that [`SeriesFrame::write`] appends.
    pub fn len_max(&self) -> usize {
        self.body.len() + 11
    }

    /// Appends the message to `out`.
    pub fn write(&self, out: &mut impl BufMut) {
        if self.is_batch {
            out.put_u8(4 << 3 | LEN);
            prost::encoding::encode_varint(self.body.len() as u64, out);
        }
        out.put_slice(&self.body);
    }
}

/// The wire type of messages, strings and bytes.
const LEN: u8 = 2;

/// Appends a series as field 1 of a message, the chunks in Thanos's order. On an error nothing is appended.
pub fn append_series(
    out: &mut Vec<u8>,
    labels: &Labels,
    chunks: &[EncodedChunk],
    aggregates: &[Aggregate],
) -> Result<(), ConvertError> {
    let ascend =
        |pair: &[EncodedChunk]| (pair[0].min_time, pair[0].max_time) < (pair[1].min_time, pair[1].max_time);
    let is_plain = chunks.iter().all(|chunk| chunk.encoding != Encoding::Aggregate);
    if is_plain && chunks.windows(2).all(ascend) {
        return append_plain(out, labels, chunks);
    }
    let series = series_to_wire(labels, chunks, aggregates)?;
    out.reserve(series.encoded_len() + 11);
    prost::encoding::message::encode(1, &series, out);
    Ok(())
}

/// Raw chunks in order, the common case: lengths are summed first, then everything is written once.
fn append_plain(out: &mut Vec<u8>, labels: &Labels, chunks: &[EncodedChunk]) -> Result<(), ConvertError> {
    let mut size = 0;
    for (name, value) in labels.iter() {
        size += nested(field(name.len()) + field(value.len()));
    }
    let mut sized = smallvec::SmallVec::<[ChunkSize; 16]>::new();
    for chunk in chunks {
        let (number, hash) = (encoding_to_wire(chunk.encoding)?, xxh64(&chunk.data, 0));
        let inner = scalar(number as u64) + field(chunk.data.len()) + scalar(hash);
        let outer = scalar(unsigned(chunk.min_time.0)) + scalar(unsigned(chunk.max_time.0)) + nested(inner);
        sized.push(ChunkSize { number, hash, inner, outer });
        size += nested(outer);
    }
    out.reserve(nested(size));
    put_header(out, 1, size);
    for (name, value) in labels.iter() {
        put_header(out, 1, field(name.len()) + field(value.len()));
        put_bytes(out, 1, name);
        put_bytes(out, 2, value);
    }
    for (chunk, ChunkSize { number, hash, inner, outer }) in chunks.iter().zip(sized) {
        put_header(out, 2, outer);
        put_scalar(out, 1, unsigned(chunk.min_time.0));
        put_scalar(out, 2, unsigned(chunk.max_time.0));
        put_header(out, 3, inner);
        put_scalar(out, 1, number as u64);
        put_bytes(out, 2, &chunk.data);
        put_scalar(out, 3, hash);
    }
    Ok(())
}

/// What is known of a chunk before it is written.
struct ChunkSize {
    number: i32,
    hash: u64,
    /// Bytes of the `Chunk` message.
    inner: usize,
    /// Bytes of the `AggrChunk` message.
    outer: usize,
}

/// An `int64` goes as its two's complement.
fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

fn varint(value: u64) -> usize {
    prost::encoding::encoded_len_varint(value)
}

/// Bytes of a sub-message with its tag and length.
fn nested(len: usize) -> usize {
    1 + varint(len as u64) + len
}

/// Bytes of a string or bytes field; nothing where it is empty.
fn field(len: usize) -> usize {
    if len == 0 { 0 } else { nested(len) }
}

/// Bytes of a number field; nothing where it is 0.
fn scalar(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint(value) }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_header(out: &mut Vec<u8>, number: u8, len: usize) {
    out.push(number << 3 | LEN);
    put_varint(out, len as u64);
}

fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_header(out, number, bytes.len());
        out.extend_from_slice(bytes);
    }
}

fn put_scalar(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        out.push(number << 3);
        put_varint(out, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tithon_chunks::Timestamp;

    use super::*;
    use crate::thanos::{Series, SeriesBatch};

    fn chunks() -> impl Strategy<Value = Vec<EncodedChunk>> {
        let time = prop_oneof![Just(0), Just(i64::MIN), -5_i64..5, Just(1_700_000_000_000), Just(i64::MAX)];
        let encoding = prop_oneof![
            Just(Encoding::Xor),
            Just(Encoding::Histogram),
            Just(Encoding::FloatHistogram),
            Just(Encoding::HistogramSt)
        ];
        let chunk = (encoding, time.clone(), time, prop::collection::vec(any::<u8>(), 0..300)).prop_map(
            |(encoding, min, max, data)| EncodedChunk {
                encoding,
                min_time: Timestamp(min),
                max_time: Timestamp(max),
                data: data.into(),
            },
        );
        prop::collection::vec(chunk, 0..5)
    }

    proptest! {
        #[test]
        fn frames_are_what_prost_writes(
            series in prop::collection::vec(
                (prop::collection::btree_map("[a-c]{0,3}", "[x-z]{1,200}", 0..5), chunks()), 1..4),
        ) {
            let series: Vec<(Labels, Vec<EncodedChunk>)> =
                series.into_iter().map(|(pairs, chunks)| (Labels::from_pairs(pairs), chunks)).collect();
            let wire: Vec<Series> =
                series.iter().map(|(labels, chunks)| series_to_wire(labels, chunks, &[]).unwrap()).collect();
            let mut all = Vec::new();
            for ((labels, chunks), wire) in series.iter().zip(&wire) {
                let mut one = Vec::new();
                append_series(&mut one, labels, chunks, &[]).unwrap();
                all.extend_from_slice(&one);
                let mut written = Vec::new();
                SeriesFrame::series(one.into()).write(&mut written);
                let model = SeriesResponse { result: Some(Arm::Series(wire.clone())) };
                prop_assert_eq!(written, model.encode_to_vec());
            }
            let mut written = Vec::new();
            SeriesFrame::batch(all.into()).write(&mut written);
            let model = SeriesResponse { result: Some(Arm::Batch(SeriesBatch { series: wire })) };
            prop_assert_eq!(written, model.encode_to_vec());
        }
    }
}
