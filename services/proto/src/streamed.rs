//! Reads the frames of a stream of remote read straight into our own types. Prometheus `prompb/remote.proto`.
//!
//! As with the frames of stores, what is not written as Prometheus writes it is left to the generated decoder.

use bytes::Bytes;
use prost::Message;
use tithon_chunks::{EncodedChunk, Timestamp};
use tithon_engine::SelectedSeries;
use tithon_index::LabelStack;

use crate::convert::unreadable;
use crate::cursor::{Cursor, LEN_1, LEN_2, LEN_4, NUMBER_1, NUMBER_2, NUMBER_3};
use crate::prometheus_copy::{Chunk, ChunkedReadResponse};
use crate::{ConvertError, encoding_from_wire, labels_from_wire};

/// Reads frame after frame with the same buffers.
#[derive(Debug, Default)]
pub struct StreamReader {
    labels: LabelStack,
}

impl StreamReader {
    /// Appends the series of one frame; chunks are slices of the frame. Fails on a frame that is no
    /// `prometheus.ChunkedReadResponse` and on a chunk encoding that is not known; then nothing is appended.
    pub fn read(&mut self, frame: Bytes, out: &mut Vec<SelectedSeries>) -> Result<(), ConvertError> {
        let before = out.len();
        if self.walk(&frame, out).is_some() {
            return Ok(());
        }
        out.truncate(before);
        out.extend(decoded(frame)?);
        Ok(())
    }

    /// `None` where the generated decoder must decide.
    fn walk(&mut self, frame: &Bytes, out: &mut Vec<SelectedSeries>) -> Option<()> {
        let mut fields = Cursor(frame);
        while !fields.0.is_empty() {
            match fields.tag()? {
                LEN_1 => out.push(self.series(frame, fields.sized()?)?),
                NUMBER_2 => drop(fields.varint()?),
                _ => return None,
            }
        }
        Some(())
    }

    fn series(&mut self, frame: &Bytes, body: &[u8]) -> Option<SelectedSeries> {
        let (mut chunks, mut last): (Vec<EncodedChunk>, Option<&[u8]>) = (Vec::new(), None);
        self.labels.truncate(0);
        let mut fields = Cursor(body);
        while !fields.0.is_empty() {
            match (fields.tag()?, fields.sized()?) {
                (LEN_1, label) => {
                    let (name, value) = pair(label)?;
                    if value.is_empty() || last.is_some_and(|last| last >= name) {
                        return None;
                    }
                    self.labels.push(name, value);
                    last = Some(name);
                }
                (LEN_2, body) => chunks.push(chunk(frame, body)?),
                _ => return None,
            }
        }
        Some(SelectedSeries { labels: self.labels.labels(), chunks })
    }
}

fn pair(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Cursor(body);
    let name = (fields.tag()? == LEN_1).then(|| fields.sized())??;
    let value = (fields.tag()? == LEN_2).then(|| fields.sized())??;
    fields.0.is_empty().then_some((name, value))
}

fn chunk(frame: &Bytes, body: &[u8]) -> Option<EncodedChunk> {
    let (mut min_time, mut max_time, mut number, mut data): (u64, u64, u64, &[u8]) = (0, 0, 0, &[]);
    let mut fields = Cursor(body);
    while !fields.0.is_empty() {
        match fields.tag()? {
            NUMBER_1 => min_time = fields.varint()?,
            NUMBER_2 => max_time = fields.varint()?,
            NUMBER_3 => number = fields.varint()?,
            LEN_4 => data = fields.sized()?,
            _ => return None,
        }
    }
    Some(EncodedChunk {
        encoding: encoding_from_wire(i32::try_from(number).ok()?.checked_sub(1)?).ok()?,
        min_time: Timestamp(min_time.cast_signed()),
        max_time: Timestamp(max_time.cast_signed()),
        data: frame.slice_ref(data),
    })
}

/// The series of a frame by way of its message.
fn decoded(frame: Bytes) -> Result<Vec<SelectedSeries>, ConvertError> {
    let message = ChunkedReadResponse::decode(frame).map_err(unreadable("prometheus.ChunkedReadResponse"))?;
    let series = message.chunked_series.into_iter().map(|series| {
        let chunks = series.chunks.into_iter().map(decoded_chunk).collect::<Result<Vec<_>, _>>()?;
        Ok(SelectedSeries { labels: labels_from_wire(&series.labels), chunks })
    });
    series.collect()
}

