//! Writes the points of the series of an answer. The series share a few timestamps and values often repeat, so the
//! texts of timestamps and of the last value are kept and copied.

use super::{push_timestamp, push_value};

/// Number of timestamps whose texts are kept; more than a range query may have steps.
const TIMES_MAX: usize = 16_384;

/// Writes float points, series by series.
#[derive(Default)]
pub(crate) struct PointWriter {
    /// Timestamps, ascending, with their texts.
    times: Vec<(i64, Text)>,
    /// Bits and text of the value written last.
    value: Option<(u64, Text)>,
    scratch: Vec<u8>,
}

/// A short text in a buffer of fixed size, so that copying takes no loop.
#[derive(Clone, Copy)]
struct Text {
    bytes: [u8; 32],
    len: usize,
}

impl Text {
    /// `None` when the text is longer than the buffer.
    fn new(text: &[u8]) -> Option<Text> {
        let mut bytes = [0; 32];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Text { bytes, len: text.len() })
    }

    #[inline(always)]
    fn push_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

impl PointWriter {
    /// Writes the points of a series, separated by commas.
    pub(crate) fn push_all(&mut self, out: &mut Vec<u8>, times: &[i64], values: &[f64]) {
        // 32 bytes are usual for a point; the rest is for the last copy, which writes a whole buffer before it is cut.
        out.reserve(times.len() * 32 + 64);
        let mut at = 0;
        for (i, (t, v)) in times.iter().zip(values).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            self.push_time(out, *t, &mut at);
            self.push_value(out, *v);
        }
    }

    /// Writes `[<time>,"`. `at` is the index in `times` where the search for `t` begins.
    #[inline(always)]
    fn push_time(&mut self, out: &mut Vec<u8>, t: i64, at: &mut usize) {
        while self.times.get(*at).is_some_and(|(kept, _)| *kept < t) {
            *at += 1;
        }
        match self.times.get(*at) {
            Some((kept, text)) if *kept == t => {
                *at += 1;
                text.push_to(out);
            }
            _ => self.push_new_time(out, t),
        }
    }

    #[cold]
    fn push_new_time(&mut self, out: &mut Vec<u8>, t: i64) {
        let start = out.len();
        out.push(b'[');
        push_timestamp(out, t);
        out.extend_from_slice(b",\"");
        let is_next = self.times.last().is_none_or(|(last, _)| *last < t);
        if is_next
            && self.times.len() < TIMES_MAX
            && let Some(text) = Text::new(&out[start..])
        {
            self.times.push((t, text));
        }
    }

    /// Writes `<value>"]`.
    #[inline(always)]
    fn push_value(&mut self, out: &mut Vec<u8>, v: f64) {
        if let Some((bits, text)) = &self.value
            && *bits == v.to_bits()
        {
            return text.push_to(out);
        }
        self.scratch.clear();
        push_value(&mut self.scratch, v);
        self.scratch.extend_from_slice(b"\"]");
        self.value = Text::new(&self.scratch).map(|text| (v.to_bits(), text));
        match &self.value {
            Some((_, text)) => text.push_to(out),
            None => out.extend_from_slice(&self.scratch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_as_if_nothing_were_kept() {
        let mut writer = PointWriter::default();
        let mut state = 5u64;
        for series in 0..50 {
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for i in 0..200 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if state >> 60 > 3 {
                    times.push(i * 1500 - 3000 + i64::from(series == 7) * 10);
                    let value =
                        if state >> 50 & 3 == 0 { f64::from_bits(state) } else { (state >> 62) as f64 };
                    values.push(value);
                }
            }
            if series == 9 {
                (times, values) = (vec![i64::MIN, i64::MAX], vec![f64::MIN, 5e-324]);
            }
            let mut out = Vec::new();
            writer.push_all(&mut out, &times, &values);
            let point = |(t, v): (&i64, &f64)| {
                let mut text = b"[".to_vec();
                push_timestamp(&mut text, *t);
                text.extend_from_slice(b",\"");
                push_value(&mut text, *v);
                text.extend_from_slice(b"\"]");
                text
            };
            let expected: Vec<Vec<u8>> = times.iter().zip(&values).map(point).collect();
            assert_eq!(out, expected.join(&b','), "series {series}");
        }
    }
}
