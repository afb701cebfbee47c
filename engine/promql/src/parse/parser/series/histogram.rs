//! Histograms of series descriptions: `{{schema:1 sum:5 count:4 buckets:[1 2 1]}}`.

use tithon_chunks::{FloatHistogram, Span};

use super::SequenceValue;
use crate::ast::{BinaryOp, PosRange};
use crate::parse::parser::{Parser, Stop};
use crate::parse::token::{HistogramKey, Token, TokenKind, quoted};

/// A histogram as described, with defaults for the parts that the description leaves out.
#[derive(Default)]
struct Description {
    histogram: FloatHistogram,
    offset: i32,
    negative_offset: i32,
    hint_set: bool,
}

impl Description {
    fn finish(self) -> (FloatHistogram, bool) {
        let mut histogram = self.histogram;
        let spans = |offset, buckets: &[f64]| match buckets.len() {
            0 => Vec::new(),
            n => vec![Span { offset, length: n as u32 }],
        };
        histogram.positive_spans = spans(self.offset, &histogram.positive_buckets);
        histogram.negative_spans = spans(self.negative_offset, &histogram.negative_buckets);
        (histogram, self.hint_set)
    }
}

impl Parser<'_> {
    /// A histogram, repeated as it is or with a histogram added or subtracted each time.
    pub(super) fn histogram_item(&mut self, out: &mut Vec<SequenceValue>) -> Result<(), Stop> {
        let (mut histogram, mut hint_set) = self.histogram_value()?;
        let mut step = None;
        if let TokenKind::Op(sign @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek()? {
            self.bump()?;
            if self.peek()? != TokenKind::OpenHistogram {
                return Err(self.unexpected());
            }
            let (by, by_hint_set) = self.histogram_value()?;
            hint_set = by_hint_set;
            step = Some((sign, by));
        }
        let times = self.repetitions(out)?;
        if step.is_some() && times.is_none() {
            return Err(self.unexpected());
        }
        out.push(SequenceValue::Histogram { histogram: Box::new(histogram.clone()), hint_set });
        for _ in 0..times.unwrap_or(0) {
            if let Some((sign, by)) = &step
                && let Err(why) = stepped(&mut histogram, *sign, by)
            {
                self.complain(self.last.pos(), why);
                return Err(Stop);
            }
            out.push(SequenceValue::Histogram { histogram: Box::new(histogram.clone()), hint_set });
        }
        Ok(())
    }

    fn histogram_value(&mut self) -> Result<(FloatHistogram, bool), Stop> {
        self.bump()?;
        let mut description = Description::default();
        if self.peek()? == TokenKind::Space {
            self.bump()?;
            self.expect(TokenKind::CloseHistogram)?;
            return Ok(description.finish());
        }
        if self.peek()? == TokenKind::CloseHistogram {
            self.bump()?;
            return Ok(description.finish());
        }
        let mut seen = Vec::new();
        self.histogram_entry(&mut description, &mut seen)?;
        self.enter("histogram description", "histogram description key, e.g. buckets:[5 10 7]");
        loop {
            if self.peek()? == TokenKind::Space {
                self.bump()?;
                if self.peek()? != TokenKind::CloseHistogram {
                    self.histogram_entry(&mut description, &mut seen)?;
                    continue;
                }
            }
            self.expect(TokenKind::CloseHistogram)?;
            self.leave();
            return Ok(description.finish());
        }
    }

    /// `key:value`
    fn histogram_entry(&mut self, d: &mut Description, seen: &mut Vec<HistogramKey>) -> Result<(), Stop> {
        let TokenKind::HistogramKey(key) = self.peek()? else { return Err(self.unexpected()) };
        let token = self.bump()?;
        if seen.contains(&key) {
            let key = String::from_utf8_lossy(token.text(self.input));
            self.complain(PosRange::default(), format!("duplicate key \"{key}\" in histogram"));
        }
        seen.push(key);
        self.expect(TokenKind::Colon)?;
        let h = &mut d.histogram;
        match key {
            HistogramKey::Schema => h.schema = self.histogram_int()?,
            HistogramKey::Sum => h.sum = self.signed_number()?,
            HistogramKey::Count => h.count = self.signed_number()?,
            HistogramKey::ZeroBucket => h.zero_count = self.signed_number()?,
            HistogramKey::ZeroBucketWidth => h.zero_threshold = self.number_or_duration_expected()?.0,
            HistogramKey::CustomValues => h.custom_values = self.buckets()?,
            HistogramKey::Buckets => h.positive_buckets = self.buckets()?,
            HistogramKey::Offset => d.offset = self.histogram_int()?,
            HistogramKey::NegativeBuckets => h.negative_buckets = self.buckets()?,
            HistogramKey::NegativeOffset => d.negative_offset = self.histogram_int()?,
            HistogramKey::CounterResetHint => {
                let TokenKind::ResetHint(hint) = self.peek()? else { return Err(self.unexpected()) };
                self.bump()?;
                h.counter_reset_hint = hint;
                d.hint_set = true;
            }
        }
        Ok(())
    }

    fn histogram_int(&mut self) -> Result<i32, Stop> {
        let negative = self.peek()? == TokenKind::Op(BinaryOp::Sub);
        if negative {
            self.bump()?;
        }
        let token: Token = self.expect(TokenKind::Number)?;
        let text = token.text(self.input);
        let value = std::str::from_utf8(text).ok().and_then(|t| t.parse::<u32>().ok());
        match value.and_then(|v| i32::try_from(v).ok()) {
            Some(value) => Ok(if negative { -value } else { value }),
            None => {
                let why = format!("strconv.ParseUint: parsing {}: invalid syntax", quoted(text));
                self.complain(token.pos(), format!("invalid repetition in series values: {why}"));
                Err(Stop)
            }
        }
    }

    /// `[1 2 3]`
    fn buckets(&mut self) -> Result<Vec<f64>, Stop> {
        self.expect(TokenKind::LeftBracket)?;
        let mut buckets = vec![self.signed_number()?];
        loop {
            if self.peek()? == TokenKind::Space {
                self.bump()?;
                if self.peek()? != TokenKind::RightBracket {
                    buckets.push(self.signed_number()?);
                    continue;
                }
            }
            self.expect(TokenKind::RightBracket)?;
            return Ok(buckets);
        }
    }
}

fn stepped(histogram: &mut FloatHistogram, sign: BinaryOp, by: &FloatHistogram) -> Result<(), String> {
    if histogram.schema > by.schema {
        let (from, to) = (by.schema, histogram.schema);
        return Err(format!("error combining histograms: cannot merge from schema {from} to {to}"));
    }
    let combined = if sign == BinaryOp::Add { histogram.add(by) } else { histogram.sub(by) };
    combined.map(drop).map_err(|e| e.to_string())
}
