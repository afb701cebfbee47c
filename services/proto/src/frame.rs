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
    /// A frame of one series, from the bytes that [`SeriesWriter::append`] appended for it.
    pub fn series(appended: Bytes) -> SeriesFrame {
        SeriesFrame { is_batch: false, body: appended }
    }

    /// A frame of several series, from the bytes that [`SeriesWriter::append`] appended for them.
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

/// Appends series to frames. Labels that a series shares with the one before are copied as they were written.
#[derive(Debug, Default)]
pub struct SeriesWriter {
    /// The labels of the last series.
    last: Labels,
    /// The same as messages.
    written: Vec<u8>,
    /// Where each label ends in the buffer of `last`, and in `written`.
    ends: Vec<(usize, usize)>,
}

impl SeriesWriter {
    /// Appends a series as field 1 of a message, the chunks in Thanos's order. On an error nothing is appended.
    pub fn append(
        &mut self,
        out: &mut Vec<u8>,
        labels: &Labels,
        chunks: &[EncodedChunk],
        aggregates: &[Aggregate],
    ) -> Result<(), ConvertError> {
        let ascend = |pair: &[EncodedChunk]| {
            (pair[0].min_time, pair[0].max_time) < (pair[1].min_time, pair[1].max_time)
        };
        let is_plain = chunks.iter().all(|chunk| chunk.encoding != Encoding::Aggregate);
        if is_plain && chunks.windows(2).all(ascend) {
            return self.append_plain(out, labels, chunks);
        }
        let series = series_to_wire(labels, chunks, aggregates)?;
        out.reserve(series.encoded_len() + 11);
        prost::encoding::message::encode(1, &series, out);
        Ok(())
    }

    /// Raw chunks in order, the common case: everything is written once, behind room for the length as it is estimated.
    fn append_plain(
        &mut self,
        out: &mut Vec<u8>,
        labels: &Labels,
        chunks: &[EncodedChunk],
    ) -> Result<(), ConvertError> {
        const CHUNK_HEADERS: usize = 44;
        self.write_labels(labels);
        let data: usize = chunks.iter().map(|chunk| chunk.data.len() + CHUNK_HEADERS).sum();
        let estimate = self.written.len() + data;
        let begin = out.len();
        out.reserve(estimate + 16);
        out.push(1 << 3 | LEN);
        let reserved = varint(estimate as u64);
        out.extend_from_slice(&[0; 10][..reserved]);
        out.extend_from_slice(&self.written);
        for chunk in chunks {
            if let Err(error) = put_chunk(out, chunk) {
                out.truncate(begin);
                return Err(error);
            }
        }
        put_length(out, begin + 1, reserved);
        Ok(())
    }

    /// Makes `written` the labels of the next series.
    fn write_labels(&mut self, labels: &Labels) {
        let same = n_same(self.last.packed(), labels.packed());
        let shared = self.ends.iter().take_while(|(end, _)| *end <= same).count();
        self.ends.truncate(shared);
        let (place, written) = self.ends.last().copied().unwrap_or_default();
        self.written.truncate(written);
        let (size, mut pairs) = (labels.packed().len(), labels.iter_from(place));
        while let Some((name, value)) = pairs.next() {
            put_label(&mut self.written, name, value);
            self.ends.push((size - pairs.rest(), self.written.len()));
        }
        self.last = labels.clone();
    }
}

/// The number of bytes that two slices both begin with.
fn n_same(a: &[u8], b: &[u8]) -> usize {
    const AT_ONCE: usize = 16;
    let blocks = a.chunks_exact(AT_ONCE).zip(b.chunks_exact(AT_ONCE));
    let n = AT_ONCE * blocks.take_while(|(a, b)| a == b).count();
    n + a[n..].iter().zip(&b[n..]).take_while(|(a, b)| a == b).count()
}

/// Writes the length of what lies behind `reserved` bytes at `at` into these, which become as many as it takes.
fn put_length(out: &mut Vec<u8>, at: usize, reserved: usize) {
    let size = out.len() - at - reserved;
    if (0x80..0x4000).contains(&size) && reserved == 2 {
        out[at] = (size & 0x7f) as u8 | 0x80;
        out[at + 1] = (size >> 7) as u8;
    } else {
        let mut length = Vec::with_capacity(10);
        put_varint(&mut length, size as u64);
        out.splice(at..at + reserved, length);
    }
}

#[inline]
fn put_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let size = field(name.len()) + field(value.len());
    if size >= 0x80 || name.is_empty() || value.is_empty() {
        put_header(out, 1, size);
        put_bytes(out, 1, name);
        put_bytes(out, 2, value);
        return;
    }
    out.extend_from_slice(&[1 << 3 | LEN, size as u8, 1 << 3 | LEN, name.len() as u8]);
    out.extend_from_slice(name);
    out.extend_from_slice(&[2 << 3 | LEN, value.len() as u8]);
    out.extend_from_slice(value);
}

#[inline]
fn put_chunk(out: &mut Vec<u8>, chunk: &EncodedChunk) -> Result<(), ConvertError> {
    let (number, hash) = (encoding_to_wire(chunk.encoding)? as u64, xxh64(&chunk.data, 0));
    let (min, max) = (unsigned(chunk.min_time.0), unsigned(chunk.max_time.0));
    let inner = scalar(number) + field(chunk.data.len()) + scalar(hash);
    put_header(out, 2, scalar(min) + scalar(max) + nested(inner));
    put_scalar(out, 1, min);
    put_scalar(out, 2, max);
    put_header(out, 3, inner);
    put_scalar(out, 1, number);
    put_bytes(out, 2, &chunk.data);
    put_scalar(out, 3, hash);
    Ok(())
}

/// An `int64` goes as its two's complement.
fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

#[inline]
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

#[inline]
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    if value < 0x80 {
        return out.push(value as u8);
    }
    let (mut bytes, mut n) = ([0; 10], 0);
    while value >= 0x80 {
        bytes[n] = value as u8 | 0x80;
        (value, n) = (value >> 7, n + 1);
    }
    bytes[n] = value as u8;
    out.extend_from_slice(&bytes[..=n]);
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
            let (mut all, mut writer) = (Vec::new(), SeriesWriter::default());
            for ((labels, chunks), wire) in series.iter().zip(&wire) {
                let mut one = Vec::new();
                writer.append(&mut one, labels, chunks, &[]).unwrap();
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
