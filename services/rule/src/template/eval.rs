//! Evaluation of a parsed template. Go `text/template/exec.go`.

mod call;

use std::fmt;
use std::sync::Arc;

use super::print::shown;
use super::quote::quoted;
use super::stop::Stop;
use super::tree::{Arg, Branch, Command, Node, Pipe};
use super::value::Value;
use super::{Surroundings, Template};

/// Nodes, commands and rounds of ranges that one expansion may take.
const STEPS_MAX: usize = 100_000;
/// Templates in templates go no deeper.
const DEPTH_MAX: usize = 50;
/// The longest text that comes out, bytes.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// What errors are told about: a node and where it begins.
#[derive(Clone, Copy)]
enum Place<'t> {
    Start,
    Node(&'t Node, usize),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Arg(&'t Arg),
}

impl Place<'_> {
    fn offset(self) -> usize {
        match self {
            Place::Start => 0,
            Place::Node(_, at) => at,
            Place::Pipe(pipe) => pipe.at,
            Place::Command(command) => command.at,
            Place::Arg(arg) => arg.at,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Start => Ok(()),
            Place::Node(node, _) => write!(f, "{node}"),
            Place::Pipe(pipe) => write!(f, "{pipe}"),
            Place::Command(command) => write!(f, "{command}"),
            Place::Arg(arg) => write!(f, "{arg}"),
        }
    }
}

/// An evaluation under way.
pub(super) struct Evaluator<'t> {
    template: &'t Template,
    around: &'t Surroundings<'t>,
    out: String,
    variables: Vec<(String, Value)>,
    /// The template that is evaluated: the one begun with, or one that it calls.
    current: &'t str,
    place: Place<'t>,
    depth: usize,
    steps: usize,
    made: usize,
}

type Evaluated = Result<Value, Stop>;

/// Evaluates a template from its beginning.
pub(super) fn evaluate(template: &Template, dot: Value, around: &Surroundings<'_>) -> Result<String, Stop> {
    let mut evaluator = Evaluator {
        template,
        around,
        out: String::new(),
        variables: vec![("$".to_owned(), dot.clone())],
        current: &template.name,
        place: Place::Start,
        depth: 0,
        steps: 0,
        made: 0,
    };
    let nodes = template.trees.get(&template.name).map_or(&[][..], Vec::as_slice);
    evaluator.list(&dot, nodes)?;
    Ok(evaluator.out)
}

impl<'t> Evaluator<'t> {
    fn error<T>(&self, reason: impl fmt::Display) -> Result<T, Stop> {
        let name = &self.template.name;
        let before = &self.template.text[..self.place.offset()];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(before.len(), |at| before.len() - at - 1);
        let current = quoted(self.current);
        let place = self.place;
        Err(Stop::Error(format!(
            "template: {name}:{line}:{column}: executing {current} at <{place}>: {reason}"
        )))
    }

