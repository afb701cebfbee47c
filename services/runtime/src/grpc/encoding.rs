//! Encodings of gRPC messages. Snappy is the framing format, as in Thanos (`pkg/extgrpc/snappy`), not the block format
//! of remote write.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// The compression of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcEncoding {
    /// Snappy in the framing format.
    Snappy,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl GrpcEncoding {
    pub(super) fn of(name: &str) -> Option<GrpcEncoding> {
        [GrpcEncoding::Snappy, GrpcEncoding::Gzip, GrpcEncoding::Zstd]
            .into_iter()
            .find(|known| known.name() == name)
    }

    /// The name in headers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            GrpcEncoding::Snappy => "snappy",
            GrpcEncoding::Gzip => "gzip",
            GrpcEncoding::Zstd => "zstd",
        }
    }

    pub(super) fn pack(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            GrpcEncoding::Snappy => {
                let mut encoder = snap::write::FrameEncoder::new(Vec::new());
                encoder.write_all(bytes)?;
                encoder.into_inner().map_err(|error| io::Error::other(error.to_string()))
            }
            GrpcEncoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            GrpcEncoding::Zstd => zstd::encode_all(bytes, 1),
        }
    }

    /// Decompresses a message. Fails when the result is longer than `bytes_max`.
    pub(super) fn unpack(self, packed: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
        let decoder: Box<dyn Read + '_> = match self {
            GrpcEncoding::Snappy => Box::new(snap::read::FrameDecoder::new(packed)),
            GrpcEncoding::Gzip => Box::new(MultiGzDecoder::new(packed)),
            GrpcEncoding::Zstd => Box::new(zstd::Decoder::new(packed)?),
        };
        let mut bytes = Vec::new();
        decoder.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(io::Error::other(format!("more than {bytes_max} bytes unpacked")));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snappy_is_the_framing_format() {
        assert!(GrpcEncoding::Snappy.pack(b"abc").unwrap().starts_with(b"\xff\x06\x00\x00sNaPpY"));
    }

    #[test]
    fn no_more_is_unpacked_than_allowed() {
        for encoding in [GrpcEncoding::Snappy, GrpcEncoding::Gzip, GrpcEncoding::Zstd] {
            let packed = encoding.pack(&vec![0; 1001]).unwrap();
            assert!(encoding.unpack(&packed, 1001).is_ok() && encoding.unpack(&packed, 1000).is_err());
            assert!(packed.len() < 200);
        }
    }
}
