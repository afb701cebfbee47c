//! Takes the framing off the body of an answer. RFC 9112, sections 6 and 7.

use bytes::BytesMut;

use super::Http1Fault;

/// Longest line of a chunked body, with extensions of the chunk, and most bytes of all trailers.
const LINES_BYTES_MAX: usize = 16 << 10;
/// Most digits of a chunk's size.
const SIZE_DIGITS_MAX: usize = 16;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With a chunk of no bytes.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// A body being read.
#[derive(Clone, Debug)]
pub struct BodyReader(State);

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes follow.
    Length(u64),
    UntilClose,
    /// The line with the size of a chunk follows.
    Size,
    /// So many bytes of a chunk follow.
    Chunk(u64),
    /// The line end behind the bytes of a chunk follows.
    ChunkEnd,
    /// Trailers follow, of which so many bytes were read.
    Trailers(usize),
    Done,
}

impl BodyReader {
    /// A body of which nothing was read.
    pub fn new(framing: Framing) -> BodyReader {
        BodyReader(match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(bytes) => State::Length(bytes),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// Whether the body has been read to its end.
    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Whether the body is whole if the connection ends here.
    pub fn may_end(&self) -> bool {
        matches!(self.0, State::Done | State::UntilClose)
    }

    /// Appends the bytes of the body to `out`, and returns how many bytes of `input` were read. The others are the beginning of a line
    /// that is not complete, or lie behind the body.
    pub fn read(&mut self, input: &[u8], out: &mut BytesMut) -> Result<usize, Http1Fault> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.0 {
                State::Done => return Ok(at),
                State::UntilClose => {
                    out.extend_from_slice(rest);
                    return Ok(input.len());
                }
                State::Length(left) | State::Chunk(left) => {
                    let taken =
                        &rest[..usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()))];
                    out.extend_from_slice(taken);
                    at += taken.len();
                    let left = left - taken.len() as u64;
                    self.0 = match self.0 {
                        State::Length(_) if left == 0 => State::Done,
                        State::Length(_) => State::Length(left),
                        _ if left == 0 => State::ChunkEnd,
                        _ => State::Chunk(left),
                    };
                    if left > 0 {
                        return Ok(at);
                    }
                }
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => (at, self.0) = (at + 2, State::Size),
                    [] | [b'\r'] => return Ok(at),
                    _ => return Err(Http1Fault::ChunkEnd(shown(&rest[..rest.len().min(2)]))),
                },
                State::Size => {
                    let Some(line) = line(rest)? else { return Ok(at) };
                    at += line.len() + 2;
                    self.0 = match chunk_size(line)? {
                        0 => State::Trailers(0),
                        bytes => State::Chunk(bytes),
                    };
                }
                State::Trailers(before) => {
                    let Some(line) = line(rest)? else { return Ok(at) };
                    at += line.len() + 2;
                    let bytes = before + line.len() + 2;
                    if bytes > LINES_BYTES_MAX {
                        return Err(Http1Fault::Line(LINES_BYTES_MAX));
                    }
                    self.0 = if line.is_empty() { State::Done } else { State::Trailers(bytes) };
                }
            }
        }
    }
}

/// The first line without its end; `None` if it is not complete.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Http1Fault> {
    let within = &bytes[..bytes.len().min(LINES_BYTES_MAX)];
    match within.iter().position(|byte| *byte == b'\n') {
        Some(end) => match within[..end].strip_suffix(b"\r") {
            Some(line) => Ok(Some(line)),
            None => Err(Http1Fault::Line(LINES_BYTES_MAX)),
        },
        None if within.len() == LINES_BYTES_MAX => Err(Http1Fault::Line(LINES_BYTES_MAX)),
        None => Ok(None),
    }
}

/// The number before the extensions of a chunk.
fn chunk_size(line: &[u8]) -> Result<u64, Http1Fault> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let wrong = || Http1Fault::ChunkSize(shown(line));
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return Err(wrong());
    }
    let mut size = 0;
    for digit in digits {
        let digit = char::from(*digit).to_digit(16).ok_or_else(wrong)?;
        size = size << 4 | u64::from(digit);
    }
    Ok(size)
}

