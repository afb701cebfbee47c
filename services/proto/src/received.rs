//! Reads the frames of a `Series` answer straight into our own types.
//!
//! Frames as stores write them are walked once, without messages in between. Whatever is not written that way (fields given
//! twice, unknown ones, labels out of order, damage) is left to the generated decoder.

use bytes::Bytes;
use prost::Message;
use tithon_chunks::{EncodedChunk, Timestamp};
use tithon_engine::SelectedSeries;
use tithon_index::LabelStack;

use crate::convert::unreadable;
use crate::cursor::{Cursor, LEN_1, LEN_2, LEN_3, LEN_4, NUMBER_1, NUMBER_2, NUMBER_3};
use crate::thanos::series_response::Result as Arm;
use crate::thanos::{AggrChunk, SeriesResponse};
use crate::{ConvertError, aggr_chunk_from_wire, encoding_from_wire, series_from_wire};

/// One `SeriesResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceivedFrame {
    /// One or more series; the data of their raw chunks are slices of the message.
    Series(Vec<SelectedSeries>),
    /// A warning.
    Warning(String),
    /// Hints, or nothing.
    Other,
}

impl ReceivedFrame {
    /// Reads a message. Fails when it is not a `thanos.SeriesResponse`, and on a chunk encoding that is not known.
    pub fn read(message: Bytes) -> Result<ReceivedFrame, ConvertError> {
        let reading =
            Reading { message: &message, labels: Vec::new(), n_labels: 0, stack: LabelStack::default() };
        if let Some(series) = reading.frame() {
            return Ok(ReceivedFrame::Series(series));
        }
        let answer = SeriesResponse::decode(message).map_err(unreadable("thanos.SeriesResponse"))?;
        let series = match &answer.result {
            Some(Arm::Series(one)) => std::slice::from_ref(one),
            Some(Arm::Batch(batch)) => &batch.series,
            Some(Arm::Warning(text)) => return Ok(ReceivedFrame::Warning(text.clone())),
            Some(Arm::Hints(_)) | None => return Ok(ReceivedFrame::Other),
        };
        Ok(ReceivedFrame::Series(series.iter().map(series_from_wire).collect::<Result<_, _>>()?))
    }
}

/// A frame of series being read. Its functions return `None` where the generated decoder must decide.
struct Reading<'a> {
    message: &'a Bytes,
    /// Labels of the last series as they came, and their names: those in the stack.
    labels: Vec<(&'a [u8], &'a [u8])>,
    /// How many labels of the present series are among them, from the first on.
    n_labels: usize,
    stack: LabelStack,
}

impl<'a> Reading<'a> {
    fn frame(mut self) -> Option<Vec<SelectedSeries>> {
        let mut fields = Cursor(self.message);
        let (tag, body) = (fields.tag()?, fields.sized()?);
        if !fields.0.is_empty() {
            return None;
        }
        match tag {
            LEN_1 => Some(vec![self.series(body, 0)?]),
            LEN_4 => self.batch(body),
            _ => None,
        }
    }

    fn batch(&mut self, body: &'a [u8]) -> Option<Vec<SelectedSeries>> {
        let (mut series, mut n_chunks): (Vec<SelectedSeries>, usize) = (Vec::new(), 0);
        let mut fields = Cursor(body);
        while !fields.0.is_empty() {
            if fields.tag()? != LEN_1 {
                return None;
            }
            let one = self.series(fields.sized()?, n_chunks)?;
            n_chunks = one.chunks.len();
            series.push(one);
        }
        Some(series)
    }

    /// A series that has perhaps as many chunks as given.
    fn series(&mut self, body: &'a [u8], n_chunks: usize) -> Option<SelectedSeries> {
        let mut chunks: Vec<EncodedChunk> = Vec::with_capacity(n_chunks);
        self.n_labels = 0;
        let mut fields = Cursor(body);
        while !fields.0.is_empty() {
            match (fields.tag()?, fields.sized()?) {
                (LEN_1, label) => self.label(label)?,
                (LEN_2, chunk) => chunks.push(self.chunk(chunk)?),
                _ => return None,
            }
        }
        self.forget_behind(self.n_labels);
        let labels = self.stack.labels();
        if !chunks.is_sorted_by_key(|chunk| (chunk.min_time, chunk.max_time)) {
            chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
        }
        Some(SelectedSeries { labels, chunks })
    }

    fn label(&mut self, body: &'a [u8]) -> Option<()> {
        if self.labels.get(self.n_labels).is_none_or(|(last, _)| *last != body) {
            self.forget_behind(self.n_labels);
            let mut fields = Cursor(body);
            let name = (fields.tag()? == LEN_1).then(|| fields.sized())??;
            let value = (fields.tag()? == LEN_2).then(|| fields.sized())??;
            let ascends = self.labels.last().is_none_or(|(_, last)| *last < name);
            if !fields.0.is_empty() || value.is_empty() || !ascends {
                return None;
            }
            self.labels.push((body, name));
            self.stack.push(name, value);
        }
        self.n_labels += 1;
        Some(())
    }

