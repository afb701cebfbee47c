//! Function calls.

use super::{Parser, Stop, starts_expr};
use crate::ast::{Call, NodeId, NodeKind, PosRange};
use crate::func::Func;
use crate::parse::token::{Token, TokenKind, quoted};

impl Parser<'_> {
    /// A call, or a selector by metric name.
    pub(super) fn call_or_selector(&mut self) -> Result<NodeId, Stop> {
        let name = self.bump()?;
        let may_be_function = match name.kind {
            TokenKind::Identifier => true,
            TokenKind::Keyword(k) => k.is_preprocessor(),
            _ => false,
        };
        if may_be_function && self.peek()? == TokenKind::LeftParen {
            self.call(name)
        } else {
            self.selector(Some(name))
        }
    }

    fn call(&mut self, name: Token) -> Result<NodeId, Stop> {
        let (args, end) = self.call_args()?;
        let text = name.text(self.input);
        let func = match std::str::from_utf8(text).ok().and_then(Func::named) {
            Some(func) => {
                if func.signature().experimental && !self.options.experimental_functions {
                    self.complain(name.pos(), format!("function {} is not enabled", quoted(text)));
                }
                func
            }
            None => {
                self.complain(name.pos(), format!("unknown function with name {}", quoted(text)));
                // Any function that returns a vector will do: the complaint refuses the whole expression.
                Func::Vector
            }
        };
        let pos = PosRange::new(name.start, end);
        Ok(self.push(NodeKind::Call(Call { func, args }), pos, func.signature().return_type))
    }

    /// Arguments in parentheses, and where the closing one ends.
    pub(super) fn call_args(&mut self) -> Result<(Vec<NodeId>, u32), Stop> {
        self.expect(TokenKind::LeftParen)?;
        let mut args = Vec::new();
        if self.peek()? != TokenKind::RightParen {
            args.push(self.expr(0)?);
            while self.peek()? == TokenKind::Comma {
                let comma = self.bump()?;
                if starts_expr(self.peek()?) {
                    args.push(self.expr(0)?);
                } else {
                    self.complain(comma.pos(), "trailing commas not allowed in function call args");
                }
            }
        }
        let close = self.expect(TokenKind::RightParen)?;
        Ok((args, close.end))
    }
}