    fn step(&mut self) -> Result<(), Stop> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return self.error(format!("more than {STEPS_MAX} steps"));
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), Stop> {
        if self.out.len() + text.len() > OUTPUT_BYTES_MAX {
            return self.error(format!("more than {OUTPUT_BYTES_MAX} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn list(&mut self, dot: &Value, nodes: &'t [Node]) -> Result<(), Stop> {
        nodes.iter().try_for_each(|node| self.node(dot, node))
    }

    fn node(&mut self, dot: &Value, node: &'t Node) -> Result<(), Stop> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text),
            Node::Action { at, pipe } => {
                self.place = Place::Node(node, *at);
                let value = self.pipe(dot, pipe)?;
                if !pipe.variables.is_empty() {
                    return Ok(());
                }
                self.place = Place::Node(node, *at);
                self.write(&shown(&value))
            }
            Node::Break => Err(Stop::Break),
            Node::Continue => Err(Stop::Continue),
            Node::If(branch) | Node::With(branch) => {
                self.place = Place::Node(node, branch.pipe.at);
                self.scoped(|e| {
                    let value = e.pipe(dot, &branch.pipe)?;
                    match (value.is_true(), node) {
                        (true, Node::With(_)) => e.list(&value, &branch.list),
                        (true, _) => e.list(dot, &branch.list),
                        (false, _) => e.list(dot, &branch.otherwise),
                    }
                })
            }
            Node::Range(branch) => {
                self.place = Place::Node(node, branch.pipe.at);
                match self.scoped(|e| e.range(dot, branch)) {
                    Err(Stop::Break) => Ok(()),
                    done => done,
                }
            }
            Node::Template { at, name, pipe } => {
                self.place = Place::Node(node, *at);
                self.template(dot, name, pipe.as_ref())
            }
        }
    }

    /// Forgets the variables that were declared meanwhile.
    fn scoped(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        let mark = self.variables.len();
        let done = work(self);
        self.variables.truncate(mark);
        done
    }

    fn template(&mut self, dot: &Value, name: &'t str, pipe: Option<&'t Pipe>) -> Result<(), Stop> {
        let Some(nodes) = self.template.trees.get(name) else {
            return self.error(format!("template {} not defined", quoted(name)));
        };
        if self.depth == DEPTH_MAX {
            return self.error(format!("exceeded maximum template depth ({DEPTH_MAX})"));
        }
        let dot = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::None,
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        let current = std::mem::replace(&mut self.current, name);
        self.depth += 1;
        let done = self.list(&dot, nodes);
        self.depth -= 1;
        (self.variables, self.current) = (outer, current);
        done
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Result<(), Stop> {
        let value = self.pipe(dot, &branch.pipe)?;
        let is_many = match &value {
            Value::Int(n) => {
                if branch.pipe.variables.len() > 1 {
                    return self.error(format!("can't use {n} to iterate over more than one variable"));
                }
                for i in 0..*n {
                    self.round(branch, Value::None, Value::Int(i))?;
                }
                *n > 0
            }
            Value::Byte(n) => {
                for i in 0..*n {
                    self.round(branch, Value::None, Value::Byte(i))?;
                }
                *n > 0
            }
            Value::Samples(samples) => {
                for (i, sample) in samples.iter().enumerate() {
                    self.round(branch, Value::Int(i as i64), Value::Sample(Arc::clone(sample)))?;
                }
                !samples.is_empty()
            }
            Value::Labels(labels) => {
                for (name, text) in labels.iter() {
                    self.round(branch, Value::text(name.as_str()), Value::text(text.as_str()))?;
                }
                !labels.is_empty()
            }
            Value::Args(args) => {
                for (name, arg) in args.iter() {
                    self.round(branch, Value::text(name.as_str()), arg.clone())?;
                }
                !args.is_empty()
            }
            Value::None => false,
            other => {
                let text = shown(other);
                return self.error(format!("range can't iterate over {text}"));
            }
        };
        if is_many { Ok(()) } else { self.list(dot, &branch.otherwise) }
    }

    /// One round of a range.
    fn round(&mut self, branch: &'t Branch, index: Value, element: Value) -> Result<(), Stop> {
        self.step()?;
        let mark = self.variables.len();
        let names = &branch.pipe.variables;
        let targets: &[(&String, &Value)] = match &names[..] {
            [] => &[],
            [one] => &[(one, &element)],
            [first, second, ..] => &[(first, &index), (second, &element)],
        };
        for (i, (name, value)) in targets.iter().enumerate() {
            match branch.pipe.assigns {
                true => self.assign(name, (*value).clone())?,
                // The declared variables are the last ones.
                false => self.variables[mark - targets.len() + i].1 = (*value).clone(),
            }
        }
        let done = self.list(&element, &branch.list);
        self.variables.truncate(mark);
        match done {
            Err(Stop::Continue) => Ok(()),
            done => done,
        }
    }

    fn assign(&mut self, name: &str, value: Value) -> Result<(), Stop> {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, old)) => {
                *old = value;
                Ok(())
            }
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    fn pipe(&mut self, dot: &Value, pipe: &'t Pipe) -> Evaluated {
        self.place = Place::Pipe(pipe);
        let mut value = None;
        for command in &pipe.commands {
            self.step()?;
            value = Some(match self.command(dot, command, value)? {
                Value::NilInterface => Value::None,
                value => value,
            });
        }
        let value = value.unwrap_or(Value::None);
        for name in &pipe.variables {
            match pipe.assigns {
                true => self.assign(name, value.clone())?,
                false => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }
}
