//! Why bytes are no answer of HTTP/1.1.

/// What was found in place of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Http1Fault {
    /// The status line or a header is malformed.
    #[error("head of the answer: {0}")]
    Head(#[from] httparse::Error),
    /// The head has no end within the limit.
    #[error("head of the answer: no end within {0} bytes")]
    HeadTooLong(usize),
    /// A status that leads to another protocol, or one interim answer after the other.
    #[error("unexpected interim answer with status {0}")]
    Interim(u16),
    /// The length of the body is no number, or there are several.
    #[error("content-length: expected one number, found {0:?}")]
    ContentLength(String),
    /// The body is encoded in an unknown way.
    #[error("transfer-encoding: expected \"chunked\", found {0:?}")]
    TransferEncoding(String),
    /// The line before a chunk is not its size.
    #[error("size of a chunk: expected a hexadecimal number, found {0:?}")]
    ChunkSize(String),
    /// A line of the chunked encoding has no end within the limit, or ends without a carriage return.
    #[error("line of a chunked body: expected CR LF within {0} bytes")]
    Line(usize),
    /// The bytes of a chunk are not followed by a line end.
    #[error("end of a chunk: expected CR LF, found {0:?}")]
    ChunkEnd(String),
}
