//! Modifiers after an expression: ranges and subqueries, `offset`, `@`, `anchored`, `smoothed`.

use super::duration::Length;
use super::{Parser, Stop};
use crate::ast::{AtModifier, MatrixSelector, NodeId, NodeKind, PosRange, Subquery};
use crate::format::fixed;
use crate::math;
use crate::parse::token::{Keyword, Token, TokenKind};
use crate::value_type::ValueType;

/// A modifier that extends the windows of a selector.
#[derive(Clone, Copy, PartialEq)]
enum Extension {
    Anchored,
    Smoothed,
}

const NOT_A_SELECTOR: &str =
    "must be preceded by an instant vector selector or range vector selector or a subquery";

impl Parser<'_> {
    /// Parses all modifiers after `expr`: they bind more tightly than any operator.
    pub(super) fn postfix(&mut self, mut expr: NodeId) -> Result<NodeId, Stop> {
        loop {
            match self.peek()? {
                TokenKind::LeftBracket => expr = self.range(expr)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(expr)?,
                TokenKind::At => self.at(expr)?,
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.bump()?;
                    self.extend(expr, Extension::Anchored);
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.bump()?;
                    self.extend(expr, Extension::Smoothed);
                }
                _ => return Ok(expr),
            }
        }
    }

    /// `[range]` or `[range:step]`
    fn range(&mut self, expr: NodeId) -> Result<NodeId, Stop> {
        let open = self.bump()?;
        self.enter("subquery or range selector", "number, duration, step(), or range()");
        let range = self.positive_duration()?;
        self.change("subquery or range", "\":\" or \"]\"");
        match self.peek()? {
            TokenKind::RightBracket => {
                let close = self.bump()?;
                self.leave();
                Ok(self.matrix(expr, range, open, close))
            }
            TokenKind::Colon => {
                self.bump()?;
                self.change("subquery selector", "number, duration, step(), range(), or \"]\"");
                let mut step = Length::default();
                if self.peek()? != TokenKind::RightBracket {
                    step = self.positive_duration()?;
                    self.change("subquery selector", "\"]\"");
                }
                let close = self.expect(TokenKind::RightBracket)?;
                self.leave();
                Ok(self.subquery(expr, range, step, close))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn matrix(&mut self, selector: NodeId, range: Length, open: Token, close: Token) -> NodeId {
        let complaint = match &self.node(selector).kind {
            NodeKind::Vector(_) if self.with_offset.contains(&selector) => {
                Some("no offset modifiers allowed before range")
            }
            NodeKind::Vector(v) if v.at != AtModifier::None => Some("no @ modifiers allowed before range"),
            NodeKind::Vector(_) => None,
            _ => Some("ranges only allowed for vector selectors"),
        };
        if let Some(complaint) = complaint {
            self.complain(PosRange::new(open.start, close.end), complaint);
        }
        let pos = PosRange::new(self.pos(selector).start, close.end);
        let matrix = MatrixSelector { selector, range_ms: range.ms(), range_expr: range.expr };
        self.push(NodeKind::Matrix(matrix), pos, ValueType::Matrix)
    }

    fn subquery(&mut self, expr: NodeId, range: Length, step: Length, close: Token) -> NodeId {
        let pos = PosRange::new(self.pos(expr).start, close.end);
        let subquery = Subquery {
            expr,
            range_ms: range.ms(),
            range_expr: range.expr,
            step_ms: step.ms(),
            step_expr: step.expr,
            offset_ms: 0,
            offset_expr: None,
            at: AtModifier::None,
        };
        self.push(NodeKind::Subquery(Box::new(subquery)), pos, ValueType::Matrix)
    }

    fn offset(&mut self, expr: NodeId) -> Result<(), Stop> {
        self.bump()?;
        self.enter("offset", "number, duration, step(), or range()");
        let offset = self.offset_duration()?;
        self.leave();
        let Some(target) = self.target(expr, "offset modifier") else { return Ok(()) };
        if self.with_offset.contains(&target) {
            self.complain(self.pos(expr), "offset may not be set multiple times");
        }
        match &mut self.node_mut(target).kind {
            NodeKind::Vector(v) => (v.offset_ms, v.offset_expr) = (offset.ms(), offset.expr),
            NodeKind::Subquery(s) => (s.offset_ms, s.offset_expr) = (offset.ms(), offset.expr),
            _ => {}
        }
        if offset.ns != 0 || offset.expr.is_some() {
            self.with_offset.insert(target);
        }
        self.node_mut(expr).pos.end = self.last_closing;
        Ok(())
    }

    /// The node that carries offset and `@` of `expr`: a selector or subquery.
    fn target(&mut self, expr: NodeId, modifier: &str) -> Option<NodeId> {
        match &self.node(expr).kind {
            NodeKind::Vector(_) | NodeKind::Subquery(_) => Some(expr),
            NodeKind::Matrix(m) => {
                let selector = m.selector;
                if matches!(self.node(selector).kind, NodeKind::Vector(_)) {
                    return Some(selector);
                }
                self.complain(self.pos(expr), "ranges only allowed for vector selectors");
                None
            }
            _ => {
                self.complain(self.pos(expr), format!("{modifier} {NOT_A_SELECTOR}"));
                None
            }
        }
    }

    fn at(&mut self, expr: NodeId) -> Result<(), Stop> {
        self.bump()?;
        self.enter("@", "timestamp");
        let at = if let TokenKind::Keyword(keyword @ (Keyword::Start | Keyword::End)) = self.peek()? {
            self.bump()?;
            self.expect(TokenKind::LeftParen)?;
            self.expect(TokenKind::RightParen)?;
            if keyword == Keyword::Start { AtModifier::Start } else { AtModifier::End }
        } else {
            let seconds = self.signed_number()?;
            const LIMIT: f64 = 9_223_372_036_854_775_808.0;
            if !(seconds > -LIMIT && seconds < LIMIT) {
                let message = format!("timestamp out of bounds for @ modifier: {}", fixed(seconds, 6));
                self.complain(self.pos(expr), message);
            }
            AtModifier::At(math::to_i64((seconds * 1000.0).round()))
        };
        self.leave();
        let Some(target) = self.target(expr, "@ modifier") else { return Ok(()) };
        let place = match &mut self.node_mut(target).kind {
            NodeKind::Vector(v) => &mut v.at,
            NodeKind::Subquery(s) => &mut s.at,
            _ => return Ok(()),
        };
        if std::mem::replace(place, at) != AtModifier::None {
            self.complain(self.pos(expr), "@ <timestamp> may not be set multiple times");
        }
        self.node_mut(expr).pos.end = self.last_closing;
        Ok(())
    }

    fn extend(&mut self, expr: NodeId, extension: Extension) {
        let word = if extension == Extension::Anchored { "anchored" } else { "smoothed" };
        let pos = self.pos(expr);
        if !self.options.extended_range_selectors {
            return self.complain(pos, format!("{word} modifier is experimental and not enabled"));
        }
        let selector = match &self.node(expr).kind {
            NodeKind::Vector(_) => expr,
            NodeKind::Matrix(m) => m.selector,
            NodeKind::Subquery(_) => {
                return self.complain(pos, format!("{word} modifier is not supported for subqueries"));
            }
            _ => return self.complain(pos, format!("{word} modifier not implemented")),
        };
        let NodeKind::Vector(v) = &mut self.node_mut(selector).kind else { return };
        match extension {
            Extension::Anchored => v.anchored = true,
            Extension::Smoothed => v.smoothed = true,
        }
        if v.anchored && v.smoothed {
            self.complain(pos, "anchored and smoothed modifiers cannot be used together");
        }
    }
}
