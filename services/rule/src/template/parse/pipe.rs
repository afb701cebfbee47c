//! Pipes: declarations, commands, operands and constants.

use super::Parser;
use crate::template::functions::Function;
use crate::template::quote::{quoted, unquoted_char};
use crate::template::text::parse_float;
use crate::template::token::{Kind, Word};
use crate::template::tree::{Arg, ArgKind, Command, Number, Pipe};

impl Parser<'_> {
    pub(super) fn pipe(&mut self, context: &'static str, end: Kind) -> Result<Pipe, String> {
        let mut pipe =
            Pipe { at: self.peek_word().at, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => return self.checked(pipe, context),
                Kind::Bool
                | Kind::CharConstant
                | Kind::Word(Word::Dot | Word::Nil)
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::RawStr
                | Kind::Str
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    /// `$x :=`, `$x =` or, for a range, `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        loop {
            let variable = self.peek_word();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            let after = self.peek();
            let word = self.peek_word();
            match word.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = word.kind == Kind::Assign;
                    self.next_word();
                    pipe.variables.push(variable.text.clone());
                    self.variables.push(variable.text);
                    return Ok(());
                }
                Kind::Char if word.text == "," => {
                    self.next_word();
                    pipe.variables.push(variable.text.clone());
                    self.variables.push(variable.text);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    if !matches!(self.peek_word().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen)
                    {
                        return self.error("range can only initialize variables");
                    }
                }
                _ if after.kind == Kind::Space => {
                    self.back_three(variable, after);
                    return Ok(());
                }
                _ => {
                    self.back_two(variable);
                    return Ok(());
                }
            }
        }
    }

    fn checked(&self, pipe: Pipe, context: &str) -> Result<Pipe, String> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            if let ArgKind::Bool(_) | ArgKind::Dot | ArgKind::Nil | ArgKind::Number(_) | ArgKind::Str { .. } =
                command.args[0].kind
            {
                return self.error(format!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(pipe)
    }

    fn command(&mut self) -> Result<Command, String> {
        let mut command = Command { at: self.peek_word().at, args: Vec::new() };
        loop {
            self.peek_word();
            command.args.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.back(),
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.args.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    /// A term and the fields behind it.
    fn operand(&mut self) -> Result<Option<Arg>, String> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().at;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].to_owned());
        }
        let kind = match term.kind {
            ArgKind::Field(first) => ArgKind::Field([first, fields].concat()),
            ArgKind::Variable(name, first) => ArgKind::Variable(name, [first, fields].concat()),
            ArgKind::Bool(_) | ArgKind::Str { .. } | ArgKind::Number(_) | ArgKind::Nil | ArgKind::Dot => {
                let term = quoted(&term.to_string());
                return self.error(format!("unexpected . after term {term}"));
            }
            kind => ArgKind::Chain(Box::new(Arg { at: term.at, kind }), fields),
        };
        Ok(Some(Arg { at, kind }))
    }

    fn term(&mut self) -> Result<Option<Arg>, String> {
        let token = self.next_word();
        let kind = match token.kind {
            Kind::Identifier if Function::named(&token.text).is_none() => {
                return self.error(format!("function {} not defined", quoted(&token.text)));
            }
            Kind::Identifier => ArgKind::Function(token.text),
            Kind::Word(Word::Dot) => ArgKind::Dot,
            Kind::Word(Word::Nil) => ArgKind::Nil,
            Kind::Variable if !self.variables.contains(&token.text) => {
                return self.error(format!("undefined variable {}", quoted(&token.text)));
            }
            Kind::Variable => ArgKind::Variable(token.text, Vec::new()),
            Kind::Field => ArgKind::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => ArgKind::Bool(token.text == "true"),
            Kind::CharConstant => {
                ArgKind::Number(char_constant(&token.text).or_else(|reason| self.error(reason))?)
            }
            Kind::Number => ArgKind::Number(number(&token.text).or_else(|reason| self.error(reason))?),
            Kind::LeftParen => {
                let pipe = self.deeper(|p| p.pipe("parenthesized pipeline", Kind::RightParen))?;
                return Ok(Some(Arg { at: pipe.at, kind: ArgKind::Pipe(pipe) }));
            }
            Kind::Str | Kind::RawStr => ArgKind::Str { text: self.literal(&token)?, literal: token.text },
            _ => {
                self.back();
                return Ok(None);
            }
        };
        Ok(Some(Arg { at: token.at, kind }))
    }
}

fn char_constant(literal: &str) -> Result<Number, String> {
    let code = unquoted_char(literal).ok_or_else(|| match literal.len() {
        ..=2 => "invalid syntax".to_owned(),
        _ => format!("malformed character constant: {literal}"),
    })?;
    Ok(Number { text: literal.to_owned(), int: Some(i64::from(code)), float: f64::from(code) })
}

/// A number as Go's `strconv` reads it; complex numbers are not there.
fn number(text: &str) -> Result<Number, String> {
    let illegal = || format!("illegal number syntax: {}", quoted(text));
    if let Some(int) = integer(text) {
        // Integers above the signed range have no type in a template.
        let int = i64::try_from(int).map_err(|_| format!("integer overflow: {}", quoted(text)))?;
        return Ok(Number { text: text.to_owned(), int: Some(int), float: int as f64 });
    }
    let float = parse_float(text).filter(|float| float.is_finite()).ok_or_else(illegal)?;
    if !text.contains(['.', 'e', 'E', 'p', 'P']) {
        return Err(format!("integer overflow: {}", quoted(text)));
    }
    let is_whole = float == float.trunc() && float.abs() < 9.3e18 && (float as i64) as f64 == float;
    Ok(Number { text: text.to_owned(), int: is_whole.then_some(float as i64), float })
}

/// An integer with its sign, in base 2, 8, 10 or 16, underscores between digits.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, body, has_prefix) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..], true),
        Some("0o") => (8, &lower[2..], true),
        Some("0b") => (2, &lower[2..], true),
        Some(two) if two.starts_with('0') => (8, &lower[1..], true),
        _ => (10, &lower[..], false),
    };
    let is_grouped =
        |body: &str| !body.ends_with('_') && !body.contains("__") && (has_prefix || !body.starts_with('_'));
    if body.is_empty() || !is_grouped(body) {
        return None;
    }
    let plain = body.replace('_', "");
    if !plain.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let value = i128::from_str_radix(&plain, base).ok().filter(|value| *value <= i128::from(u64::MAX))?;
    Some(if negative { -value } else { value })
}
