//! Vector selectors: a name, matchers in braces.

use tithon_index::{METRIC_NAME, MatchOp, Matcher};

use super::{Parser, Stop, may_name_metric};
use crate::ast::{BinaryOp, NodeId, NodeKind, PosRange, VectorSelector};
use crate::parse::literal::unquote;
use crate::parse::token::{Token, TokenKind};
use crate::value_type::ValueType;

const PLACE: &str = "label matching";
/// The memory that the allocator and a compiled pattern take in addition, bytes.
const MATCHER_OVERHEAD: usize = 32;

impl Parser<'_> {
    /// Parses an input that is one vector selector; returns its matchers.
    pub(in crate::parse) fn whole_selector(&mut self) -> Result<Vec<Matcher>, Stop> {
        let kind = self.peek()?;
        let id = if kind == TokenKind::LeftBrace {
            self.selector(None)?
        } else if may_name_metric(kind) {
            let name = self.bump()?;
            self.selector(Some(name))?
        } else {
            return Err(self.unexpected());
        };
        self.expect(TokenKind::Eof)?;
        match &mut self.node_mut(id).kind {
            NodeKind::Vector(v) => Ok(std::mem::take(&mut v.matchers)),
            _ => Err(Stop),
        }
    }

    /// Parses a selector whose name, if it has one, is consumed already.
    pub(super) fn selector(&mut self, name: Option<Token>) -> Result<NodeId, Stop> {
        let (mut matchers, mut pos) = (Vec::new(), PosRange::default());
        if name.is_none() || self.peek()? == TokenKind::LeftBrace {
            (matchers, pos) = self.braces()?;
        }
        let mut selector = VectorSelector::default();
        if let Some(name) = name {
            pos = PosRange::new(name.start, if pos == PosRange::default() { name.end } else { pos.end });
            selector.name = name.text(self.input).into();
            matchers.push(self.matcher(MatchOp::Equal, METRIC_NAME, &selector.name, pos)?);
        }
        selector.matchers = matchers;
        Ok(self.push(NodeKind::Vector(Box::new(selector)), pos, ValueType::Vector))
    }

    fn braces(&mut self) -> Result<(Vec<Matcher>, PosRange), Stop> {
        let open = self.expect(TokenKind::LeftBrace)?;
        self.enter(PLACE, "identifier or \"}\"");
        let mut matchers = Vec::new();
        while self.peek()? != TokenKind::RightBrace {
            matchers.push(self.label_matcher()?);
            self.change(PLACE, "\",\" or \"}\"");
            match self.peek()? {
                TokenKind::RightBrace => break,
                TokenKind::Comma => drop(self.bump()?),
                _ => return Err(self.unexpected()),
            }
            self.change(PLACE, "identifier or \"}\"");
        }
        let close = self.bump()?;
        self.leave();
        Ok((matchers, PosRange::new(open.start, close.end)))
    }

    fn label_matcher(&mut self) -> Result<Matcher, Stop> {
        let label = match self.peek()? {
            TokenKind::Identifier | TokenKind::String => self.bump()?,
            _ => return Err(self.unexpected()),
        };
        let quoted_name;
        let name = if label.kind == TokenKind::String {
            quoted_name = unquote(label.text(self.input));
            &quoted_name
        } else {
            label.text(self.input)
        };
        self.change(PLACE, "label matching operator");
        let op = match self.peek()? {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::MatchRegex => MatchOp::Regex,
            TokenKind::MatchNotRegex => MatchOp::NotRegex,
            // A string without an operator is the name of the metric.
            _ if label.kind == TokenKind::String => {
                return self.matcher(MatchOp::Equal, METRIC_NAME, name, label.pos());
            }
            _ => return Err(self.unexpected()),
        };
        self.bump()?;
        self.change(PLACE, "string");
        let value = self.expect(TokenKind::String)?;
        let pos = PosRange::new(label.start, value.end);
        self.matcher(op, name, &unquote(value.text(self.input)), pos)
    }

    fn matcher(&mut self, op: MatchOp, name: &[u8], value: &[u8], pos: PosRange) -> Result<Matcher, Stop> {
        self.hold(size_of::<Matcher>() + MATCHER_OVERHEAD + name.len() + value.len())?;
        let matcher = Matcher::new(op, name, value).map_err(|e| {
            self.complain(pos, e.to_string());
            Stop
        })?;
        self.hold_once(matcher.pattern_bytes())?;
        Ok(matcher)
    }
}
