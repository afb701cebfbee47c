//! States of the lexer inside series descriptions: values and histograms.

use super::{Lexer, State, TokenKind, is_alpha, is_space, quoted, quoted_char};
use crate::ast::BinaryOp;
use crate::parse::token::{histogram_word, keyword};

/// Whether a histogram is open, and which sign follows the one just closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HistogramState {
    None,
    Open,
    Times,
    Add,
    Sub,
}

impl Lexer<'_> {
    pub(super) fn values(&mut self) -> State {
        if self.histogram != HistogramState::None {
            return State::Histogram;
        }
        let Some(c) = self.next() else { return State::General };
        match c {
            '{' if self.peek() == Some('{') => {
                self.histogram = HistogramState::Open;
                self.next();
                self.emit(TokenKind::OpenHistogram);
                return State::Histogram;
            }
            c if is_space(c) => {
                self.emit(TokenKind::Space);
                self.skip_spaces();
            }
            '+' => self.emit_op(BinaryOp::Add),
            '-' => self.emit_op(BinaryOp::Sub),
            'x' => self.emit(TokenKind::Times),
            '_' => self.emit(TokenKind::Blank),
            '.' if self.peek().is_some_and(|d| d.is_ascii_digit()) => {
                self.pos -= 1;
                return self.series_number();
            }
            '0'..='9' => {
                self.backup();
                return self.series_number();
            }
            c if is_alpha(c) => {
                self.backup();
                return self.keyword_or_identifier();
            }
            c => {
                let message = format!("unexpected character in series sequence: {}", quoted_char(Some(c)));
                return self.fail(message);
            }
        }
        State::Values
    }

    fn series_number(&mut self) -> State {
        match self.plain_number() {
            State::General => State::Values,
            failed => failed,
        }
    }

    pub(super) fn plain_number(&mut self) -> State {
        if !self.scan_number() {
            let text = quoted(self.text());
            return self.fail(format!("bad number syntax: {text}"));
        }
        self.emit(TokenKind::Number);
        State::General
    }

    pub(super) fn histogram(&mut self) -> State {
        let sign = match self.histogram {
            HistogramState::Times => Some(TokenKind::Times),
            HistogramState::Add => Some(TokenKind::Op(BinaryOp::Add)),
            HistogramState::Sub => Some(TokenKind::Op(BinaryOp::Sub)),
            HistogramState::None | HistogramState::Open => None,
        };
        if let Some(kind) = sign {
            self.histogram = HistogramState::None;
            self.next();
            self.emit(kind);
            return State::Values;
        }
        if self.bracket_open {
            return State::Buckets;
        }
        let c = self.next();
        match c {
            Some(c) if is_space(c) => {
                self.emit(TokenKind::Space);
                self.skip_spaces();
            }
            Some(c) if is_alpha(c) => return self.histogram_word(),
            Some(':') => self.emit(TokenKind::Colon),
            Some('-') => self.emit_op(BinaryOp::Sub),
            Some('0'..='9') => {
                self.backup();
                return State::PlainNumber;
            }
            Some('[') => {
                self.bracket_open = true;
                self.got_colon = false;
                self.got_duration = false;
                self.emit(TokenKind::LeftBracket);
                return State::Buckets;
            }
            Some('}') if self.peek() == Some('}') => return self.close_histogram(),
            c => {
                let message = format!("histogram description incomplete unexpected: {}", quoted_char(c));
                return self.fail(message);
            }
        }
        State::Histogram
    }

    fn close_histogram(&mut self) -> State {
        self.next();
        self.emit(TokenKind::CloseHistogram);
        self.histogram = match self.peek() {
            Some('x') => HistogramState::Times,
            Some('+') => HistogramState::Add,
            Some('-') => HistogramState::Sub,
            _ => HistogramState::None,
        };
        State::Values
    }

    fn histogram_word(&mut self) -> State {
        while self.peek().is_some_and(is_alpha) {
            self.next();
        }
        match histogram_word(self.text()) {
            Some(TokenKind::HistogramKey(_)) if self.peek() != Some(':') => {
                self.fail("missing `:` for histogram descriptor")
            }
            Some(kind) => {
                self.emit(kind);
                State::Histogram
            }
            None => {
                let word = quoted(self.text());
                self.fail(format!("bad histogram descriptor found: {word}"))
            }
        }
    }

    pub(super) fn buckets(&mut self) -> State {
        match self.next() {
            Some(c) if is_space(c) => {
                self.emit(TokenKind::Space);
                self.skip_spaces();
            }
            Some('-') => {
                self.emit_op(BinaryOp::Sub);
                return State::PlainNumber;
            }
            Some('0'..='9') => {
                self.backup();
                return State::PlainNumber;
            }
            Some(']') => {
                self.bracket_open = false;
                self.emit(TokenKind::RightBracket);
                return State::Histogram;
            }
            // A word grows letter by letter until it is a number's name.
            Some(c) if is_alpha(c) => {
                if keyword(self.text()) == Some(TokenKind::Number) {
                    self.emit(TokenKind::Number);
                }
            }
            c => {
                return self.fail(format!("invalid character in buckets description: {}", quoted_char(c)));
            }
        }
        State::Buckets
    }
}
