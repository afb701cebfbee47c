//! Start timestamps inside chunks of encodings 4, 5 and 6. Prometheus `tsdb/chunkenc/st.go`.
//!
//! Header byte: bit 7 says that sample 0 has one, bits 6..0 from which sample on there is a field (0: never). The
//! field is the change of the distance from the start timestamp to the previous sample's time.

use crate::bits::{BitReader, BitWriter};
use crate::varbit;

/// From this sample on the field is always there: the header cannot name a later one.
const FIELD_FROM_MAX: u16 = 0x7f;
const FIRST_KNOWN: u8 = 0x80;

/// Reads start timestamps sample by sample.
#[derive(Clone, Debug)]
pub(crate) struct StartReader {
    first_known: bool,
    field_from: u16,
    start: i64,
    distance: i64,
}

impl StartReader {
    pub(crate) fn new(header: u8) -> StartReader {
        StartReader {
            first_known: header & FIRST_KNOWN != 0,
            field_from: u16::from(header & 0x7f),
            start: 0,
            distance: 0,
        }
    }

    /// Sample 0 at `t`; `None` when its varint is malformed.
    pub(crate) fn first(&mut self, t: i64, reader: &mut BitReader<'_>) -> Option<i64> {
        if self.first_known {
            self.start = t.wrapping_sub(reader.varint()?);
        }
        Some(self.start)
    }

    /// Sample `i` from 1 on; `previous_t` is the time of the sample before.
    #[inline(always)]
    pub(crate) fn next(&mut self, i: usize, previous_t: i64, reader: &mut BitReader<'_>) -> i64 {
        let from = usize::from(self.field_from);
        if from != 0 && i >= from {
            let change = varbit::read_int(reader);
            self.distance = if i == from { change } else { self.distance.wrapping_add(change) };
            self.start = previous_t.wrapping_sub(self.distance);
        }
        self.start
    }
}

/// Writes start timestamps sample by sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct StartWriter {
    header: u8,
    start: i64,
    distance: i64,
}

impl StartWriter {
    /// The header byte after the samples so far.
    pub(crate) fn header(&self) -> u8 {
        self.header
    }

    /// Sample `i` at `t` with start timestamp `start`; `previous_t` is the time of the sample before.
    pub(crate) fn write(&mut self, i: u16, t: i64, previous_t: i64, start: i64, out: &mut BitWriter) {
        let field_from = self.header & 0x7f;
        if i == 0 {
            if start != 0 {
                self.header = FIRST_KNOWN;
                out.varint(t.wrapping_sub(start));
            }
        } else if field_from != 0 {
            let distance = previous_t.wrapping_sub(start);
            varbit::write_int(distance.wrapping_sub(self.distance), out);
            self.distance = distance;
        } else if start != self.start || i == FIELD_FROM_MAX {
            self.header |= i.min(FIELD_FROM_MAX) as u8;
            self.distance = previous_t.wrapping_sub(start);
            varbit::write_int(self.distance, out);
        }
        self.start = start;
    }
}
