//! Codecs of the gRPC server: that of `Series` sends frames that are encoded already, and those of label names and
//! values write texts straight into the message, without an allocation for each.

use std::marker::PhantomData;

use bytes::{Buf, BufMut};
use prost::Message;
use prost::encoding::{message, string};
use prost_types::Any;
use tithon_chunks::ErrorKind;
use tithon_index::Texts;
use tithon_proto::SeriesFrame;
use tithon_proto::thanos::SeriesRequest;
use tithon_runtime::to_status;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeriesCodec;

impl Codec for SeriesCodec {
    type Encode = SeriesFrame;
    type Decode = SeriesRequest;
    type Encoder = SeriesCodec;
    type Decoder = RequestDecoder<SeriesRequest>;

    fn encoder(&mut self) -> SeriesCodec {
        SeriesCodec
    }

    fn decoder(&mut self) -> RequestDecoder<SeriesRequest> {
        RequestDecoder(PhantomData)
    }
}

impl Encoder for SeriesCodec {
    type Item = SeriesFrame;
    type Error = Status;

    fn encode(&mut self, frame: SeriesFrame, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(frame.len_max());
        frame.write(out);
        Ok(())
    }
}

/// Decodes requests of type `Q`.
#[derive(Debug)]
pub(crate) struct RequestDecoder<Q>(PhantomData<Q>);

impl<Q: Message + Default> Decoder for RequestDecoder<Q> {
    type Item = Q;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Q>, Status> {
        let request = Q::decode(bytes.copy_to_bytes(bytes.remaining()));
        request.map(Some).map_err(|e| to_status(ErrorKind::Internal, format!("decode the request: {e}")))
    }
}

/// An answer with label names or values: `LabelNamesResponse` and `LabelValuesResponse` have the same fields.
#[derive(Debug, Default)]
pub(crate) struct LabelsMessage {
    /// Field 1 of the message.
    pub(crate) found: Texts,
    /// Field 2 of the message.
    pub(crate) warnings: Vec<String>,
    /// Field 3 of the message.
    pub(crate) hints: Option<Any>,
}

impl LabelsMessage {
    fn len(&self) -> usize {
        let hints = self.hints.as_ref().map_or(0, |hints| message::encoded_len(3, hints));
        self.found.as_field_1().len() + string::encoded_len_repeated(2, &self.warnings) + hints
    }

    fn write(&self, out: &mut impl BufMut) {
        out.put_slice(self.found.as_field_1());
        string::encode_repeated(2, &self.warnings, out);
        if let Some(hints) = &self.hints {
            message::encode(3, hints, out);
        }
    }
}

/// The codec of label calls, whose requests are `Q`.
#[derive(Debug)]
pub(crate) struct LabelsCodec<Q>(PhantomData<Q>);

impl<Q> Default for LabelsCodec<Q> {
    fn default() -> LabelsCodec<Q> {
        LabelsCodec(PhantomData)
    }
}

impl<Q: Message + Default + 'static> Codec for LabelsCodec<Q> {
    type Encode = LabelsMessage;
    type Decode = Q;
    type Encoder = LabelsEncoder;
    type Decoder = RequestDecoder<Q>;

    fn encoder(&mut self) -> LabelsEncoder {
        LabelsEncoder
    }

    fn decoder(&mut self) -> RequestDecoder<Q> {
        RequestDecoder(PhantomData)
    }
}

/// Writes answers with label names or values.
#[derive(Debug)]
pub(crate) struct LabelsEncoder;

impl Encoder for LabelsEncoder {
    type Item = LabelsMessage;
    type Error = Status;

    fn encode(&mut self, answer: LabelsMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(answer.len());
        answer.write(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tithon_proto::thanos::{LabelNamesResponse, LabelValuesResponse};

    use super::*;

    #[test]
    fn labels_are_written_as_both_messages_have_them() {
        let long = Bytes::from(vec![b'x'; 300]);
        let found = vec![Bytes::from_static(b"a"), Bytes::new(), long, Bytes::from_static(b"\xff")];
        let warnings = vec!["careful".to_owned(), String::new()];
        let hints = Some(Any { type_url: "t/x".to_owned(), value: vec![1, 2, 3] });
        for hints in [hints, None] {
            let message = LabelsMessage {
                found: found.iter().collect(),
                warnings: warnings.clone(),
                hints: hints.clone(),
            };
            let mut out = Vec::new();
            message.write(&mut out);
            assert_eq!(out.len(), message.len());
            let (names, warnings) = (found.clone(), warnings.clone());
            let expected = LabelNamesResponse { names, warnings: warnings.clone(), hints: hints.clone() };
            assert_eq!(out, expected.encode_to_vec());
            let expected = LabelValuesResponse { values: found.clone(), warnings, hints };
            assert_eq!(out, expected.encode_to_vec());
        }
    }
}
