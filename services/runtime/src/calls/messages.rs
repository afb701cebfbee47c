//! Counts the messages in the body of a call.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tonic::Status;
use tonic::body::Body;

/// A body whose messages are counted.
pub(super) struct Messages {
    body: Body,
    counter: Option<Counter>,
    heads: Heads,
    found: u64,
    bytes: u64,
}

impl Messages {
    /// `counter`, if given, also counts the messages.
    pub(super) fn new(body: Body, counter: Option<Counter>) -> Messages {
        Messages { body, counter, heads: Heads::default(), found: 0, bytes: 0 }
    }

    /// Number of messages that have begun so far.
    pub(super) fn found(&self) -> u64 {
        self.found
    }

    /// Number of bytes so far, including the messages' prefixes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Finds messages in a stream of bytes. Each has a prefix of five bytes: a compression flag and the length.
#[derive(Debug, Default)]
struct Heads {
    /// Number of bytes seen of the current prefix, and the length as far as it is known.
    seen: usize,
    len: u32,
    /// Number of bytes of the current message that are yet to come.
    left: usize,
}

impl Heads {
    /// Number of messages that begin in `bytes`, which continue those of the last call.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut found = 0;
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            let Some((byte, rest)) = bytes.split_first() else { break };
            bytes = rest;
            if self.seen > 0 {
                self.len = self.len << 8 | u32::from(*byte);
            }
            self.seen += 1;
            if self.seen == 5 {
                found += 1;
                *self = Heads { left: self.len as usize, ..Heads::default() };
            }
        }
        found
    }
}

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            let found = self.heads.count(data);
            self.found += found;
            self.bytes += data.len() as u64;
            if let Some(counter) = &self.counter {
                counter.inc_by(found);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_the_bytes_are_cut() {
        let mut stream = Vec::new();
        for len in [0_u32, 3, 300, 0, 1] {
            stream.push(0);
            stream.extend_from_slice(&len.to_be_bytes());
            stream.extend(std::iter::repeat_n(7, len as usize));
        }
        for cut in 1..stream.len() {
            let mut heads = Heads::default();
            assert_eq!(stream.chunks(cut).map(|part| heads.count(part)).sum::<u64>(), 5, "cut {cut}");
        }
    }
}