    fn forget_behind(&mut self, n: usize) {
        self.labels.truncate(n);
        self.stack.truncate(n);
    }

    /// An `AggrChunk`. One of aggregates is put together by way of its message.
    fn chunk(&self, body: &'a [u8]) -> Option<EncodedChunk> {
        let (mut min_time, mut max_time, mut raw) = (0, 0, None);
        let mut fields = Cursor(body);
        while !fields.0.is_empty() {
            match fields.tag()? {
                NUMBER_1 => min_time = fields.varint()?.cast_signed(),
                NUMBER_2 => max_time = fields.varint()?.cast_signed(),
                LEN_3 if raw.is_none() => raw = Some(fields.sized()?),
                _ => {
                    let message = AggrChunk::decode(self.message.slice_ref(body)).ok()?;
                    return aggr_chunk_from_wire(&message).ok();
                }
            }
        }
        let (mut number, mut data): (u64, &[u8]) = (0, &[]);
        let mut fields = Cursor(raw?);
        while !fields.0.is_empty() {
            match fields.tag()? {
                NUMBER_1 => number = fields.varint()?,
                LEN_2 => data = fields.sized()?,
                NUMBER_3 => drop(fields.varint()?),
                _ => return None,
            }
        }
        let encoding = encoding_from_wire(i32::try_from(number).ok()?).ok()?;
        let (min_time, max_time) = (Timestamp(min_time), Timestamp(max_time));
        Some(EncodedChunk { encoding, min_time, max_time, data: self.message.slice_ref(data) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::thanos::{Chunk, Label, Series, SeriesBatch};

    /// What the generated decoder makes of a message.
    fn model(message: &Bytes) -> Option<ReceivedFrame> {
        let answer = SeriesResponse::decode(message.clone()).ok()?;
        let all = |series: &[Series]| series.iter().map(series_from_wire).collect::<Result<_, _>>().ok();
        Some(match answer.result {
            Some(Arm::Series(one)) => ReceivedFrame::Series(all(&[one])?),
            Some(Arm::Batch(batch)) => ReceivedFrame::Series(all(&batch.series)?),
            Some(Arm::Warning(text)) => ReceivedFrame::Warning(text),
            Some(Arm::Hints(_)) | None => ReceivedFrame::Other,
        })
    }

    fn chunk() -> impl Strategy<Value = Option<Chunk>> {
        let data = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        let chunk = (0..8, data, any::<u64>()).prop_map(|(r#type, data, hash)| Chunk {
            r#type: r#type % 7,
            data,
            hash,
        });
        prop::option::weighted(0.3, chunk)
    }

    fn aggregates() -> impl Strategy<Value = AggrChunk> {
        let time = prop_oneof![Just(0), Just(i64::MIN), -3_i64..9, Just(1_700_000_000_000)];
        (time.clone(), time, chunk(), chunk(), chunk()).prop_map(|(min_time, max_time, raw, count, max)| {
            AggrChunk { min_time, max_time, raw, count, max, ..AggrChunk::default() }
        })
    }

    fn series() -> impl Strategy<Value = Series> {
        let label = ("[a-d]{0,2}", "[x-z]{0,150}")
            .prop_map(|(name, value)| Label { name: Bytes::from(name), value: Bytes::from(value) });
        let (labels, chunks) =
            (prop::collection::vec(label, 0..4), prop::collection::vec(aggregates(), 0..5));
        (labels, chunks, any::<bool>()).prop_map(|(mut labels, chunks, sorted)| {
            if sorted {
                labels.sort_by(|a, b| a.name.cmp(&b.name));
                labels.dedup_by(|a, b| a.name == b.name);
                labels.retain(|label| !label.value.is_empty());
            }
            Series { labels, chunks }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_frame_is_what_the_generated_decoder_reads(
            all in prop::collection::vec(series(), 0..4),
            warning in any::<bool>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        ) {
            let arm = match all.as_slice() {
                [] if warning => Arm::Warning("careful".to_owned()),
                [one] => Arm::Series(one.clone()),
                _ => Arm::Batch(SeriesBatch { series: all }),
            };
            let mut bytes = SeriesResponse { result: Some(arm) }.encode_to_vec();
            let whole = Bytes::from(bytes.clone());
            prop_assert_eq!(ReceivedFrame::read(whole.clone()).ok(), model(&whole));
            for (place, byte) in changes {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len() + 1)));
            let changed = Bytes::from(bytes);
            prop_assert_eq!(ReceivedFrame::read(changed.clone()).ok(), model(&changed));
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let error = ReceivedFrame::read(Bytes::from_static(&[0x0a, 200, 1])).unwrap_err();
        assert!(error.to_string().starts_with("decode thanos.SeriesResponse: "), "{error}");
        assert_eq!(ReceivedFrame::read(Bytes::new()), Ok(ReceivedFrame::Other));
    }
}
