//! Answers of HTTP/1.1, as servers send them: bytes in, no panic out, and the body is the same wherever reads end.

use bytes::BytesMut;
use tithon_runtime::{BodyReader, Head, Http1Fault};

/// Reads the bytes as an answer, all at once and in small parts.
pub fn read_answer(data: &[u8]) {
    let Ok(Some((head, bytes))) = Head::parse(data) else { return };
    let wire = &data[bytes..];
    let at_once = body(&head, wire, wire.len().max(1));
    for step in [1, 2, 7] {
        match (&at_once, body(&head, wire, step)) {
            (Ok(whole), Ok(found)) => assert_eq!(*whole, found),
            (Err(_), Err(_)) => {}
            (whole, found) => panic!("{whole:?}, and in parts of {step}: {found:?}"),
        }
    }
}

/// The body, and whether it is whole, when `step` bytes more are there at each read.
fn body(head: &Head, wire: &[u8], step: usize) -> Result<(BytesMut, bool), Http1Fault> {
    let (mut reader, mut out, mut at) = (BodyReader::new(head.framing), BytesMut::new(), 0);
    for end in (step..wire.len()).step_by(step).chain([wire.len()]) {
        at += reader.read(&wire[at..end], &mut out)?;
    }
    Ok((out, reader.may_end()))
}
