//! From tokens to a tree. Go `text/template/parse/parse.go`.

mod pipe;

use std::collections::BTreeMap;

use super::quote::unquoted;
use super::token::{Kind, Lexer, Token, Word};
use super::tree::{Branch, Node};

/// Conditions and parentheses go no deeper.
const DEPTH_MAX: usize = 100;

/// Templates by their names; the text itself has the name it was parsed under.
pub(super) type Trees = BTreeMap<String, Vec<Node>>;

/// Parses a text. The error is worded as Go words it.
pub(super) fn parse(name: &str, text: &str) -> Result<Trees, String> {
    let mut parser = Parser {
        name,
        lexer: Lexer::new(text),
        tokens: Default::default(),
        peeked: 0,
        variables: vec!["$".to_owned()],
        action_line: 0,
        ranges: 0,
        depth: 0,
        trees: Trees::new(),
    };
    let root = parser.root()?;
    parser.add(name.to_owned(), root)?;
    Ok(parser.trees)
}

struct Parser<'t> {
    name: &'t str,
    lexer: Lexer<'t>,
    /// The last token, and those before it that were given back.
    tokens: [Option<Token>; 3],
    peeked: usize,
    /// Those in scope.
    variables: Vec<String>,
    /// The line where the action under way begins.
    action_line: usize,
    ranges: usize,
    depth: usize,
    trees: Trees,
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq)]
enum End {
    End,
    Else,
}

impl End {
    fn told(self) -> &'static str {
        if self == End::End { "{{end}}" } else { "{{else}}" }
    }
}

enum Piece {
    Node(Node),
    End(End),
}

