//! The parser's state and its loop by precedence. Upstream: `promql/parser/generated_parser.y`.
//!
//! A syntax error ends the parse. Errors of well-formed parts are collected, in the order in which upstream's grammar
//! reduces the parts.

mod aggregate;
mod call;
mod duration;
mod modifiers;
mod selector;
mod series;

pub use series::SequenceValue;

use std::collections::HashSet;

use super::lexer::Lexer;
use super::literal::{duration_ns, number, seconds, unquote};
use super::options::ParseOptions;
use super::token::{Keyword, Token, TokenKind};
use crate::ast::{Binary, BinaryOp, Cardinality, Node, NodeId, NodeKind, PosRange, VectorMatching};
use crate::budget::Charge;
use crate::error::QueryError;
use crate::parse_error::{ERRORS_MAX, ParseError, ParseErrors};
use crate::stack::with_room;
use crate::value_type::ValueType;
use crate::watch::Watch;

/// How deeply an expression may nest. Chains of left-associative operators do not count.
const NESTING_MAX: u32 = 5_000;

/// The parse has ended; the parser's list of errors has the reason.
pub(super) struct Stop;

/// The part of a message about an unexpected token that follows the token.
#[derive(Clone, Copy)]
pub(super) struct Context {
    place: &'static str,
    expected: &'static str,
}

const ANYWHERE: Context = Context { place: "", expected: "" };

