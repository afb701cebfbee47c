//! Writes XOR chunks, byte for byte as Prometheus's appender.

use std::hint::select_unpredictable;

use super::{DOD, fits_shifted};
use crate::bits::{BitWriter, Fields};
use crate::xor_code::XorWriter;

/// Builds one XOR chunk sample by sample.
#[derive(Clone, Debug)]
pub struct XorEncoder {
    out: BitWriter,
    n: u16,
    t: i64,
    delta: i64,
    bits: u64,
    window: XorWriter,
}

impl Default for XorEncoder {
    fn default() -> XorEncoder {
        XorEncoder::new()
    }
}

impl XorEncoder {
    /// An empty chunk.
    pub fn new() -> XorEncoder {
        XorEncoder::with_capacity(128)
    }

    /// An empty chunk that can grow to `bytes` without moving.
    pub fn with_capacity(bytes: usize) -> XorEncoder {
        XorEncoder {
            out: BitWriter::with_capacity(&[0, 0], bytes),
            n: 0,
            t: 0,
            delta: 0,
            bits: 0,
            window: XorWriter::default(),
        }
    }

    /// Appends a sample at `t` milliseconds. Timestamps need not ascend.
    ///
    /// Panics after 65,535 samples, as many as the header can count: close a chunk long before.
    #[inline]
    pub fn push(&mut self, t: i64, value: f64) {
        let bits = value.to_bits();
        match self.n {
            0 => {
                self.out.varint(t);
                self.out.write(bits, 64);
            }
            1 => {
                self.delta = t.wrapping_sub(self.t);
                self.out.uvarint(self.delta as u64);
                self.window.write(bits ^ self.bits, &mut self.out);
            }
            _ => {
                let delta = t.wrapping_sub(self.t);
                let prefix = dod_code(delta.wrapping_sub(self.delta), &mut self.out);
                self.delta = delta;
                self.window.write_after(prefix, bits ^ self.bits, &mut self.out);
            }
        }
        self.t = t;
        self.bits = bits;
        self.n = self.n.checked_add(1).expect("a chunk counts at most 65,535 samples");
    }

    /// Appends samples as [`XorEncoder::push`] does one by one, in less time.
    ///
    /// `times` and `values` are of equal length; panics where they are not, and as [`XorEncoder::push`] does.
    pub fn extend(&mut self, times: &[i64], values: &[f64]) {
        assert_eq!(times.len(), values.len());
        let alone = times.len().min(2usize.saturating_sub(self.len()));
        for i in 0..alone {
            self.push(times[i], values[i]);
        }
        for (times, values) in times[alone..].chunks(STRETCH).zip(values[alone..].chunks(STRETCH)) {
            let mut state = State { t: self.t, delta: self.delta, bits: self.bits, window: self.window };
            self.out.fields(|out| {
                for (t, value) in times.iter().zip(values) {
                    state.push(*t, *value, out);
                }
            });
            (self.t, self.delta, self.bits, self.window) = (state.t, state.delta, state.bits, state.window);
            let n = self.n.checked_add(times.len() as u16);
            self.n = n.expect("a chunk counts at most 65,535 samples");
        }
    }

    /// Samples so far.
    pub fn len(&self) -> usize {
        usize::from(self.n)
    }

    /// Whether there is no sample yet.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Size of the chunk's data so far, in bytes.
    pub fn byte_len(&self) -> usize {
        self.out.byte_len()
    }

    /// The chunk's data.
    pub fn finish(self) -> Vec<u8> {
        self.out.finish(&self.n.to_be_bytes())
    }
}

/// Samples whose fields fit one piece of a bit stream, at 145 bits each.
const STRETCH: usize = 48;

/// What a sample behind the second is encoded against.
struct State {
    t: i64,
    delta: i64,
    bits: u64,
    window: XorWriter,
}

impl State {
    #[inline(always)]
    fn push(&mut self, t: i64, value: f64, out: &mut Fields) {
        let delta = t.wrapping_sub(self.t);
        let dod = delta.wrapping_sub(self.delta);
        let prefix = match dod_field(dod) {
            Some(field) => field,
            None => {
                out.write(0b1111, 4);
                out.write_wide(dod as u64, 64);
                (0, 0)
            }
        };
        let bits = value.to_bits();
        self.window.write_field(prefix, bits ^ self.bits, out);
        (self.t, self.delta, self.bits) = (t, delta, bits);
    }
}

/// The code for a change of the time distance, as a field to be written next; a 64-bit one is written at once.
#[inline(always)]
fn dod_code(dod: i64, out: &mut BitWriter) -> (u64, u32) {
    dod_field(dod).unwrap_or_else(|| {
        out.write(0b1111, 4);
        out.write(dod as u64, 64);
        (0, 0)
    })
}

/// The code for a change of the time distance, of at most 24 bits; `None` where it takes 64 bits behind four ones.
#[inline(always)]
fn dod_field(dod: i64) -> Option<(u64, u32)> {
    let (prefix, size) = DOD[1];
    if fits_shifted(dod, size) {
        // Scrapes are late or not: nobody can foresee it.
        let short = (0b10 << size | dod as u64 & ((1 << size) - 1), prefix + size);
        return Some(select_unpredictable(dod == 0, (0, 1), short));
    }
    for ones in 2..=3u32 {
        let (prefix, size) = DOD[ones as usize];
        if fits_shifted(dod, size) {
            let mark = ((1u64 << ones) - 1) << 1;
            return Some((mark << size | dod as u64 & ((1 << size) - 1), prefix + size));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            (0u32..50).prop_map(f64::from),
            any::<u64>().prop_map(f64::from_bits),
            Just(1.5),
            any::<f64>()
        ]
    }

    fn time() -> impl Strategy<Value = i64> {
        prop_oneof![(0i64..9).prop_map(|i| i * 15_000), -600_000i64..600_000, any::<i64>()]
    }

    proptest! {
        #[test]
        fn many_at_once_are_as_one_by_one(
            samples in prop::collection::vec((time(), value()), 0..200), cuts in prop::collection::vec(0usize..90, 0..6),
        ) {
            let (mut plain, mut fast) = (XorEncoder::new(), XorEncoder::new());
            samples.iter().for_each(|(t, value)| plain.push(*t, *value));
            let (times, values): (Vec<i64>, Vec<f64>) = samples.into_iter().unzip();
            let (mut times, mut values) = (times.as_slice(), values.as_slice());
            for cut in cuts {
                let cut = cut.min(times.len());
                fast.extend(&times[..cut], &values[..cut]);
                (times, values) = (&times[cut..], &values[cut..]);
            }
            fast.extend(times, values);
            prop_assert_eq!(fast.finish(), plain.finish());
        }
    }
}
