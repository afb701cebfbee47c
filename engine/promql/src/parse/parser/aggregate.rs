//! Aggregations and lists of label names.

use super::{Parser, Stop};
use crate::ast::{Aggregate, AggregateOp, NodeId, NodeKind, PosRange};
use crate::parse::literal::unquote;
use crate::parse::token::{Keyword, Token, TokenKind, quoted};
use crate::value_type::ValueType;

type LabelNames = Vec<Box<[u8]>>;

impl Parser<'_> {
    /// An aggregation, or a selector of a metric that has the name of one.
    pub(super) fn aggregate_or_selector(&mut self) -> Result<NodeId, Stop> {
        let name = self.bump()?;
        let TokenKind::Aggregate(op) = name.kind else { return Err(self.unexpected()) };
        match self.peek()? {
            TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without) => {
                self.aggregate(op, name)
            }
            _ => self.selector(Some(name)),
        }
    }

    fn aggregate(&mut self, op: AggregateOp, name: Token) -> Result<NodeId, Stop> {
        self.enter("aggregation", "");
        let (without, grouping, args, end);
        if self.peek()? == TokenKind::LeftParen {
            let close;
            (args, close) = self.call_args()?;
            if let TokenKind::Keyword(Keyword::By | Keyword::Without) = self.peek()? {
                (without, grouping) = self.grouping()?;
                end = self.last_closing;
            } else {
                (without, grouping) = (false, Vec::new());
                end = close;
            }
        } else {
            (without, grouping) = self.grouping()?;
            (args, end) = self.call_args()?;
        }
        self.leave();
        let pos = PosRange::new(name.start, end);
        let (param, expr) = self.aggregate_args(op, &args, pos);
        let aggregate = Aggregate { op, param, expr, grouping, without };
        Ok(self.push(NodeKind::Aggregate(Box::new(aggregate)), pos, ValueType::Vector))
    }

    /// The parameter and the vector. If they are missing, records an error and returns a placeholder.
    fn aggregate_args(
        &mut self,
        op: AggregateOp,
        args: &[NodeId],
        pos: PosRange,
    ) -> (Option<NodeId>, NodeId) {
        let complaint = match args {
            [] => "no arguments for aggregate expression provided".to_owned(),
            _ if op.is_experimental() && !self.options.experimental_functions => {
                format!(
                    "{op}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
                )
            }
            [expr] if !op.has_param() => return (None, *expr),
            [param, expr] if op.has_param() => return (Some(*param), *expr),
            _ => {
                let expected = 1 + usize::from(op.has_param());
                let got = args.len();
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {expected}, got {got}"
                )
            }
        };
        self.complain(pos, complaint);
        let placeholder = NodeKind::Number { value: 0.0, is_duration: false };
        (None, self.push(placeholder, pos, ValueType::Scalar))
    }

    /// `by (labels)` or `without (labels)`; returns whether it is `without`.
    fn grouping(&mut self) -> Result<(bool, LabelNames), Stop> {
        let without = self.bump()?.kind == TokenKind::Keyword(Keyword::Without);
        Ok((without, self.grouping_labels()?))
    }

    /// A list of label names in parentheses.
    pub(super) fn grouping_labels(&mut self) -> Result<LabelNames, Stop> {
        const PLACE: &str = "grouping opts";
        self.enter(PLACE, "\"(\"");
        self.expect(TokenKind::LeftParen)?;
        let mut labels = Vec::new();
        loop {
            self.change(PLACE, "label");
            if self.peek()? == TokenKind::RightParen {
                break;
            }
            labels.push(self.grouping_label()?);
            self.change(PLACE, "\",\" or \")\"");
            match self.peek()? {
                TokenKind::RightParen => break,
                TokenKind::Comma => drop(self.bump()?),
                _ => return Err(self.unexpected()),
            }
        }
        self.bump()?;
        self.leave();
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Result<Box<[u8]>, Stop> {
        let kind = self.peek()?;
        let is_word = match kind {
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
            TokenKind::Op(op) => op.as_str().starts_with(|c: char| c.is_ascii_alphabetic()),
            TokenKind::Keyword(k) => k != Keyword::Without,
            _ => false,
        };
        if !is_word && kind != TokenKind::String {
            return Err(self.unexpected());
        }
        let token = self.bump()?;
        let text = token.text(self.input);
        let label: Box<[u8]> = if is_word { text.into() } else { unquote(text) };
        if label.is_empty() || std::str::from_utf8(&label).is_err() {
            self.complain(token.pos(), format!("invalid label name for grouping: {}", quoted(&label)));
        }
        Ok(label)
    }
}
