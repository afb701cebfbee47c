//! The variable-length integers of histogram chunks and start timestamps. Prometheus `tsdb/chunkenc/varbit.go`.
//!
//! A prefix of 0 to 7 ones and a zero, or 8 ones, then 0, 3, 6, 9, 12, 18, 25, 56 or 64 bits of value.

use crate::bits::{BitReader, BitWriter};
use crate::xor::{fits_shifted, shifted_signed};

/// Bits of the value behind a prefix of that many ones.
const SIZES: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Reads the unsigned form.
#[inline(always)]
pub(crate) fn read_uint(reader: &mut BitReader<'_>) -> u64 {
    read(reader).0
}

/// Reads the signed form.
#[inline(always)]
pub(crate) fn read_int(reader: &mut BitReader<'_>) -> i64 {
    match read(reader) {
        (_, 0) => 0,
        (bits, 64) => bits as i64,
        (bits, size) => shifted_signed(bits, size),
    }
}

#[inline(always)]
fn read(reader: &mut BitReader<'_>) -> (u64, u32) {
    let window = reader.window();
    let ones = (!window).leading_zeros().min(8);
    let size = SIZES[ones as usize];
    match ones {
        0 => {
            reader.skip(1);
            (0, 0)
        }
        1..=6 => {
            reader.skip((ones + 1 + size) as usize);
            ((window << (ones + 1)) >> (64 - size), size)
        }
        7 => {
            reader.skip(8);
            (reader.read(56), 56)
        }
        _ => {
            reader.skip(8);
            (reader.read64(), 64)
        }
    }
}

/// Writes the unsigned form.
pub(crate) fn write_uint(value: u64, out: &mut BitWriter) {
    let ones = (0..8).find(|ones| value >> SIZES[*ones] == 0).unwrap_or(8);
    write(value, ones as u32, out);
}

/// Writes the signed form.
pub(crate) fn write_int(value: i64, out: &mut BitWriter) {
    if value == 0 {
        out.write(0, 1);
        return;
    }
    let ones = (1..8).find(|ones| fits_shifted(value, SIZES[*ones])).unwrap_or(8);
    write(value as u64, ones as u32, out);
}

fn write(value: u64, ones: u32, out: &mut BitWriter) {
    if ones == 8 {
        out.write(0xff, 8);
        out.write(value, 64);
        return;
    }
    let size = SIZES[ones as usize];
    let mark = ((1u64 << ones) - 1) << 1;
    let field = value & !(!0 << size);
    out.write(mark << size | field, ones + 1 + size);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_int(value: i64, bits: u32) {
        let mut out = BitWriter::after(&[]);
        out.write(1, 3);
        write_int(value, &mut out);
        let bytes = out.finish(&[]);
        let mut reader = BitReader::new(&bytes, 0);
        reader.skip(3);
        assert_eq!(read_int(&mut reader), value);
        assert_eq!(reader.position(), 3 + bits as usize, "{value}");
    }

    fn check_uint(value: u64, bits: u32) {
        let mut out = BitWriter::after(&[]);
        write_uint(value, &mut out);
        let bytes = out.finish(&[]);
        let mut reader = BitReader::new(&bytes, 0);
        assert_eq!(read_uint(&mut reader), value);
        assert_eq!(reader.position(), bits as usize, "{value}");
    }

    #[test]
    fn every_row_of_the_table_at_both_ends() {
        let totals = [1u32, 5, 9, 13, 17, 24, 32, 64, 72];
        check_int(0, 1);
        check_uint(0, 1);
        for (row, size) in SIZES.iter().enumerate().skip(1).take(7) {
            let half = 1i64 << (size - 1);
            check_int(half, totals[row]);
            check_int(-half + 1, totals[row]);
            check_int(half + 1, totals[row + 1]);
            check_int(-half, totals[row + 1]);
            check_uint((1 << size) - 1, totals[row]);
            check_uint(1 << size, totals[row + 1]);
        }
        check_int(i64::MIN, 72);
        check_int(i64::MAX, 72);
        check_uint(u64::MAX, 72);
    }

    #[test]
    fn zero_is_one_bit_also_as_the_last_of_a_word() {
        let mut out = BitWriter::after(&[]);
        out.write(u64::MAX >> 1, 63);
        write_uint(0, &mut out);
        write_int(4, &mut out);
        assert_eq!(out.finish(&[]), [255, 255, 255, 255, 255, 255, 255, 254, 0b10100 << 3]);
    }
}
