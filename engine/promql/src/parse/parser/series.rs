//! Series descriptions of the test language: a metric and its values, `metric{a="b"} 1 2+3x4 _ stale {{sum:1}}`.

mod histogram;

use tithon_chunks::{FloatHistogram, STALE_NAN_BITS};
use tithon_index::{Labels, LabelsBuilder, METRIC_NAME};

use super::{Parser, Stop, may_name_metric};
use crate::ast::BinaryOp;
use crate::parse::literal::unquote;
use crate::parse::token::{TokenKind, quoted};

/// The most values that one description may stand for.
const VALUES_MAX: u64 = 1_000_000;

/// One position of a series description.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceValue {
    /// There is no sample: `_`.
    Omitted,
    /// A number; `stale` is the stale marker.
    Float(f64),
    /// A histogram.
    Histogram {
        /// The histogram.
        histogram: Box<FloatHistogram>,
        /// Whether the description names a counter reset hint.
        hint_set: bool,
    },
}

const LABELS: &str = "label set";

impl Parser<'_> {
    /// Parses an input that is a metric.
    pub(in crate::parse) fn whole_metric(&mut self) -> Result<Labels, Stop> {
        let labels = self.metric()?;
        self.expect(TokenKind::Eof)?;
        Ok(labels)
    }

    /// Parses an input that is a series description.
    pub(in crate::parse) fn whole_series(&mut self) -> Result<(Labels, Vec<SequenceValue>), Stop> {
        let labels = self.metric()?;
        self.enter("series values", "");
        let mut values = Vec::new();
        loop {
            match self.peek()? {
                TokenKind::Eof => return Ok((labels, values)),
                TokenKind::Space => drop(self.bump()?),
                _ => return Err(self.unexpected()),
            }
            if !matches!(self.peek()?, TokenKind::Space | TokenKind::Eof) {
                self.series_item(&mut values)?;
            }
        }
    }

    fn metric(&mut self) -> Result<Labels, Stop> {
        let mut labels = LabelsBuilder::default();
        let mut name = None;
        if may_name_metric(self.peek()?) {
            let token = self.bump()?;
            name = Some(token.text(self.input));
        }
        if self.peek()? == TokenKind::LeftBrace {
            self.label_set(&mut labels)?;
        }
        if let Some(name) = name {
            labels.set(METRIC_NAME, name);
        }
        Ok(labels.finish())
    }

    fn label_set(&mut self, labels: &mut LabelsBuilder) -> Result<(), Stop> {
        self.bump()?;
        self.enter(LABELS, "identifier or \"}\"");
        while self.peek()? != TokenKind::RightBrace {
            self.label(labels)?;
            self.change(LABELS, "\",\" or \"}\"");
            match self.peek()? {
                TokenKind::RightBrace => break,
                TokenKind::Comma => drop(self.bump()?),
                _ => return Err(self.unexpected()),
            }
            self.change(LABELS, "identifier or \"}\"");
        }
        self.bump()?;
        self.leave();
        Ok(())
    }

    fn label(&mut self, labels: &mut LabelsBuilder) -> Result<(), Stop> {
        let label = match self.peek()? {
            TokenKind::Identifier | TokenKind::String => self.bump()?,
            _ => return Err(self.unexpected()),
        };
        let text = label.text(self.input);
        let is_string = label.kind == TokenKind::String;
        let name: Box<[u8]> = if is_string { unquote(text) } else { text.into() };
        if is_string && self.peek()? != TokenKind::Assign {
            labels.set(METRIC_NAME, &name);
            return Ok(());
        }
        self.change(LABELS, "\"=\"");
        self.expect(TokenKind::Assign)?;
        self.change(LABELS, "string");
        let value = self.expect(TokenKind::String)?;
        labels.set(&name, &unquote(value.text(self.input)));
        Ok(())
    }

    fn series_item(&mut self, out: &mut Vec<SequenceValue>) -> Result<(), Stop> {
        match self.peek()? {
            TokenKind::Blank => {
                self.bump()?;
                let n = self.repetitions(out)?.unwrap_or(1);
                out.extend((0..n).map(|_| SequenceValue::Omitted));
                Ok(())
            }
            TokenKind::OpenHistogram => self.histogram_item(out),
            _ => self.number_item(out),
        }
    }

    fn number_item(&mut self, out: &mut Vec<SequenceValue>) -> Result<(), Stop> {
        let mut value = if self.peek()? == TokenKind::Identifier {
            let word = self.bump()?;
            if word.text(self.input) != b"stale" {
                self.change("series values", "number or \"stale\"");
                return Err(self.unexpected());
            }
            f64::from_bits(STALE_NAN_BITS)
        } else {
            self.signed_number()?
        };
        let mut step = None;
        if let TokenKind::Op(BinaryOp::Add | BinaryOp::Sub) = self.peek()? {
            step = Some(self.signed_number()?);
        }
        let Some(n) = self.repetitions(out)? else {
            if step.is_some() {
                return Err(self.unexpected());
            }
            out.push(SequenceValue::Float(value));
            return Ok(());
        };
        for _ in 0..=n {
            out.push(SequenceValue::Float(value));
            value += step.unwrap_or(0.0);
        }
        Ok(())
    }

    /// `xN`, if it follows.
    fn repetitions(&mut self, out: &[SequenceValue]) -> Result<Option<u64>, Stop> {
        if self.peek()? != TokenKind::Times {
            return Ok(None);
        }
        self.bump()?;
        let token = self.expect(TokenKind::Number)?;
        let text = token.text(self.input);
        let digits = std::str::from_utf8(text).ok().filter(|t| t.bytes().all(|c| c.is_ascii_digit()));
        let why = match digits.map(str::parse::<u64>) {
            Some(Ok(n)) if n <= VALUES_MAX.saturating_sub(out.len() as u64) => return Ok(Some(n)),
            Some(Ok(_)) => format!("more than {VALUES_MAX} values"),
            Some(Err(_)) => format!("strconv.ParseUint: parsing {}: value out of range", quoted(text)),
            None => format!("strconv.ParseUint: parsing {}: invalid syntax", quoted(text)),
        };
        self.complain(token.pos(), format!("invalid repetition in series values: {why}"));
        Err(Stop)
    }
}
