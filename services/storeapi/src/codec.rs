//! The codec of `Series` on the server: decodes requests, passes on frames that are encoded already.

use bytes::Buf;
use prost::Message;
use tithon_chunks::ErrorKind;
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
    type Decoder = SeriesCodec;

    fn encoder(&mut self) -> SeriesCodec {
        SeriesCodec
    }

    fn decoder(&mut self) -> SeriesCodec {
        SeriesCodec
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

impl Decoder for SeriesCodec {
    type Item = SeriesRequest;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<SeriesRequest>, Status> {
        let request = SeriesRequest::decode(bytes.copy_to_bytes(bytes.remaining()));
        request.map(Some).map_err(|e| to_status(ErrorKind::Internal, format!("decode SeriesRequest: {e}")))
    }
}