impl Parser<'_> {
    fn next(&mut self) -> Token {
        if self.peeked > 0 {
            self.peeked -= 1;
        } else {
            self.tokens[0] = Some(self.lexer.token());
        }
        self.held(self.peeked)
    }

    fn held(&self, i: usize) -> Token {
        let none = || Token { kind: Kind::Eof, at: 0, text: "EOF".to_owned(), line: 1 };
        self.tokens[i].clone().unwrap_or_else(none)
    }

    fn back(&mut self) {
        self.peeked += 1;
    }

    /// Gives back a token that came before the last one.
    fn back_two(&mut self, token: Token) {
        self.tokens[1] = Some(token);
        self.peeked = 2;
    }

    fn back_three(&mut self, first: Token, second: Token) {
        (self.tokens[1], self.tokens[2]) = (Some(second), Some(first));
        self.peeked = 3;
    }

    fn peek(&mut self) -> Token {
        if self.peeked == 0 {
            self.peeked = 1;
            self.tokens[0] = Some(self.lexer.token());
        }
        self.held(self.peeked - 1)
    }

    fn next_word(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_word(&mut self) -> Token {
        let token = self.next_word();
        self.back();
        token
    }

    fn error<T>(&self, reason: impl std::fmt::Display) -> Result<T, String> {
        Err(format!("template: {}:{}: {reason}", self.name, self.held(0).line))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T, String> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.told()));
        }
        let mut began = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            began = format!(" in action started at {}:{}", self.name, self.action_line);
            if token.text.ends_with(" action") {
                began = began[" in action".len()..].to_owned();
            }
        }
        self.error(format!("{}{began}", token.told()))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token, String> {
        let token = self.next_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// One level down, as far as that goes.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth == DEPTH_MAX {
            return self.error("max expression depth exceeded");
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Keeps a template. One that holds nothing but space makes way for another of the same name.
    fn add(&mut self, name: String, tree: Vec<Node>) -> Result<(), String> {
        match self.trees.get(&name) {
            Some(old) if !is_blank(old) && is_blank(&tree) => Ok(()),
            Some(old) if !is_blank(old) => self
                .error(format!("template: multiple definition of template {}", super::quote::quoted(&name))),
            _ => {
                self.trees.insert(name, tree);
                Ok(())
            }
        }
    }

    fn root(&mut self) -> Result<Vec<Node>, String> {
        let mut root = Vec::new();
        loop {
            let token = self.peek();
            if token.kind == Kind::Eof {
                return Ok(root);
            }
            if token.kind == Kind::LeftDelim {
                let delim = self.next();
                if self.next_word().kind == Kind::Word(Word::Define) {
                    self.definition()?;
                    continue;
                }
                self.back_two(delim);
            }
            match self.piece()? {
                Piece::Node(node) => root.push(node),
                Piece::End(end) => return self.error(format!("unexpected {}", end.told())),
            }
        }
    }

    fn definition(&mut self) -> Result<(), String> {
        let token = self.next_word();
        if !matches!(token.kind, Kind::Str | Kind::RawStr) {
            return self.unexpected(&token, "define clause");
        }
        let name = self.literal(&token)?;
        self.expect(Kind::RightDelim, "define clause")?;
        let tree = self.separate(|parser| {
            let (list, end) = parser.list()?;
            match end {
                End::End => Ok(list),
                End::Else => parser.error("unexpected {{else}} in define clause"),
            }
        })?;
        self.add(name, tree)
    }

    /// Parses what knows no variables from around it.
    fn separate<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let (ranges, action_line) = (std::mem::take(&mut self.ranges), self.action_line);
        let parsed = self.deeper(parse);
        (self.variables, self.ranges, self.action_line) = (outer, ranges, action_line);
        parsed
    }

    fn literal(&self, token: &Token) -> Result<String, String> {
        unquoted(&token.text).map_or_else(|| self.error("invalid syntax"), Ok)
    }

    /// Nodes up to `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Result<(Vec<Node>, End), String> {
        let mut list = Vec::new();
        while self.peek_word().kind != Kind::Eof {
            match self.piece()? {
                Piece::Node(node) => list.push(node),
                Piece::End(end) => return Ok((list, end)),
            }
        }
        self.error("unexpected EOF")
    }

    fn piece(&mut self) -> Result<Piece, String> {
        let token = self.next_word();
        match token.kind {
            Kind::Text => Ok(Piece::Node(Node::Text(token.text))),
            Kind::LeftDelim => {
                self.action_line = token.line;
                let piece = self.action();
                if piece.is_ok() {
                    self.action_line = 0;
                }
                piece
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Piece, String> {
        let token = self.next_word();
        let node = match token.kind {
            Kind::Word(Word::Block) => self.block(),
            Kind::Word(Word::Break) => self.leave(Node::Break, "{{break}}"),
            Kind::Word(Word::Continue) => self.leave(Node::Continue, "{{continue}}"),
            Kind::Word(Word::Else) => return self.otherwise(),
            Kind::Word(Word::End) => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Piece::End(End::End));
            }
            Kind::Word(Word::If) => self.branch("if").map(Node::If),
            Kind::Word(Word::Range) => self.branch("range").map(Node::Range),
            Kind::Word(Word::With) => self.branch("with").map(Node::With),
            Kind::Word(Word::Template) => self.template(),
            _ => {
                self.back();
                let at = self.peek().at;
                self.pipe("command", Kind::RightDelim).map(|pipe| Node::Action { at, pipe })
            }
        };
        node.map(Piece::Node)
    }

    fn leave(&mut self, node: Node, word: &str) -> Result<Node, String> {
        let token = self.next_word();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, word);
        }
        if self.ranges == 0 {
            return self.error(format!("{word} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn otherwise(&mut self) -> Result<Piece, String> {
        if !matches!(self.peek_word().kind, Kind::Word(Word::If | Word::With)) {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Piece::End(End::Else))
    }

    fn branch(&mut self, context: &'static str) -> Result<Branch, String> {
        let scope = self.variables.len();
        let branch = self.deeper(|parser| parser.branch_inside(context));
        self.variables.truncate(scope);
        branch
    }

    fn branch_inside(&mut self, context: &'static str) -> Result<Branch, String> {
        let pipe = self.pipe(context, Kind::RightDelim)?;
        let is_range = usize::from(context == "range");
        self.ranges += is_range;
        let (list, end) = self.list()?;
        self.ranges -= is_range;
        let mut otherwise = Vec::new();
        if end == End::Else {
            match (context, self.peek().kind) {
                ("if", Kind::Word(Word::If)) => {
                    self.next();
                    otherwise = vec![Node::If(self.branch("if")?)];
                }
                ("with", Kind::Word(Word::With)) => {
                    self.next();
                    otherwise = vec![Node::With(self.branch("with")?)];
                }
                _ => {
                    let (rest, end) = self.list()?;
                    if end != End::End {
                        return self.error(format!("expected end; found {}", end.told()));
                    }
                    otherwise = rest;
                }
            }
        }
        Ok(Branch { pipe, list, otherwise })
    }

    fn block(&mut self) -> Result<Node, String> {
        let token = self.next_word();
        let name = self.template_name(&token, "block clause")?;
        let pipe = self.pipe("block clause", Kind::RightDelim)?;
        let tree = self.separate(|parser| {
            let (list, end) = parser.list()?;
            match end {
                End::End => Ok(list),
                End::Else => parser.error("unexpected {{else}} in block clause"),
            }
        })?;
        self.add(name.clone(), tree)?;
        Ok(Node::Template { at: token.at, name, pipe: Some(pipe) })
    }

    fn template(&mut self) -> Result<Node, String> {
        let token = self.next_word();
        let name = self.template_name(&token, "template clause")?;
        let mut pipe = None;
        if self.next_word().kind != Kind::RightDelim {
            self.back();
            pipe = Some(self.pipe("template clause", Kind::RightDelim)?);
        }
        Ok(Node::Template { at: token.at, name, pipe })
    }

    fn template_name(&self, token: &Token, context: &str) -> Result<String, String> {
        match token.kind {
            Kind::Str | Kind::RawStr => self.literal(token),
            _ => self.unexpected(token, context),
        }
    }
}

fn is_blank(tree: &[Node]) -> bool {
    tree.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