/// Numbers of encodings begin with 1 here, as those of the file format do.
fn decoded_chunk(wire: Chunk) -> Result<EncodedChunk, ConvertError> {
    let unknown = ConvertError::ChunkType(wire.r#type);
    Ok(EncodedChunk {
        encoding: encoding_from_wire(wire.r#type.wrapping_sub(1)).map_err(|_| unknown)?,
        min_time: Timestamp(wire.min_time_ms),
        max_time: Timestamp(wire.max_time_ms),
        data: wire.data,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tithon_chunks::Encoding;
    use tithon_index::Labels;

    use super::*;
    use crate::prometheus_copy::ChunkedSeries;
    use crate::thanos::Label;

    fn read(frame: Bytes) -> Result<Vec<SelectedSeries>, ConvertError> {
        let mut out = Vec::new();
        StreamReader::default().read(frame, &mut out).map(|()| out)
    }

    #[test]
    fn chunks_of_a_frame() {
        let chunk =
            |r#type| Chunk { min_time_ms: 1, max_time_ms: 2, r#type, data: Bytes::from_static(b"xyz") };
        let label = Label { name: "a".into(), value: "b".into() };
        let frame = |r#type| {
            let series = ChunkedSeries { labels: vec![label.clone()], chunks: vec![chunk(r#type)] };
            ChunkedReadResponse { chunked_series: vec![series], query_index: 0 }.encode_to_vec().into()
        };
        for (r#type, encoding) in
            [(1, Encoding::Xor), (2, Encoding::Histogram), (3, Encoding::FloatHistogram)]
        {
            let series = read(frame(r#type)).unwrap();
            assert_eq!(series[0].labels, Labels::from_pairs([("a", "b")]));
            assert_eq!(
                (series[0].chunks[0].encoding, &series[0].chunks[0].data[..]),
                (encoding, &b"xyz"[..])
            );
        }
        assert_eq!(read(frame(0)), Err(ConvertError::ChunkType(0)));
        assert_eq!(read(frame(i32::MIN)), Err(ConvertError::ChunkType(i32::MIN)));
        assert!(matches!(read(Bytes::from_static(b"\xff")), Err(ConvertError::Message { .. })));
    }

    fn chunks() -> impl Strategy<Value = Vec<Chunk>> {
        let time = prop_oneof![Just(0), Just(i64::MIN), -3_i64..9, Just(1_700_000_000_000)];
        let data = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        let chunk =
            (time.clone(), time, 0..5_i32, data).prop_map(|(min_time_ms, max_time_ms, r#type, data)| Chunk {
                min_time_ms,
                max_time_ms,
                r#type,
                data,
            });
        prop::collection::vec(chunk, 0..4)
    }

    fn series() -> impl Strategy<Value = ChunkedSeries> {
        let label = ("[a-d]{0,2}", "[x-z]{0,150}")
            .prop_map(|(name, value)| Label { name: Bytes::from(name), value: Bytes::from(value) });
        let labels = prop::collection::vec(label, 0..4);
        (labels, chunks(), any::<bool>()).prop_map(|(mut labels, chunks, sorted)| {
            if sorted {
                labels.sort_by(|a, b| a.name.cmp(&b.name));
                labels.dedup_by(|a, b| a.name == b.name);
            }
            ChunkedSeries { labels, chunks }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_frame_is_what_the_generated_decoder_reads(
            chunked_series in prop::collection::vec(series(), 0..4),
            query_index in -1_i64..2,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        ) {
            let mut bytes = ChunkedReadResponse { chunked_series, query_index }.encode_to_vec();
            let whole = Bytes::from(bytes.clone());
            prop_assert_eq!(read(whole.clone()), decoded(whole));
            for (place, byte) in changes {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len() + 1)));
            let changed = Bytes::from(bytes);
            prop_assert_eq!(read(changed.clone()), decoded(changed));
        }
    }
}
