//! Scanning of numbers, durations and strings.

use super::{Lexer, State, TokenKind, is_alphanumeric};

impl Lexer<'_> {
    fn accept(&mut self, valid: &str) -> bool {
        let found = self.is(valid);
        if found {
            self.next();
        }
        found
    }

    fn is(&mut self, valid: &str) -> bool {
        self.peek().is_some_and(|c| valid.contains(c))
    }

    /// Scans the text of a number, whose syntax is checked later. Returns whether it ends like a number.
    pub(super) fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789";
        let first = self.pos;
        let mut digits = DECIMAL;
        // In series descriptions, `x` is the mark of repetition.
        if !self.series && self.accept("0") && self.accept("xX") {
            self.accept("_");
            digits = "0123456789abcdefABCDEF";
        }
        self.accept(".");
        self.accept(digits);
        let (mut dot, mut exponent) = (false, false);
        loop {
            // Hexadecimal digits include e, but an exponent is looked for first.
            if self.is(".") {
                if std::mem::replace(&mut dot, true) {
                    self.next();
                    return false;
                }
                self.next();
                if self.accept("_.") || digits != DECIMAL {
                    return false;
                }
            } else if self.is("eE") {
                if std::mem::replace(&mut exponent, true) {
                    self.next();
                    return false;
                }
                self.next();
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept("_") {
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.is(digits) {
                while self.accept(digits) {}
            } else {
                break;
            }
        }
        if self.pos == first {
            return false;
        }
        match self.peek() {
            Some('x') if self.series => true,
            Some(c) => !is_alphanumeric(c),
            None => true,
        }
    }

    /// Scans the rest of a duration after the digits of its first number. Units are checked later.
    pub(super) fn scan_rest_of_duration(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept("0123456789") {
            while self.accept("0123456789") {}
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        if self.peek().is_some_and(is_alphanumeric) {
            // Upstream has consumed this character when it complains.
            self.next();
            return false;
        }
        true
    }

    pub(super) fn string(&mut self) -> State {
        loop {
            match self.next() {
                Some('\\') => {
                    if let Err(message) = self.escape() {
                        return self.fail(message);
                    }
                }
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune"),
                None | Some('\n') => return self.fail("unterminated quoted string"),
                Some(c) if c == self.quote => break,
                Some(_) => {}
            }
        }
        self.emit(TokenKind::String);
        State::General
    }

    pub(super) fn raw_string(&mut self) -> State {
        loop {
            match self.next() {
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune"),
                None => return self.fail("unterminated raw string"),
                Some('`') => break,
                Some(_) => {}
            }
        }
        self.emit(TokenKind::String);
        State::General
    }

    /// Scans the part of an escape sequence after its backslash.
    fn escape(&mut self) -> Result<(), String> {
        let not_terminated = || "escape sequence not terminated".to_owned();
        let c = self.next().ok_or_else(not_terminated)?;
        let (digits, base, max) = match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == self.quote => return Ok(()),
            '0'..='7' => {
                self.backup();
                (3, 8, 255)
            }
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            c => return Err(format!("unknown escape sequence {}", code_point(c))),
        };
        let mut value = 0u32;
        for _ in 0..digits {
            let c = self.next().ok_or_else(not_terminated)?;
            let digit = c.to_digit(base).ok_or_else(|| illegal(c))?;
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }
}

fn illegal(c: char) -> String {
    format!("illegal character {} in escape sequence", code_point(c))
}

/// `U+0063 'c'`, as Go's `%#U` prints; the second part only of printable characters.
fn code_point(c: char) -> String {
    if c.is_control() { format!("U+{:04X}", c as u32) } else { format!("U+{:04X} '{c}'", c as u32) }
}
