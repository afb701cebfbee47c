//! Durations in brackets and after `offset`: literals, and arithmetic that is computed when the query's step is known.

use super::{Parser, Stop, precedence};
use crate::ast::{BinaryOp, DurationExpr, DurationOp, NodeId, NodeKind, PosRange};
use crate::parse::token::{Keyword, Token, TokenKind};
use crate::value_type::ValueType;

/// A length of time: known, or an expression.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Length {
    /// Nanoseconds; 0 if there is an expression.
    pub(super) ns: i64,
    pub(super) expr: Option<NodeId>,
}

impl Length {
    /// Whole milliseconds, rounded towards zero.
    pub(super) fn ms(&self) -> i64 {
        self.ns / 1_000_000
    }
}

/// A duration as parsed.
#[derive(Clone, Copy)]
enum Duration {
    Literal { value: f64, is_duration: bool, pos: PosRange },
    Expr(NodeId),
}

/// The most seconds that fit 64-bit nanoseconds.
const SECONDS_MAX: f64 = (1u64 << 63) as f64 / 1e9;

fn out_of_range(seconds: f64) -> bool {
    !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) && !seconds.is_nan()
}

impl Parser<'_> {
    /// A duration in brackets; a literal must be above zero.
    pub(super) fn positive_duration(&mut self) -> Result<Length, Stop> {
        let duration = self.duration(0)?;
        if let Duration::Literal { value, pos, .. } = duration
            && value <= 0.0
        {
            self.complain(pos, "duration must be greater than 0");
        }
        Ok(length(duration))
    }

    /// The duration after `offset`. After a literal or call it ends, so that an operator that follows belongs to the
    /// expression around.
    pub(super) fn offset_duration(&mut self) -> Result<Length, Stop> {
        let duration = match self.peek()? {
            TokenKind::Number | TokenKind::Duration => self.duration_literal(None)?,
            TokenKind::Keyword(_) => Duration::Expr(self.duration_call(true)?),
            TokenKind::Op(BinaryOp::Add | BinaryOp::Sub) => {
                let sign = self.bump()?;
                match self.peek()? {
                    TokenKind::Number | TokenKind::Duration => self.duration_literal(Some(sign))?,
                    TokenKind::Keyword(_) => self.signed_duration_call(sign)?,
                    TokenKind::LeftParen => {
                        self.bump()?;
                        let inner = self.duration(0)?;
                        self.expect(TokenKind::RightParen)?;
                        let start = self.duration_pos(inner).start;
                        let wrapped = self.wrap(inner, start);
                        self.duration_sign(sign, Duration::Expr(wrapped))
                    }
                    _ => {
                        let operand = self.duration(precedence(BinaryOp::Pow))?;
                        let signed = self.duration_sign(sign, operand);
                        self.duration_operators(signed, 0)?
                    }
                }
            }
            _ => self.duration(0)?,
        };
        Ok(length(duration))
    }

    /// A duration whose operators bind at least as tightly as `level`.
    fn duration(&mut self, level: u8) -> Result<Duration, Stop> {
        self.nested(|p| {
            let first = p.duration_prefix()?;
            p.duration_operators(first, level)
        })
    }

    fn duration_prefix(&mut self) -> Result<Duration, Stop> {
        match self.peek()? {
            TokenKind::Number | TokenKind::Duration => self.duration_literal(None),
            TokenKind::Op(BinaryOp::Add | BinaryOp::Sub) => {
                let sign = self.bump()?;
                let operand = self.duration(precedence(BinaryOp::Pow))?;
                Ok(self.duration_sign(sign, operand))
            }
            TokenKind::LeftParen => {
                let open = self.bump()?;
                let inner = self.duration(0)?;
                self.expect(TokenKind::RightParen)?;
                let pos = self.duration_pos(inner);
                self.gate(pos);
                Ok(Duration::Expr(self.wrap(inner, open.start)))
            }
            TokenKind::Keyword(_) => Ok(Duration::Expr(self.duration_call(true)?)),
            _ => Err(self.unexpected()),
        }
    }

    fn duration_operators(&mut self, mut lhs: Duration, level: u8) -> Result<Duration, Stop> {
        loop {
            let TokenKind::Op(op) = self.peek()? else { return Ok(lhs) };
            let duration_op = match op {
                BinaryOp::Add => DurationOp::Add,
                BinaryOp::Sub => DurationOp::Sub,
                BinaryOp::Mul => DurationOp::Mul,
                BinaryOp::Div => DurationOp::Div,
                BinaryOp::Mod => DurationOp::Mod,
                BinaryOp::Pow => DurationOp::Pow,
                _ => return Ok(lhs),
            };
            let op_level = precedence(op);
            if op_level < level {
                return Ok(lhs);
            }
            let token = self.bump()?;
            let rhs = self.duration(if op == BinaryOp::Pow { op_level } else { op_level + 1 })?;
            self.gate(self.duration_pos(lhs));
            if let Duration::Literal { value: 0.0, .. } = rhs {
                match op {
                    BinaryOp::Div => self.complain(token.pos(), "division by zero"),
                    BinaryOp::Mod => self.complain(token.pos(), "modulo by zero"),
                    _ => {}
                }
            }
            let (lhs_node, rhs_node) = (self.duration_node(lhs), self.duration_node(rhs));
            let pos = PosRange::new(self.pos(lhs_node).start, self.pos(rhs_node).end);
            lhs = Duration::Expr(self.push_duration(duration_op, Some(lhs_node), Some(rhs_node), false, pos));
        }
    }

    /// A literal and its sign, if it has one.
    fn duration_literal(&mut self, sign: Option<Token>) -> Result<Duration, Stop> {
        let (mut value, is_duration, mut pos) = self.number_or_duration()?;
        let mut place = pos;
        if let Some(sign) = sign {
            if sign.kind == TokenKind::Op(BinaryOp::Sub) {
                value = -value;
            }
            place = sign.pos();
            pos.start = sign.start;
        }
        if out_of_range(value) {
            self.complain(place, "duration out of range");
        }
        Ok(Duration::Literal { value, is_duration, pos })
    }

    /// `step()`, `range()`, `min_of(a, b)`, `max_of(a, b)`
    fn duration_call(&mut self, gated: bool) -> Result<NodeId, Stop> {
        let op = match self.peek()? {
            TokenKind::Keyword(Keyword::Step) => DurationOp::Step,
            TokenKind::Keyword(Keyword::Range) => DurationOp::Range,
            TokenKind::Keyword(Keyword::MinOf) => DurationOp::MinOf,
            TokenKind::Keyword(Keyword::MaxOf) => DurationOp::MaxOf,
            _ => return Err(self.unexpected()),
        };
        let name = self.bump()?;
        self.expect(TokenKind::LeftParen)?;
        let (mut lhs, mut rhs) = (None, None);
        if matches!(op, DurationOp::MinOf | DurationOp::MaxOf) {
            let first = self.duration(0)?;
            self.expect(TokenKind::Comma)?;
            let second = self.duration(0)?;
            lhs = Some(self.duration_node(first));
            rhs = Some(self.duration_node(second));
        }
        let close = self.expect(TokenKind::RightParen)?;
        let pos = match (lhs, rhs) {
            (Some(lhs), Some(rhs)) => PosRange::new(self.pos(lhs).start, self.pos(rhs).end),
            _ => PosRange::new(name.start, close.end),
        };
        if gated {
            self.gate(pos);
        }
        Ok(self.push_duration(op, lhs, rhs, false, pos))
    }

    /// A call with a sign directly after `offset`; a plus is kept in the tree too.
    fn signed_duration_call(&mut self, sign: Token) -> Result<Duration, Stop> {
        let call = self.duration_call(false)?;
        let op = if sign.kind == TokenKind::Op(BinaryOp::Sub) { DurationOp::Sub } else { DurationOp::Add };
        let pos = PosRange::new(sign.start, self.pos(call).end);
        self.gate(pos);
        Ok(Duration::Expr(self.push_duration(op, None, Some(call), false, pos)))
    }

    fn duration_sign(&mut self, sign: Token, operand: Duration) -> Duration {
        let negate = sign.kind == TokenKind::Op(BinaryOp::Sub);
        match operand {
            Duration::Expr(rhs) if negate => {
                let pos = PosRange::new(sign.start, self.pos(rhs).end);
                Duration::Expr(self.push_duration(DurationOp::Sub, None, Some(rhs), false, pos))
            }
            Duration::Expr(_) => operand,
            Duration::Literal { value, is_duration, pos } => {
                let value = if negate { -value } else { value };
                Duration::Literal { value, is_duration, pos: PosRange::new(sign.start, pos.end) }
            }
        }
    }

    /// Marks a duration as standing in parentheses; a literal becomes the operand of a plus that carries the mark.
    fn wrap(&mut self, duration: Duration, start: u32) -> NodeId {
        if let Duration::Expr(id) = duration {
            if let NodeKind::Duration(d) = &mut self.node_mut(id).kind {
                d.wrapped = true;
            }
            return id;
        }
        let rhs = self.duration_node(duration);
        let pos = PosRange::new(start, self.pos(rhs).end);
        self.push_duration(DurationOp::Add, None, Some(rhs), true, pos)
    }

    fn push_duration(
        &mut self,
        op: DurationOp,
        lhs: Option<NodeId>,
        rhs: Option<NodeId>,
        wrapped: bool,
        pos: PosRange,
    ) -> NodeId {
        self.push(NodeKind::Duration(DurationExpr { op, lhs, rhs, wrapped }), pos, ValueType::Scalar)
    }

    /// The duration as a node.
    fn duration_node(&mut self, duration: Duration) -> NodeId {
        match duration {
            Duration::Expr(id) => id,
            Duration::Literal { value, is_duration, pos } => {
                self.push(NodeKind::Number { value, is_duration }, pos, ValueType::Scalar)
            }
        }
    }

    fn duration_pos(&self, duration: Duration) -> PosRange {
        match duration {
            Duration::Expr(id) => self.pos(id),
            Duration::Literal { pos, .. } => pos,
        }
    }

    fn gate(&mut self, pos: PosRange) {
        if !self.options.duration_expr {
            self.complain(pos, "experimental duration expression is not enabled");
        }
    }
}

fn length(duration: Duration) -> Length {
    match duration {
        Duration::Literal { value, .. } => Length { ns: (value * 1e9).round() as i64, expr: None },
        Duration::Expr(id) => Length { ns: 0, expr: Some(id) },
    }
}
