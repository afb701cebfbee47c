//! Counts the content of `Series` frames without building messages: walks the protobuf wire format
//! (protobuf.dev/programming-guides/encoding) with the field numbers of Thanos's `rpc.proto` and `types.proto`.

use xxhash_rust::xxh64::{Xxh64, xxh64};

/// The content of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub frames: u64,
    pub series: u64,
    pub chunks: u64,
    pub samples: u64,
    /// Sum of the hashes of all chunks with their labels and times, and of all label sets, so that order and frames do
    /// not matter.
    pub checksum: u64,
    pub warnings: Vec<String>,
    /// Hash of the labels of the last series, which the next frame may continue.
    pub last: u64,
}

/// The bytes are no valid message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a protobuf message of the StoreAPI")]
pub(crate) struct NotAMessage;

impl Content {
    /// Counts one `SeriesResponse`.
    pub(crate) fn count(&mut self, frame: &[u8]) -> Result<(), NotAMessage> {
        self.frames += 1;
        for field in Fields(frame) {
            match field? {
                (1, Value::Bytes(series)) => self.series(series)?,
                (2, Value::Bytes(text)) => self.warnings.push(String::from_utf8_lossy(text).into_owned()),
                (4, Value::Bytes(batch)) => {
                    for field in Fields(batch) {
                        if let (1, Value::Bytes(series)) = field? {
                            self.series(series)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn series(&mut self, series: &[u8]) -> Result<(), NotAMessage> {
        let mut labels = Xxh64::new(0);
        for field in Fields(series) {
            if let (1, Value::Bytes(label)) = field? {
                for part in Fields(label) {
                    if let (1 | 2, Value::Bytes(text)) = part? {
                        labels.update(&(text.len() as u32).to_le_bytes());
                        labels.update(text);
                    }
                }
            }
        }
        let labels = labels.digest();
        if labels != self.last || self.series == 0 {
            self.last = labels;
            self.series += 1;
            self.checksum = self.checksum.wrapping_add(labels);
        }
        for field in Fields(series) {
            if let (2, Value::Bytes(chunk)) = field? {
                self.chunk(labels, chunk)?;
            }
        }
        Ok(())
    }

    /// Counts an `AggrChunk`: times, and up to six chunks. The raw or the count chunk has the number of samples.
    fn chunk(&mut self, labels: u64, aggregates: &[u8]) -> Result<(), NotAMessage> {
        self.chunks += 1;
        let mut samples = 0;
        for field in Fields(aggregates) {
            match field? {
                (number @ 1..=2, Value::Number(time)) => {
                    self.checksum = self.checksum.wrapping_add(xxh64(&time.to_le_bytes(), labels ^ number));
                }
                (number @ 3..=8, Value::Bytes(chunk)) => {
                    for part in Fields(chunk) {
                        if let (2, Value::Bytes(data)) = part? {
                            self.checksum = self.checksum.wrapping_add(xxh64(data, labels ^ number));
                            if let (0, [high, low, ..]) = (samples, data) {
                                samples = u64::from(u16::from_be_bytes([*high, *low]));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        self.samples += samples;
        Ok(())
    }
}

/// Iterates over the fields of a message.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), NotAMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(NotAMessage))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tithon_proto::thanos::{
        AggrChunk, Chunk, Label, Series, SeriesBatch, SeriesResponse, series_response::Result as Arm,
    };

    use super::*;

    fn series(name: &str, chunks: &[&'static [u8]]) -> Series {
        let label = Label { name: "__name__".into(), value: name.to_owned().into() };
        let chunk = |data: &&'static [u8]| AggrChunk {
            min_time: -5,
            max_time: 7,
            raw: Some(Chunk { r#type: 0, data: (*data).into(), hash: 1 }),
            ..AggrChunk::default()
        };
        Series { labels: vec![label], chunks: chunks.iter().map(chunk).collect() }
    }

    fn content(frames: &[Arm]) -> Content {
        let mut content = Content::default();
        for frame in frames {
            content.count(&SeriesResponse { result: Some(frame.clone()) }.encode_to_vec()).unwrap();
        }
        content
    }

    #[test]
    fn the_cut_into_frames_does_not_matter() {
        let (a, b): (&[u8], &[u8]) = (&[0, 120, 9], &[1, 0, 9]);
        let one = content(&[
            Arm::Series(series("x", &[a])),
            Arm::Series(series("x", &[b])),
            Arm::Series(series("y", &[a])),
            Arm::Warning("slow".into()),
        ]);
        let batch = SeriesBatch { series: vec![series("x", &[a, b]), series("y", &[a])] };
        let other = content(&[Arm::Batch(batch)]);
        assert_eq!((one.frames, one.series, one.chunks, one.samples), (4, 2, 3, 120 + 256 + 120));
        assert_eq!(one.warnings, ["slow"]);
        assert_eq!((one.checksum, one.series, one.samples), (other.checksum, other.series, other.samples));
        let changed = content(&[Arm::Series(series("x", &[a])), Arm::Series(series("y", &[b]))]);
        assert_ne!(changed.checksum, one.checksum);
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(Content::default().count(&[0x0a, 200, 1]), Err(NotAMessage));
        assert_eq!(Content::default().count(&[0xff; 20]), Err(NotAMessage));
    }
}
