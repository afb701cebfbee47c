//! The lexer: a state machine with upstream's states, so that it accepts the same inputs and refuses the others at the same
//! positions. Upstream: `promql/parser/lex.go`.

mod scan;
mod series;

use super::token::{Token, TokenKind, duration_keyword, keyword, quoted, quoted_char};
use crate::ast::{BinaryOp, PosRange};

/// The lexer's state: the kind of input that it expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Outside of braces and brackets, or inside brackets after a first number.
    General,
    /// Inside `{}`.
    Braces,
    /// Inside `[]`, before a first number.
    DurationExpr,
    /// A number or duration begins here.
    Number,
    /// A number of a histogram description begins here.
    PlainNumber,
    /// A string; its first quote is consumed.
    String,
    /// A backquoted string; its first quote is consumed.
    RawString,
    /// The values of a series description.
    Values,
    /// A histogram description.
    Histogram,
    /// A bucket list of a histogram description.
    Buckets,
    /// The input has ended.
    End,
}

/// Splits an input into tokens.
pub(super) struct Lexer<'a> {
    input: &'a [u8],
    state: State,
    pos: usize,
    start: usize,
    /// Bytes of the last character read by `next`.
    width: usize,
    token: Option<Token>,
    /// The message of an error token.
    message: String,
    paren_depth: i64,
    brace_open: bool,
    bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
    quote: char,
    series: bool,
    histogram: series::HistogramState,
}

impl<'a> Lexer<'a> {
    /// A lexer for an expression or selector, or for a series description.
    pub(super) fn new(input: &'a [u8], series: bool) -> Lexer<'a> {
        Lexer {
            input,
            state: State::General,
            pos: 0,
            start: 0,
            width: 0,
            token: None,
            message: String::new(),
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            quote: '"',
            series,
            histogram: series::HistogramState::None,
        }
    }

    /// The next token that is not a comment; `Eof` after the last one.
    pub(super) fn token(&mut self) -> Token {
        loop {
            self.token = None;
            let token = loop {
                self.state = self.step();
                if let Some(token) = self.token {
                    break token;
                }
            };
            if token.kind != TokenKind::Comment {
                return token;
            }
        }
    }

    /// The message of the error token and the range that it concerns: from the bad token to the end of input.
    pub(super) fn error(&self) -> (PosRange, &str) {
        (PosRange::new(self.start as u32, self.input.len() as u32), &self.message)
    }

    fn step(&mut self) -> State {
        match self.state {
            State::General => self.general(),
            State::Braces => self.braces(),
            State::DurationExpr => self.duration_expr(),
            State::Number => self.number_or_duration(),
            State::PlainNumber => self.plain_number(),
            State::String => self.string(),
            State::RawString => self.raw_string(),
            State::Values => self.values(),
            State::Histogram => self.histogram(),
            State::Buckets => self.buckets(),
            State::End => {
                self.emit(TokenKind::Eof);
                State::End
            }
        }
    }

    /// Reads a character: U+FFFD for a byte that is not UTF-8, nothing at the end.
    fn next(&mut self) -> Option<char> {
        let Some(&first) = self.input.get(self.pos) else {
            self.width = 0;
            return None;
        };
        let (c, width) = if first.is_ascii() { (first as char, 1) } else { decode(&self.input[self.pos..]) };
        self.width = width;
        self.pos += width;
        Some(c)
    }

    fn peek(&mut self) -> Option<char> {
        let c = self.next();
        self.backup();
        c
    }

    fn backup(&mut self) {
        self.pos -= self.width;
    }

    fn text(&self) -> &'a [u8] {
        &self.input[self.start..self.pos]
    }

    fn emit(&mut self, kind: TokenKind) {
        self.token = Some(Token { kind, start: self.start as u32, end: self.pos as u32 });
        self.start = self.pos;
    }

    fn emit_op(&mut self, op: BinaryOp) {
        self.emit(TokenKind::Op(op));
    }

    fn fail(&mut self, message: impl Into<String>) -> State {
        self.message = message.into();
        let at = self.start as u32;
        self.token = Some(Token { kind: TokenKind::Error, start: at, end: at });
        State::End
    }