/// The beginning of bytes, for an error.
pub(super) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads `wire` in parts that end at `cuts`; gives the body, whether it is done, and the number of bytes that are left.
    fn read(framing: Framing, wire: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, bool, usize), Http1Fault> {
        let (mut reader, mut out, mut at) = (BodyReader::new(framing), BytesMut::new(), 0);
        for end in cuts.iter().copied().chain([wire.len()]) {
            at += reader.read(&wire[at..end.max(at)], &mut out)?;
        }
        Ok((out.to_vec(), reader.is_done(), wire.len() - at))
    }

    fn check(framing: Framing, wire: &str, body: &str, is_done: bool, left: usize) {
        assert_eq!(read(framing, wire.as_bytes(), &[]), Ok((body.into(), is_done, left)), "{wire:?}");
    }

    #[test]
    fn bodies_of_all_framings() {
        check(Framing::Length(0), "next", "", true, 4);
        check(Framing::Length(3), "abcd", "abc", true, 1);
        check(Framing::Length(3), "ab", "ab", false, 0);
        check(Framing::UntilClose, "ab\r\n", "ab\r\n", false, 0);
        check(Framing::Chunked, "3\r\nabc\r\n0\r\n\r\nnext", "abc", true, 4);
        check(
            Framing::Chunked,
            "A;x=\"y\"\r\n0123456789\r\n00\r\nSome: thing\r\n\r\n",
            "0123456789",
            true,
            0,
        );
        check(Framing::Chunked, "3 \r\nabc\r\n0\r\n", "abc", false, 0);
        check(Framing::Chunked, "ffffffffffffffff\r\nabc", "abc", false, 0);
    }

    #[test]
    fn what_is_no_chunk_is_told() {
        let fault = |wire: &str| read(Framing::Chunked, wire.as_bytes(), &[]).unwrap_err();
        for wire in ["\r\n", "x\r\n", "-1\r\n", "+1\r\n", " 1\r\n", "0x1\r\n", "11111111111111111\r\n"] {
            assert!(matches!(fault(wire), Http1Fault::ChunkSize(_)), "{wire:?}");
        }
        assert_eq!(fault("1\r\nab\r\n"), Http1Fault::ChunkEnd("b\r".to_owned()));
        assert_eq!(fault("1\na"), Http1Fault::Line(LINES_BYTES_MAX));
        assert_eq!(fault(&"1".repeat(LINES_BYTES_MAX)), Http1Fault::Line(LINES_BYTES_MAX));
        let endless = format!("0\r\n{}", "A: b\r\n".repeat(LINES_BYTES_MAX / 6 + 1));
        assert_eq!(fault(&endless), Http1Fault::Line(LINES_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn the_body_is_the_same_wherever_chunks_and_reads_end(
            body in prop::collection::vec(any::<u8>(), 0..300),
            sizes in prop::collection::vec(1..40_usize, 0..40),
            upper in any::<bool>(),
            cuts in prop::collection::btree_set(0..900_usize, 0..40),
        ) {
            let (mut wire, mut rest) = (Vec::new(), &body[..]);
            let mut chunk = |bytes: &[u8]| {
                let size = if upper { format!("{:X}", bytes.len()) } else { format!("{:x}", bytes.len()) };
                wire.extend_from_slice(&[size.as_bytes(), b"\r\n", bytes, b"\r\n"].concat());
            };
            for size in sizes {
                if rest.is_empty() {
                    break;
                }
                let (part, behind) = rest.split_at(size.min(rest.len()));
                chunk(part);
                rest = behind;
            }
            if !rest.is_empty() {
                chunk(rest);
            }
            chunk(&[]);
            let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < wire.len()).collect();
            prop_assert_eq!(read(Framing::Chunked, &wire, &cuts), Ok((body.clone(), true, 0)));
            for end in 0..wire.len() {
                let cut = read(Framing::Chunked, &wire[..end], &[]);
                prop_assert!(cut.is_ok_and(|(found, is_done, _)| !is_done && body.starts_with(&found)));
            }
            let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < body.len()).collect();
            let len = body.len() as u64;
            prop_assert_eq!(read(Framing::Length(len), &body, &cuts), Ok((body.clone(), true, 0)));
        }
    }
}