/// Reads tokens and builds nodes.
pub(super) struct Parser<'a> {
    pub(super) input: &'a [u8],
    options: ParseOptions,
    lexer: Lexer<'a>,
    /// A token read but not consumed.
    ahead: Option<Token>,
    /// The token read last.
    last: Token,
    /// The end of the last token that can end an expression.
    last_closing: u32,
    pub(super) nodes: Vec<Node>,
    pub(super) errors: Vec<ParseError>,
    /// The contexts for messages about unexpected tokens, the innermost last.
    contexts: Vec<Context>,
    depth: u32,
    /// Selectors and subqueries whose offset is set; an offset of 0 does not count.
    with_offset: HashSet<NodeId>,
    watch: Watch<'a>,
    /// The charge for the memory of the nodes.
    charge: Charge,
    /// The reason why the parse ended, unless the input is the reason.
    interrupt: Option<QueryError>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(input: &'a [u8], options: ParseOptions, series: bool, watch: Watch<'a>) -> Parser<'a> {
        Parser {
            input,
            options,
            lexer: Lexer::new(input, series),
            ahead: None,
            last: Token { kind: TokenKind::Eof, start: 0, end: 0 },
            last_closing: 0,
            nodes: Vec::new(),
            errors: Vec::new(),
            contexts: Vec::new(),
            depth: 0,
            with_offset: HashSet::new(),
            watch,
            charge: watch.budget.empty_charge(),
            interrupt: None,
        }
    }

    /// Parses an input that is one expression.
    pub(super) fn whole_expr(&mut self) -> Result<NodeId, Stop> {
        if self.peek()? == TokenKind::Eof {
            self.complain(PosRange::default(), "no expression found in input");
            return Err(Stop);
        }
        let root = self.expr(0)?;
        self.expect(TokenKind::Eof)?;
        Ok(root)
    }

    /// The result and the charge for its memory, or all errors.
    pub(super) fn finish<T>(self, parsed: Result<T, Stop>) -> Result<(T, Charge), QueryError> {
        match (parsed, self.interrupt) {
            (_, Some(interrupt)) => Err(interrupt),
            (Ok(value), None) if self.errors.is_empty() => Ok((value, self.charge)),
            _ => Err(QueryError::Parse(ParseErrors(self.errors))),
        }
    }

    /// Counts memory of the tree, and the copies of it that the plan will hold.
    fn hold(&mut self, bytes: usize) -> Result<(), Stop> {
        /// One copy in the tree, two in the plan.
        const COPIES: u64 = 3;
        self.hold_once(bytes as u64 * COPIES)
    }

    /// Counts memory that the tree and its plan share.
    fn hold_once(&mut self, bytes: u64) -> Result<(), Stop> {
        self.charge.grow(bytes).map_err(|over| {
            self.interrupt = Some(QueryError::TooManyBytes(over));
            Stop
        })
    }

    /// The kind of the next token.
    pub(super) fn peek(&mut self) -> Result<TokenKind, Stop> {
        if let Some(token) = self.ahead {
            return Ok(token.kind);
        }
        if let Err(error) = self.watch.check() {
            self.interrupt = Some(error);
            return Err(Stop);
        }
        let token = self.lexer.token();
        // A token makes half a node on average.
        self.hold(size_of::<Node>() / 2)?;
        self.last = token;
        match token.kind {
            TokenKind::Error => {
                let (range, message) = self.lexer.error();
                self.errors.push(ParseError::new(self.input, range, message));
                return Err(Stop);
            }
            TokenKind::RightBrace
            | TokenKind::RightParen
            | TokenKind::RightBracket
            | TokenKind::Duration
            | TokenKind::Number => self.last_closing = token.end,
            _ => {}
        }
        self.ahead = Some(token);
        Ok(token.kind)
    }

    /// Consumes the next token.
    pub(super) fn bump(&mut self) -> Result<Token, Stop> {
        self.peek()?;
        self.ahead = None;
        Ok(self.last)
    }

    /// Consumes the next token, which must be of this kind.
    pub(super) fn expect(&mut self, kind: TokenKind) -> Result<Token, Stop> {
        if self.peek()? == kind { self.bump() } else { Err(self.unexpected()) }
    }

    pub(super) fn complain(&mut self, range: PosRange, message: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(ParseError::new(self.input, range, message));
        }
    }

    /// Records the error that the token read last is unexpected.
    pub(super) fn unexpected(&mut self) -> Stop {
        let Context { place, expected } = self.contexts.last().copied().unwrap_or(ANYWHERE);
        let mut message = format!("unexpected {}", self.last.describe(self.input));
        if !place.is_empty() {
            message.push_str(" in ");
            message.push_str(place);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.complain(self.last.pos(), message);
        Stop
    }

    /// Sets the context of messages about unexpected tokens, until [`Parser::leave`].
    fn enter(&mut self, place: &'static str, expected: &'static str) {
        self.contexts.push(Context { place, expected });
    }

    /// Replaces the context that was set last.
    fn change(&mut self, place: &'static str, expected: &'static str) {
        self.contexts.pop();
        self.enter(place, expected);
    }

    fn leave(&mut self) {
        self.contexts.pop();
    }

    fn push(&mut self, kind: NodeKind, pos: PosRange, ty: ValueType) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("fewer nodes than input bytes"));
        self.nodes.push(Node { kind, pos, ty });
        id
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    fn pos(&self, id: NodeId) -> PosRange {
        self.node(id).pos
    }

    /// Counts one level of nesting around `parse`.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.depth == NESTING_MAX {
            self.complain(self.last.pos(), format!("expression nests deeper than {NESTING_MAX} levels"));
            return Err(Stop);
        }
        self.depth += 1;
        let result = with_room(|| parse(self));
        self.depth -= 1;
        result
    }

    /// Parses an expression whose operators bind at least as tightly as `level`.
    fn expr(&mut self, level: u8) -> Result<NodeId, Stop> {
        self.nested(|p| p.expr_unbounded(level))
    }

    fn expr_unbounded(&mut self, level: u8) -> Result<NodeId, Stop> {
        let mut lhs = self.prefix()?;
        loop {
            lhs = self.postfix(lhs)?;
            let TokenKind::Op(op) = self.peek()? else { return Ok(lhs) };
            let op_level = precedence(op);
            if op_level < level {
                return Ok(lhs);
            }
            self.bump()?;
            let (matching, return_bool) = self.binary_modifiers()?;
            let rhs = self.expr(if op == BinaryOp::Pow { op_level } else { op_level + 1 })?;
            lhs = self.binary(op, lhs, rhs, matching, return_bool);
        }
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        lhs: NodeId,
        rhs: NodeId,
        matching: VectorMatching,
        return_bool: bool,
    ) -> NodeId {
        let pos = PosRange::new(self.pos(lhs).start, self.pos(rhs).end);
        if !self.options.binop_fill && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
            self.complain(pos, "binop fill modifiers are experimental and not enabled");
        }
        let both_scalar = self.node(lhs).ty == ValueType::Scalar && self.node(rhs).ty == ValueType::Scalar;
        let ty = if both_scalar { ValueType::Scalar } else { ValueType::Vector };
        self.push(
            NodeKind::Binary(Box::new(Binary { op, lhs, rhs, matching: Some(matching), return_bool })),
            pos,
            ty,
        )
    }

    /// Parses an operand with the sign, parentheses, name or literal that it starts with.
    fn prefix(&mut self) -> Result<NodeId, Stop> {
        match self.peek()? {
            TokenKind::Number | TokenKind::Duration => {
                let (value, is_duration, pos) = self.number_or_duration()?;
                Ok(self.push(NodeKind::Number { value, is_duration }, pos, ValueType::Scalar))
            }
            TokenKind::String => {
                let token = self.bump()?;
                let text = unquote(token.text(self.input));
                Ok(self.push(NodeKind::String(text), token.pos(), ValueType::String))
            }
            TokenKind::Op(BinaryOp::Add | BinaryOp::Sub) => self.unary(),
            TokenKind::LeftParen => {
                let open = self.bump()?;
                let inner = self.expr(0)?;
                let close = self.expect(TokenKind::RightParen)?;
                let ty = self.node(inner).ty;
                Ok(self.push(NodeKind::Paren(inner), PosRange::new(open.start, close.end), ty))
            }
            TokenKind::LeftBrace => self.selector(None),
            TokenKind::Aggregate(_) => self.aggregate_or_selector(),
            kind if may_name_metric(kind) => self.call_or_selector(),
            _ => Err(self.unexpected()),
        }
    }

    /// A sign and its operand. The sign of a literal becomes part of the literal.
    fn unary(&mut self) -> Result<NodeId, Stop> {
        let sign = self.bump()?;
        let negate = sign.kind == TokenKind::Op(BinaryOp::Sub);
        let expr = self.expr(precedence(BinaryOp::Pow))?;
        let node = self.node_mut(expr);
        if let NodeKind::Number { value, .. } = &mut node.kind {
            if negate {
                *value = -*value;
            }
            node.pos.start = sign.start;
            return Ok(expr);
        }
        let (end, ty) = (node.pos.end, node.ty);
        Ok(self.push(NodeKind::Unary { negate, expr }, PosRange::new(sign.start, end), ty))
    }

    /// A number or duration token: its value, whether it is a duration, its place.
    fn number_or_duration(&mut self) -> Result<(f64, bool, PosRange), Stop> {
        let token = self.bump()?;
        let text = token.text(self.input);
        let (value, is_duration) = match token.kind {
            TokenKind::Number => (number(text), false),
            TokenKind::Duration => (duration_ns(text).map(seconds), true),
            _ => return Err(self.unexpected()),
        };
        let value = match value {
            Ok(value) => value,
            Err(message) => {
                self.complain(token.pos(), message);
                0.0
            }
        };
        Ok((value, is_duration, token.pos()))
    }

    /// A number or duration, with or without a sign.
    fn signed_number(&mut self) -> Result<f64, Stop> {
        let kind = self.peek()?;
        if matches!(kind, TokenKind::Op(BinaryOp::Add | BinaryOp::Sub)) {
            self.bump()?;
            self.peek()?;
        }
        let (value, _, _) = self.number_or_duration_expected()?;
        Ok(if kind == TokenKind::Op(BinaryOp::Sub) { -value } else { value })
    }

    fn number_or_duration_expected(&mut self) -> Result<(f64, bool, PosRange), Stop> {
        match self.peek()? {
            TokenKind::Number | TokenKind::Duration => self.number_or_duration(),
            _ => Err(self.unexpected()),
        }
    }

    /// `bool`, `on`, `ignoring`, `group_left`, `group_right` and fills after a binary operator.
    fn binary_modifiers(&mut self) -> Result<(VectorMatching, bool), Stop> {
        let mut matching = VectorMatching::default();
        let return_bool = self.peek()? == TokenKind::Keyword(Keyword::Bool);
        if return_bool {
            self.bump()?;
        }
        if let TokenKind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.peek()? {
            self.bump()?;
            matching.on = keyword == Keyword::On;
            matching.labels = self.grouping_labels()?;
            if let TokenKind::Keyword(keyword @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.peek()? {
                self.bump()?;
                matching.cardinality = if keyword == Keyword::GroupLeft {
                    Cardinality::ManyToOne
                } else {
                    Cardinality::OneToMany
                };
                // The labels are optional; without them the right operand follows.
                if !starts_expr(self.peek()?) || self.peek()? == TokenKind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fill_modifiers(&mut matching)?;
        Ok((matching, return_bool))
    }

    fn fill_modifiers(&mut self, matching: &mut VectorMatching) -> Result<(), Stop> {
        match self.peek()? {
            TokenKind::Keyword(Keyword::Fill) => {
                matching.fill_left = Some(self.fill_value()?);
                matching.fill_right = matching.fill_left;
            }
            TokenKind::Keyword(Keyword::FillLeft) => {
                matching.fill_left = Some(self.fill_value()?);
                if self.peek()? == TokenKind::Keyword(Keyword::FillRight) {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            TokenKind::Keyword(Keyword::FillRight) => {
                matching.fill_right = Some(self.fill_value()?);
                if self.peek()? == TokenKind::Keyword(Keyword::FillLeft) {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Result<f64, Stop> {
        self.bump()?;
        self.expect(TokenKind::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(TokenKind::RightParen)?;
        Ok(value)
    }
}

/// How tightly an operator binds.
fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => 6,
        _ => 3,
    }
}

/// Whether a token at the start of an expression may be the name of a metric.
pub(super) fn may_name_metric(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
        TokenKind::Op(op) => op.is_set(),
        TokenKind::Keyword(k) => !matches!(
            k,
            Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight
        ),
        _ => false,
    }
}

/// Whether an expression may start with a token.
fn starts_expr(kind: TokenKind) -> bool {
    may_name_metric(kind)
        || matches!(
            kind,
            TokenKind::Number
                | TokenKind::Duration
                | TokenKind::String
                | TokenKind::LeftParen
                | TokenKind::LeftBrace
                | TokenKind::Op(BinaryOp::Add | BinaryOp::Sub)
        )
}