    /// Skips spaces, of which one is consumed already.
    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.next();
        }
        self.start = self.pos;
    }

    fn general(&mut self) -> State {
        if self.histogram != series::HistogramState::None {
            return State::Histogram;
        }
        if self.brace_open {
            return State::Braces;
        }
        let Some(c) = self.next() else { return self.end() };
        match c {
            '#' => return self.comment(),
            ',' => self.emit(TokenKind::Comma),
            c if is_space(c) => self.skip_spaces(),
            '*' => self.emit_op(BinaryOp::Mul),
            '/' => self.emit_op(BinaryOp::Div),
            '%' => self.emit_op(BinaryOp::Mod),
            '+' => self.emit_op(BinaryOp::Add),
            '-' => self.emit_op(BinaryOp::Sub),
            '^' => self.emit_op(BinaryOp::Pow),
            '=' | '!' | '<' | '>' => return self.comparison(c),
            '.' if self.peek().is_some_and(|d| d.is_ascii_digit()) => {
                self.pos -= 1;
                return State::Number;
            }
            '0'..='9' => {
                self.backup();
                return State::Number;
            }
            '"' | '\'' => {
                self.quote = c;
                return State::String;
            }
            '`' => return State::RawString,
            c if is_alpha(c) || c == ':' => return self.word(c),
            '(' => {
                self.emit(TokenKind::LeftParen);
                self.paren_depth += 1;
            }
            ')' => return self.right_paren(State::General),
            '{' => {
                self.emit(TokenKind::LeftBrace);
                self.brace_open = true;
                return State::Braces;
            }
            '[' => return self.left_bracket(),
            ']' => {
                if !self.bracket_open {
                    return self.fail("unexpected right bracket ']'");
                }
                self.emit(TokenKind::RightBracket);
                self.bracket_open = false;
            }
            '@' => self.emit(TokenKind::At),
            c => return self.fail(format!("unexpected character: {}", quoted_char(Some(c)))),
        }
        State::General
    }

    fn end(&mut self) -> State {
        if self.paren_depth != 0 {
            return self.fail("unclosed left parenthesis");
        }
        if self.bracket_open {
            return self.fail("unclosed left bracket");
        }
        self.emit(TokenKind::Eof);
        State::End
    }

    /// The rest of a comment, whose mark is consumed.
    fn comment(&mut self) -> State {
        while self.peek().is_some_and(|c| c != '\n' && c != '\r') {
            self.next();
        }
        self.emit(TokenKind::Comment);
        State::General
    }

    fn comparison(&mut self, first: char) -> State {
        let second = self.peek();
        match (first, second) {
            ('=', Some('~')) => return self.fail("unexpected character after '=': '~'"),
            ('=', Some('=')) => self.two(BinaryOp::Equal),
            ('=', _) => self.emit(TokenKind::Assign),
            ('!', Some('=')) => self.two(BinaryOp::NotEqual),
            ('!', c) => return self.fail(format!("unexpected character after '!': {}", quoted_char(c))),
            ('<', Some('=')) => self.two(BinaryOp::LessOrEqual),
            ('<', Some('/')) => self.two(BinaryOp::TrimUpper),
            ('<', _) => self.emit_op(BinaryOp::Less),
            (_, Some('=')) => self.two(BinaryOp::GreaterOrEqual),
            (_, Some('/')) => self.two(BinaryOp::TrimLower),
            _ => self.emit_op(BinaryOp::Greater),
        }
        State::General
    }

    fn two(&mut self, op: BinaryOp) {
        self.next();
        self.emit_op(op);
    }

    fn right_paren(&mut self, then: State) -> State {
        self.emit(TokenKind::RightParen);
        self.paren_depth -= 1;
        if self.paren_depth < 0 {
            return self.fail("unexpected right parenthesis ')'");
        }
        then
    }

    fn left_bracket(&mut self) -> State {
        if self.bracket_open {
            return self.fail("unexpected left bracket '['");
        }
        self.got_colon = false;
        self.emit(TokenKind::LeftBracket);
        self.skip_spaces();
        self.bracket_open = true;
        State::DurationExpr
    }

    /// A word or colon, of which the first character is consumed.
    fn word(&mut self, first: char) -> State {
        if !self.bracket_open {
            self.backup();
            return self.keyword_or_identifier();
        }
        if first == ':' {
            if self.got_colon {
                return self.fail("unexpected colon ':'");
            }
            self.emit(TokenKind::Colon);
            self.got_colon = true;
            return State::General;
        }
        if starts_duration_keyword(first) && self.scan_duration_keyword() {
            return State::General;
        }
        self.fail(format!("unexpected character: {}, expected ':'", quoted_char(Some(first))))
    }

    fn keyword_or_identifier(&mut self) -> State {
        while self.peek().is_some_and(|c| is_alphanumeric(c) || c == ':') {
            self.next();
        }
        let word = self.text();
        use super::token::Keyword::{Fill, FillLeft, FillRight};
        match keyword(word) {
            // These are keywords only in front of a parenthesis, so that they can be names of metrics too.
            Some(TokenKind::Keyword(Fill | FillLeft | FillRight)) if !self.left_paren_follows() => {
                self.emit(TokenKind::Identifier);
            }
            Some(kind) => self.emit(kind),
            None if word.contains(&b':') => self.emit(TokenKind::MetricIdentifier),
            None => self.emit(TokenKind::Identifier),
        }
        if self.series && self.peek() != Some('{') { State::Values } else { State::General }
    }

    fn left_paren_follows(&self) -> bool {
        let rest = &self.input[self.pos..];
        rest.iter().find(|c| !is_space(**c as char)) == Some(&b'(')
    }

    fn scan_duration_keyword(&mut self) -> bool {
        while self.peek().is_some_and(is_alpha) {
            self.next();
        }
        match duration_keyword(self.text()) {
            Some(kind) => {
                self.emit(kind);
                true
            }
            None => false,
        }
    }

    fn duration_expr(&mut self) -> State {
        let Some(c) = self.next() else {
            return self.fail("unexpected end of input in duration expression");
        };
        match c {
            ']' => {
                self.emit(TokenKind::RightBracket);
                self.bracket_open = false;
                self.got_colon = false;
                return State::General;
            }
            ':' => return self.duration_colon(),
            '(' => {
                self.emit(TokenKind::LeftParen);
                self.paren_depth += 1;
            }
            ')' => return self.right_paren(State::DurationExpr),
            c if is_space(c) => self.skip_spaces(),
            '+' => self.emit_op(BinaryOp::Add),
            '-' => self.emit_op(BinaryOp::Sub),
            '*' => self.emit_op(BinaryOp::Mul),
            '/' => self.emit_op(BinaryOp::Div),
            '%' => self.emit_op(BinaryOp::Mod),
            '^' => self.emit_op(BinaryOp::Pow),
            ',' => self.emit(TokenKind::Comma),
            '.' if self.peek().is_some_and(|d| d.is_ascii_digit()) => {
                self.pos -= 1;
                self.got_duration = true;
                return State::Number;
            }
            '0'..='9' => {
                self.backup();
                self.got_duration = true;
                return State::Number;
            }
            c if starts_duration_keyword(c) && self.scan_duration_keyword() => {}
            c => {
                let message =
                    format!("unexpected character in duration expression: {}", quoted_char(Some(c)));
                return self.fail(message);
            }
        }
        State::DurationExpr
    }

    fn duration_colon(&mut self) -> State {
        self.emit(TokenKind::Colon);
        if !self.got_duration {
            return self.fail("unexpected colon before duration in duration expression");
        }
        if self.got_colon {
            return self.fail("unexpected repeated colon in duration expression");
        }
        self.got_colon = true;
        State::DurationExpr
    }

    fn braces(&mut self) -> State {
        let Some(c) = self.next() else { return self.fail("unexpected end of input inside braces") };
        match c {
            '#' => return self.comment(),
            c if is_space(c) => self.skip_spaces(),
            c if is_alpha(c) => {
                while self.peek().is_some_and(is_alphanumeric) {
                    self.next();
                }
                self.emit(TokenKind::Identifier);
            }
            ',' => self.emit(TokenKind::Comma),
            '"' | '\'' => {
                self.quote = c;
                return State::String;
            }
            '`' => return State::RawString,
            '=' if self.peek() == Some('~') => {
                self.next();
                self.emit(TokenKind::MatchRegex);
            }
            '=' => self.emit(TokenKind::Assign),
            '!' => match self.next() {
                Some('~') => self.emit(TokenKind::MatchNotRegex),
                Some('=') => self.emit_op(BinaryOp::NotEqual),
                c => {
                    let message = format!("unexpected character after '!' inside braces: {}", quoted_char(c));
                    return self.fail(message);
                }
            },
            '{' => return self.fail("unexpected left brace '{'"),
            '}' => {
                self.emit(TokenKind::RightBrace);
                self.brace_open = false;
                return if self.series { State::Values } else { State::General };
            }
            c => return self.fail(format!("unexpected character inside braces: {}", quoted_char(Some(c)))),
        }
        State::Braces
    }

    fn number_or_duration(&mut self) -> State {
        if self.scan_number() {
            self.emit(TokenKind::Number);
        } else if self.scan_rest_of_duration() {
            self.emit(TokenKind::Duration);
        } else {
            let text = quoted(self.text());
            return self.fail(format!("bad number or duration syntax: {text}"));
        }
        State::General
    }
}

/// The first character of a text that is not ASCII there, and its length.
fn decode(bytes: &[u8]) -> (char, usize) {
    let head = &bytes[..bytes.len().min(4)];
    match head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) {
        Some(c) => (c, c.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

fn starts_duration_keyword(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 's' | 'r' | 'm')
}
