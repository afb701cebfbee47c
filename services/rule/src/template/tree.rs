//! A parsed template, and how error messages print its parts. Go `text/template/parse/node.go`.

use std::fmt;

use super::quote::quoted;

/// A piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Action { at: usize, pipe: Pipe },
    Break,
    Continue,
    If(Branch),
    Range(Branch),
    With(Branch),
    Template { at: usize, name: String, pipe: Option<Pipe> },
}

/// What `if`, `range` and `with` have in common.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) list: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$x := command | command`
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    pub(super) at: usize,
    /// Whether the variables exist already.
    pub(super) assigns: bool,
    /// Names with their `$`.
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

/// A function or value and its arguments; never empty.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) args: Vec<Arg>,
}

/// A word of a command.
#[derive(Clone, Debug)]
pub(super) struct Arg {
    /// Offset of its first byte.
    pub(super) at: usize,
    pub(super) kind: ArgKind,
}

#[derive(Clone, Debug)]
pub(super) enum ArgKind {
    Function(String),
    /// A variable and fields of it.
    Variable(String, Vec<String>),
    Dot,
    Nil,
    Field(Vec<String>),
    /// Fields of anything else.
    Chain(Box<Arg>, Vec<String>),
    Bool(bool),
    Number(Number),
    Str {
        literal: String,
        text: String,
    },
    Pipe(Pipe),
}

/// A number has the type that its place wants; these are the ones that fit.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) text: String,
    pub(super) int: Option<i64>,
    pub(super) float: f64,
}

impl Number {
    /// Whether it is a float where nothing else is wanted.
    pub(super) fn is_float_by_itself(&self) -> bool {
        let text = &self.text;
        let is_hex_int = (text.starts_with("0x") || text.starts_with("0X")) && !text.contains(['p', 'P']);
        !is_hex_int && !text.starts_with('\'') && text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

fn joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T], between: &str) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        write!(f, "{part}")?;
    }
    Ok(())
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Text(text) => f.write_str(text),
            Node::Action { pipe, .. } => write!(f, "{{{{{pipe}}}}}"),
            Node::Break => f.write_str("{{break}}"),
            Node::Continue => f.write_str("{{continue}}"),
            Node::If(branch) => branch.write(f, "if"),
            Node::Range(branch) => branch.write(f, "range"),
            Node::With(branch) => branch.write(f, "with"),
            Node::Template { name, pipe: None, .. } => write!(f, "{{{{template {}}}}}", quoted(name)),
            Node::Template { name, pipe: Some(pipe), .. } => {
                write!(f, "{{{{template {} {pipe}}}}}", quoted(name))
            }
        }
    }
}

impl Branch {
    fn write(&self, f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
        write!(f, "{{{{{word} {}}}}}", self.pipe)?;
        joined(f, &self.list, "")?;
        if !self.otherwise.is_empty() {
            f.write_str("{{else}}")?;
            joined(f, &self.otherwise, "")?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            joined(f, &self.variables, ", ")?;
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        joined(f, &self.commands, " | ")
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, arg) in self.args.iter().enumerate() {
            let space = if i > 0 { " " } else { "" };
            write!(f, "{space}{}", Inside(arg))?;
        }
        Ok(())
    }
}

/// A word among others: a pipeline stands in parentheses.
struct Inside<'t>(&'t Arg);

impl fmt::Display for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind {
            ArgKind::Pipe(_) => write!(f, "({})", self.0),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ArgKind::Function(name) => f.write_str(name),
            ArgKind::Variable(name, fields) => {
                f.write_str(name)?;
                fields.iter().try_for_each(|field| write!(f, ".{field}"))
            }
            ArgKind::Dot => f.write_str("."),
            ArgKind::Nil => f.write_str("nil"),
            ArgKind::Field(fields) => fields.iter().try_for_each(|field| write!(f, ".{field}")),
            ArgKind::Chain(inner, fields) => {
                write!(f, "{}", Inside(inner))?;
                fields.iter().try_for_each(|field| write!(f, ".{field}"))
            }
            ArgKind::Bool(value) => write!(f, "{value}"),
            ArgKind::Number(number) => f.write_str(&number.text),
            ArgKind::Str { literal, .. } => f.write_str(literal),
            ArgKind::Pipe(pipe) => write!(f, "{pipe}"),
        }
    }
}
