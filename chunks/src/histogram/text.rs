//! Histograms as text: `{count:6, sum:10.5, [-0.5,0.5]:1, (0.5,1]:5}`, numbers as Go's `%g` prints them.

use std::fmt;

use super::buckets::{Bucket, placed};
use super::{FloatHistogram, Histogram};

impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", Go(self.count), Go(self.sum))?;
        for bucket in self.negative_side().rev().filter(|bucket| bucket.count != 0.0) {
            write_bucket(f, &bucket, Go(bucket.count))?;
        }
        if self.zero_count != 0.0 {
            write_bucket(f, &self.zero_bucket(), Go(self.zero_count))?;
        }
        for bucket in self.positive_side().filter(|bucket| bucket.count != 0.0) {
            write_bucket(f, &bucket, Go(bucket.count))?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", self.count, Go(self.sum))?;
        let side = |spans, deltas: &[i64], positive: bool| -> Vec<(Bucket, u64)> {
            let mut count = 0i64;
            placed(spans, deltas)
                .filter_map(|(index, delta)| {
                    count = count.wrapping_add(delta);
                    let bucket = Bucket::new(index, 0.0, self.schema, positive, &self.custom_values);
                    (count != 0).then_some((bucket, count as u64))
                })
                .collect()
        };
        for (bucket, count) in side(&self.negative_spans, &self.negative_buckets, false).iter().rev() {
            write_bucket(f, bucket, count)?;
        }
        if self.zero_count != 0 {
            let empty = FloatHistogram { zero_threshold: self.zero_threshold, ..FloatHistogram::default() };
            write_bucket(f, &empty.zero_bucket(), self.zero_count)?;
        }
        for (bucket, count) in side(&self.positive_spans, &self.positive_buckets, true) {
            write_bucket(f, &bucket, count)?;
        }
        f.write_str("}")
    }
}

fn write_bucket(f: &mut fmt::Formatter<'_>, bucket: &Bucket, count: impl fmt::Display) -> fmt::Result {
    let open = if bucket.lower_inclusive { '[' } else { '(' };
    let close = if bucket.upper_inclusive { ']' } else { ')' };
    write!(f, ", {open}{},{}{close}:{count}", Go(bucket.lower), Go(bucket.upper))
}

/// A number as Go's `%g` prints it: shortest digits, with an exponent below 1e-4 and from 1e6 on.
struct Go(f64);

impl fmt::Display for Go {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value.is_nan() {
            return f.write_str("NaN");
        }
        if value.is_infinite() {
            return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        let (digits, exponent) = shortest(value.abs());
        if value.is_sign_negative() {
            f.write_str("-")?;
        }
        write_digits(f, &digits, exponent)
    }
}

/// Exponents from here on are written out by `%g` without a precision.
const EXPONENT_FORM_FROM: i32 = 6;

fn write_digits(f: &mut fmt::Formatter<'_>, digits: &str, exponent: i32) -> fmt::Result {
    if !(-4..EXPONENT_FORM_FROM).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if exponent < 0 { '-' } else { '+' };
        return write!(f, "{first}{point}{rest}e{sign}{:02}", exponent.abs());
    }
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return write!(f, "0.{zeros}{digits}");
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return write!(f, "{digits}{}", "0".repeat(whole - digits.len()));
    }
    write!(f, "{}.{}", &digits[..whole], &digits[whole..])
}

/// The shortest digits that read back as `value`, and the exponent of the first one.
fn shortest(value: f64) -> (String, i32) {
    if value == 0.0 {
        return ("0".to_owned(), 0);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().expect("a formatted number has a decimal exponent");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let leading = all.bytes().take_while(|digit| *digit == b'0').count();
    let digits = all[leading..].trim_end_matches('0').to_owned();
    (digits, exponent + whole.len() as i32 - 1 - leading as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_prints_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (100.0, "100"),
            (100_000.0, "100000"),
            (1_048_576.0, "1.048576e+06"),
            (1e21, "1e+21"),
            (1.52587890625e-05, "1.52587890625e-05"),
            (0.0001, "0.0001"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
            (-123.25, "-123.25"),
            (5e-324, "5e-324"),
        ];
        for (value, text) in cases {
            assert_eq!(Go(value).to_string(), text);
        }
    }
}
