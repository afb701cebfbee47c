//! From text to tokens. Go `text/template/parse/lex.go`.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text says what is wrong; nothing follows.
    Error,
    Eof,
    /// Text outside of actions.
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Pipe,
    LeftParen,
    RightParen,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// Any other printable character of ASCII.
    Char,
    /// `'x'`
    CharConstant,
    Number,
    Str,
    RawStr,
    Bool,
    Identifier,
    /// `.name`
    Field,
    /// `$` or `$name`
    Variable,
    Word(Word),
}

/// Words with a meaning of their own, and the dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Block,
    Break,
    Continue,
    Define,
    Dot,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// A piece of the text.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Offset of its first byte.
    pub(super) at: usize,
    pub(super) text: String,
    /// The line where it begins, from 1.
    pub(super) line: usize,
}

impl Token {
    /// The word for it in error messages.
    pub(super) fn told(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Word(_) => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                format!("{}...", super::quote::quoted(&self.text.chars().take(10).collect::<String>()))
            }
            _ => super::quote::quoted(&self.text),
        }
    }
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// Reads tokens one by one.
pub(super) struct Lexer<'t> {
    text: &'t str,
    /// Behind the last character read.
    at: usize,
    /// Offset of the first byte of the current token.
    start: usize,
    in_action: bool,
    parens: usize,
    is_broken: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Lexer<'t> {
        Lexer { text, at: 0, start: 0, in_action: false, parens: 0, is_broken: false }
    }

    /// The next token; behind the end and behind an error it is `Eof`.
    pub(super) fn token(&mut self) -> Token {
        if self.is_broken {
            return Token { kind: Kind::Eof, at: 0, text: "EOF".to_owned(), line: self.line(0) };
        }
        let kind = if self.in_action { self.inside() } else { self.outside() };
        match kind {
            Ok(token) => token,
            Err(reason) => {
                self.is_broken = true;
                Token { kind: Kind::Error, at: self.start, text: reason, line: self.line(self.start) }
            }
        }
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// The token that ends here.
    fn emit(&mut self, kind: Kind) -> Token {
        let token = Token {
            kind,
            at: self.start,
            text: self.text[self.start..self.at].to_owned(),
            line: self.line(self.start),
        };
        self.start = self.at;
        token
    }

    fn ignore(&mut self) {
        self.start = self.at;
    }

    /// Text up to the next action, comments left out.
    fn outside(&mut self) -> Result<Token, String> {
        loop {
            let Some(found) = self.rest().find("{{") else {
                self.at = self.text.len();
                return Ok(match self.start < self.at {
                    true => self.emit(Kind::Text),
                    false => Token { text: "EOF".to_owned(), ..self.emit(Kind::Eof) },
                });
            };
            let delim = self.at + found;
            self.at = delim;
            if trims_left(&self.text[delim + 2..]) {
                self.at = self.start + self.text[self.start..delim].trim_end_matches(SPACES).len();
            }
            let text = (self.start < self.at).then(|| self.emit(Kind::Text));
            self.at = delim;
            self.ignore();
            if let Some(text) = text {
                return Ok(text);
            }
            let marker = if trims_left(&self.text[delim + 2..]) { 2 } else { 0 };
            if self.text[delim + 2 + marker..].starts_with("/*") {
                self.at += 2 + marker;
                self.ignore();
                self.comment()?;
                continue;
            }
            self.at += 2;
            let token = self.emit(Kind::LeftDelim);
            self.at += marker;
            self.ignore();
            (self.in_action, self.parens) = (true, 0);
            return Ok(token);
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let end = self.rest()[2..].find("*/").ok_or("unclosed comment")?;
        self.at += 2 + end + 2;
        let trims = trims_right(self.rest()) && self.rest()[2..].starts_with("}}");
        if !trims && !self.rest().starts_with("}}") {
            return Err("comment ends before closing delimiter".to_owned());
        }
        self.at += if trims { 4 } else { 2 };
        self.skip_trimmed(trims);
        Ok(())
    }

    fn skip_trimmed(&mut self, trims: bool) {
        if trims {
            self.at = self.text.len() - self.rest().trim_start_matches(SPACES).len();
        }
        self.ignore();
    }

    /// Whether the action ends here, and whether the space behind it goes too.
    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if trims_right(rest) && rest[2..].starts_with("}}") {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    fn inside(&mut self) -> Result<Token, String> {
        if let Some(trims) = self.right_delim() {
            if self.parens > 0 {
                return Err("unclosed left paren".to_owned());
            }
            return Ok(self.leave(trims));
        }
        let Some(c) = self.peek() else { return Err("unclosed action".to_owned()) };
        if SPACES.contains(&c) {
            return Ok(self.spaces());
        }
        if matches!(c, '+' | '-' | '0'..='9')
            || (c == '.' && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            return self.number();
        }
        if is_alphanumeric(c) {
            return self.word();
        }
        self.next();
        match c {
            '=' => Ok(self.emit(Kind::Assign)),
            ':' if self.next() != Some('=') => Err("expected :=".to_owned()),
            ':' => Ok(self.emit(Kind::Declare)),
            '|' => Ok(self.emit(Kind::Pipe)),
            '"' => self.quoted('"', Kind::Str, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => match self.rest().find('`') {
                Some(end) => {
                    self.at += end + 1;
                    Ok(self.emit(Kind::RawStr))
                }
                None => Err("unterminated raw quoted string".to_owned()),
            },
            '$' => self.name(Kind::Variable, Kind::Variable),
            '.' => self.name(Kind::Field, Kind::Word(Word::Dot)),
            '(' => {
                self.parens += 1;
                Ok(self.emit(Kind::LeftParen))
            }
            ')' if self.parens == 0 => Err("unexpected right paren".to_owned()),
            ')' => {
                self.parens -= 1;
                Ok(self.emit(Kind::RightParen))
            }
            c if c.is_ascii_graphic() => Ok(self.emit(Kind::Char)),
            c => Err(format!("unrecognized character in action: {}", code_point(Some(c)))),
        }
    }

    /// The end of the action; the right delimiter is here.
    fn leave(&mut self, trims: bool) -> Token {
        if trims {
            self.at += 2;
            self.ignore();
        }
        self.at += 2;
        let token = self.emit(Kind::RightDelim);
        self.skip_trimmed(trims);
        self.in_action = false;
        token
    }

    /// A run of spaces; the last one may belong to ` -}}`.
    fn spaces(&mut self) -> Token {
        let run = self.rest().len() - self.rest().trim_start_matches(SPACES).len();
        let last = self.at + run - 1;
        let before = &self.text[last..];
        if trims_right(before) && before[2..].starts_with("}}") {
            if run == 1 {
                return self.leave(true);
            }
            self.at = last;
        } else {
            self.at += run;
        }
        self.emit(Kind::Space)
    }

    /// A number, whose syntax is not checked fully yet.
    fn number(&mut self) -> Result<Token, String> {
        let mut eat = |set: &str, many: bool| {
            let found = self.text[self.at..].find(|c| !set.contains(c)).unwrap_or(self.text.len() - self.at);
            let taken = if many { found } else { found.min(1) };
            self.at += taken;
            taken > 0
        };
        eat("+-", false);
        let mut digits = "0123456789_";
        if eat("0", false) {
            if eat("xX", false) {
                digits = "0123456789abcdefABCDEF_";
            } else if eat("oO", false) {
                digits = "01234567_";
            } else if eat("bB", false) {
                digits = "01_";
            }
        }
        eat(digits, true);
        if eat(".", false) {
            eat(digits, true);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if eat(exponent, false) {
            eat("+-", false);
            eat("0123456789_", true);
        }
        let next = self.peek();
        if next.is_some_and(is_alphanumeric) || matches!(next, Some('+' | '-')) {
            self.next();
            let text = &self.text[self.start..self.at];
            return Err(format!("bad number syntax: {}", super::quote::quoted(text)));
        }
        Ok(self.emit(Kind::Number))
    }

    fn word(&mut self) -> Result<Token, String> {
        self.skip_name()?;
        let kind = match &self.text[self.start..self.at] {
            "block" => Kind::Word(Word::Block),
            "break" => Kind::Word(Word::Break),
            "continue" => Kind::Word(Word::Continue),
            "define" => Kind::Word(Word::Define),
            "else" => Kind::Word(Word::Else),
            "end" => Kind::Word(Word::End),
            "if" => Kind::Word(Word::If),
            "nil" => Kind::Word(Word::Nil),
            "range" => Kind::Word(Word::Range),
            "template" => Kind::Word(Word::Template),
            "with" => Kind::Word(Word::With),
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        Ok(self.emit(kind))
    }

    /// What follows a dot or `$`.
    fn name(&mut self, kind: Kind, alone: Kind) -> Result<Token, String> {
        if self.at_terminator() {
            return Ok(self.emit(alone));
        }
        self.skip_name()?;
        Ok(self.emit(kind))
    }

    fn skip_name(&mut self) -> Result<(), String> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if !self.at_terminator() {
            return Err(format!("bad character {}", code_point(self.peek())));
        }
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        self.peek().is_none_or(|c| SPACES.contains(&c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '('))
            || self.rest().starts_with("}}")
    }

    fn quoted(&mut self, end: char, kind: Kind, unterminated: &str) -> Result<Token, String> {
        loop {
            match self.next() {
                Some('\\') if matches!(self.next(), Some(c) if c != '\n') => {}
                None | Some('\n' | '\\') => return Err(unterminated.to_owned()),
                Some(c) if c == end => return Ok(self.emit(kind)),
                Some(_) => {}
            }
        }
    }
}

fn trims_left(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACES))
}

fn trims_right(rest: &str) -> bool {
    rest.strip_prefix(SPACES).is_some_and(|rest| rest.starts_with('-'))
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

/// `U+0041 'A'`
fn code_point(c: Option<char>) -> String {
    match c {
        Some(c) if super::quote::is_printable(c) => format!("U+{:04X} '{c}'", u32::from(c)),
        Some(c) => format!("U+{:04X}", u32::from(c)),
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
    }
}
