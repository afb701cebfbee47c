//! The three bytes at the head of a histogram chunk: sample count, counter reset state, start timestamp header.

use crate::start::StartReader;
use crate::{ChunkError, CounterResetHint, Encoding, Reader};

/// Length of the header, in bytes.
pub(crate) const HEADER_BYTES: usize = 3;

/// What a chunk says about a counter reset before its first sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterResetHeader {
    /// Nothing.
    #[default]
    Unknown,
    /// There was one.
    Reset,
    /// There was none.
    NotReset,
    /// The chunk holds gauge histograms.
    Gauge,
}

impl CounterResetHeader {
    const fn from_bits(bits: u8) -> CounterResetHeader {
        match bits & 3 {
            0b10 => CounterResetHeader::Reset,
            0b01 => CounterResetHeader::NotReset,
            0b11 => CounterResetHeader::Gauge,
            _ => CounterResetHeader::Unknown,
        }
    }

    /// The two bits that are stored.
    pub(crate) const fn bits(self) -> u8 {
        match self {
            CounterResetHeader::Unknown => 0b00,
            CounterResetHeader::Reset => 0b10,
            CounterResetHeader::NotReset => 0b01,
            CounterResetHeader::Gauge => 0b11,
        }
    }

    /// The hint of sample `i` of such a chunk. The first sample of counters is always unknown, as nothing says which
    /// histogram a reader saw before it.
    pub(crate) const fn hint(self, i: usize) -> CounterResetHint {
        match self {
            CounterResetHeader::Gauge => CounterResetHint::Gauge,
            _ if i > 0 => CounterResetHint::NotReset,
            _ => CounterResetHint::Unknown,
        }
    }
}

/// A parsed header.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) n_samples: usize,
    pub(crate) reset: CounterResetHeader,
    pub(crate) start: StartReader,
}

impl Header {
    /// Parses the header of a chunk of `encoding`.
    pub(crate) fn parse(encoding: Encoding, data: &[u8]) -> Result<Header, ChunkError> {
        let mut reader = Reader::new(data);
        let count = reader.u16_be("sample count")?;
        let flags = reader.u8("histogram chunk flags")?;
        Ok(match encoding {
            Encoding::HistogramSt | Encoding::FloatHistogramSt => Header {
                n_samples: usize::from(count & 0x3fff),
                reset: CounterResetHeader::from_bits((count >> 14) as u8),
                start: StartReader::new(flags),
            },
            _ => Header {
                n_samples: usize::from(count),
                reset: CounterResetHeader::from_bits(flags >> 6),
                start: StartReader::new(0),
            },
        })
    }
}
