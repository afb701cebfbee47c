//! XOR chunks against a decoder written from the description of the format, one bit at a time.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tithon_chunks::{Encoding, SampleBatch, TimeRange, XorEncoder, decode_floats};

/// Takes bits off the front of a string of zeros and ones.
struct Bits<'a>(&'a str);

impl Bits<'_> {
    fn take(&mut self, n: usize) -> Option<u64> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head.bytes().fold(0, |acc, bit| acc << 1 | u64::from(bit - b'0')))
    }

    fn uvarint(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.take(8)?;
            value |= (byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                return Some(value);
            }
        }
    }
}

/// The samples of a sound chunk.
fn reference(data: &[u8]) -> Option<Vec<(i64, u64)>> {
    let text: String = data.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut bits = Bits(&text);
    let n = bits.take(16)?;
    let mut out = Vec::new();
    let (mut t, mut delta, mut value, mut lead, mut size) = (0i64, 0i64, 0u64, 0u64, 64u64);
    for i in 0..n {
        if i == 0 {
            let zigzag = bits.uvarint()?;
            t = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
            value = bits.take(64)?;
        } else {
            delta = match i {
                1 => bits.uvarint()? as i64,
                _ => delta.wrapping_add(dod(&mut bits)?),
            };
            t = t.wrapping_add(delta);
            if bits.take(1)? == 1 {
                if bits.take(1)? == 1 {
                    lead = bits.take(5)?;
                    size = bits.take(6)?;
                    size = if size == 0 { 64 } else { size };
                }
                value ^= bits.take(size as usize)? << (64 - lead - size);
            }
        }
        out.push((t, value));
    }
    Some(out)
}

fn dod(bits: &mut Bits<'_>) -> Option<i64> {
    let size = if bits.take(1)? == 0 {
        return Some(0);
    } else if bits.take(1)? == 0 {
        14
    } else if bits.take(1)? == 0 {
        17
    } else if bits.take(1)? == 0 {
        20
    } else {
        return bits.take(64).map(|field| field as i64);
    };
    let field = bits.take(size)? as i64;
    Some(if field > 1 << (size - 1) { field - (1 << size) } else { field })
}

fn time_change() -> impl Strategy<Value = i64> {
    prop_oneof![Just(15_000), -9_000i64..9_000, -70_000i64..70_000, -600_000i64..600_000, any::<i64>()]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(1.5f64.to_bits()),
        (0u32..2_000).prop_map(|v| f64::from(v).to_bits()),
        any::<u64>(),
        Just(0x7ff0_0000_0000_0002),
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same_bit_by_bit(
        samples in prop::collection::vec((time_change(), value()), 0..150),
    ) {
        let mut t = 1_700_000_000_000i64;
        let mut encoder = XorEncoder::new();
        let mut expected = Vec::new();
        for (change, bits) in samples {
            t = t.wrapping_add(change);
            encoder.push(t, f64::from_bits(bits));
            expected.push((t, bits));
        }
        let data = encoder.finish();
        prop_assert_eq!(&reference(&data).unwrap(), &expected);
        let mut batch = SampleBatch::default();
        decode_floats(Encoding::Xor, &data, TimeRange::ALL, &mut batch).unwrap();
        let got: Vec<_> = batch.timestamps.iter().copied().zip(batch.values.iter().map(|v| v.to_bits())).collect();
        prop_assert_eq!(got, expected);
    }
}
