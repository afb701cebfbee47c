//! Commands: fields, methods and functions with their arguments.

use std::sync::Arc;

use super::{Evaluated, Evaluator, Place};
use crate::template::functions::{Call, Function, Want, method};
use crate::template::quote::quoted;
use crate::template::stop::Stop;
use crate::template::tree::{Arg, ArgKind, Command, Number};
use crate::template::value::Value;

/// Texts that functions make, all together, bytes.
const MADE_BYTES_MAX: usize = 16 << 20;

impl<'t> Evaluator<'t> {
    /// Evaluates a command; `last` is the value of the one before it.
    pub(super) fn command(&mut self, dot: &Value, command: &'t Command, last: Option<Value>) -> Evaluated {
        let first = &command.args[0];
        let args = &command.args[1..];
        match &first.kind {
            ArgKind::Field(_) | ArgKind::Chain(..) => return self.fields_of(dot, first, args, last),
            ArgKind::Variable(_, fields) if !fields.is_empty() => {
                return self.fields_of(dot, first, args, last);
            }
            ArgKind::Function(name) => {
                self.place = Place::Arg(first);
                return self.function(dot, name, Place::Command(command), args, last);
            }
            ArgKind::Variable(name, _) => {
                self.place = Place::Arg(first);
                let value = self.variable(name)?;
                self.not_a_function(command, &last)?;
                return Ok(value);
            }
            ArgKind::Pipe(pipe) => {
                self.not_a_function(command, &last)?;
                return self.pipe(dot, pipe);
            }
            _ => {}
        }
        self.place = Place::Arg(first);
        self.not_a_function(command, &last)?;
        match &first.kind {
            ArgKind::Dot => Ok(dot.clone()),
            ArgKind::Nil => self.error("nil is not a command"),
            kind => Ok(literal(kind)),
        }
    }

    fn not_a_function(&self, command: &Command, last: &Option<Value>) -> Result<(), Stop> {
        if command.args.len() > 1 || last.is_some() {
            return self.error(format!("can't give argument to non-function {}", command.args[0]));
        }
        Ok(())
    }

    fn variable(&self, name: &str) -> Evaluated {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    /// A field, a chain of fields, or fields of a variable; the last one may be a method with arguments.
    fn fields_of(&mut self, dot: &Value, arg: &'t Arg, args: &'t [Arg], last: Option<Value>) -> Evaluated {
        self.place = Place::Arg(arg);
        let (mut receiver, fields) = match &arg.kind {
            ArgKind::Field(fields) => (dot.clone(), fields),
            ArgKind::Variable(name, fields) => (self.variable(name)?, fields),
            ArgKind::Chain(inner, fields) => {
                if matches!(inner.kind, ArgKind::Nil) {
                    return self.error(format!("indirection through explicit nil in {arg}"));
                }
                (self.arg(dot, Want::Reflect, inner)?, fields)
            }
            _ => return self.error("no fields"),
        };
        let mut is_interface = false;
        for (i, name) in fields.iter().enumerate() {
            let is_last = i + 1 == fields.len();
            let (args, last) = if is_last { (args, last.clone()) } else { (&[][..], None) };
            let typed = if is_interface { "interface {}" } else { receiver.type_name() };
            is_interface = name == "Value" && matches!(receiver, Value::Data(_) | Value::Sample(_))
                || matches!(receiver, Value::Args(_));
            receiver = self.field(dot, &receiver, typed, name, Place::Arg(arg), args, last)?;
        }
        Ok(receiver)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a method call needs all that a function call does, and its receiver"
    )]
    fn field(
        &mut self,
        dot: &Value,
        receiver: &Value,
        type_name: &str,
        name: &'t str,
        place: Place<'t>,
        args: &'t [Arg],
        last: Option<Value>,
    ) -> Evaluated {
        let has_args = !args.is_empty() || last.is_some();
        let unknown = || format!("can't evaluate field {name} in type {type_name}");
        let called = || format!("{name} has arguments but cannot be invoked as function");
        let mapped = || format!("{name} is not a method but has arguments");
        if is_method(receiver, name) {
            return self.method(dot, receiver, name, place, args, last);
        }
        match (receiver, name) {
            (Value::None, _) => Ok(Value::None),
            (Value::NilInterface, _) | (Value::NilSample, "Labels" | "Value") => {
                self.error(format!("nil pointer evaluating {type_name}.{name}"))
            }
            (Value::Data(_), "Labels" | "ExternalLabels" | "ExternalURL" | "Value")
            | (Value::Sample(_), "Labels" | "Value")
                if has_args =>
            {
                self.error(called())
            }
            (Value::Link(expression), "Expr") if !has_args => Ok(Value::Str(Arc::clone(expression))),
            (Value::Data(data), "Labels") => Ok(Value::Labels(Arc::clone(&data.labels))),
            (Value::Data(data), "ExternalLabels") => Ok(Value::Labels(Arc::clone(&data.external_labels))),
            (Value::Data(data), "ExternalURL") => Ok(Value::text(data.external_url.as_str())),
            (Value::Data(data), "Value") => Ok(Value::from(&data.value)),
            (Value::Sample(sample), "Labels") => Ok(Value::Labels(Arc::clone(&sample.labels))),
            (Value::Sample(sample), "Value") => Ok(Value::from(&sample.value)),
            (Value::Labels(_) | Value::Args(_), _) if has_args => self.error(mapped()),
            (Value::Labels(labels), _) => Ok(Value::text(labels.get(name).map_or("", String::as_str))),
            (Value::Args(args), _) => Ok(args.get(name).cloned().unwrap_or(Value::NilInterface)),
            _ => self.error(unknown()),
        }
    }

    fn method(
        &mut self,
        dot: &Value,
        receiver: &Value,
        name: &'t str,
        place: Place<'t>,
        args: &'t [Arg],
        last: Option<Value>,
    ) -> Evaluated {
        let want = usize::from(name == "Format");
        let got = args.len() + usize::from(last.is_some());
        if got != want {
            return self.error(format!("wrong number of args for {name}: want {want} got {got}"));
        }
        let mut values = Vec::new();
        for arg in args {
            values.push(self.arg(dot, Want::Str, arg)?);
        }
        if let Some(last) = last {
            values.push(self.fitting(last, Want::Str)?);
        }
        match method(receiver, name, &values) {
            Some(Ok(value)) => self.made(value),
            Some(Err(reason)) => {
                self.place = place;
                self.error(format!("error calling {name}: {reason}"))
            }
            None => self.error(format!("can't evaluate field {name} in type {}", receiver.type_name())),
        }
    }

    /// Counts a text that a function made.
    fn made(&mut self, value: Value) -> Evaluated {
        self.made += value.bytes();
        if self.made > MADE_BYTES_MAX {
            return self.error(format!("functions make more than {MADE_BYTES_MAX} bytes"));
        }
        Ok(value)
    }

    fn function(
        &mut self,
        dot: &Value,
        name: &'t str,
        place: Place<'t>,
        args: &'t [Arg],
        last: Option<Value>,
    ) -> Evaluated {
        let Some(function) = Function::named(name) else {
            return self.error(format!("{} is not a defined function", quoted(name)));
        };
        let (got, fixed) = (args.len() + usize::from(last.is_some()), function.fixed.len());
        match function.variadic {
            Some(_) if got < fixed => {
                let got = args.len();
                return self
                    .error(format!("wrong number of args for {name}: want at least {fixed} got {got}"));
            }
            None if got != fixed => {
                return self.error(format!("wrong number of args for {name}: want {fixed} got {got}"));
            }
            _ => {}
        }
        if let Call::And | Call::Or = function.call {
            return self.short_circuit(dot, matches!(function.call, Call::Or), args, last);
        }
        let want = |i: usize| function.fixed.get(i).copied().or(function.variadic).unwrap_or(Want::Any);
        let mut values = Vec::with_capacity(got);
        for (i, arg) in args.iter().enumerate() {
            values.push(self.arg(dot, want(i), arg)?);
        }
        if let Some(last) = last {
            values.push(self.fitting(last, want(args.len()))?);
        }
        let result = match function.call {
            Call::Plain(call) => call(&values).map_err(Stop::Failed),
            Call::Around(call) => call(self.around, &values),
            Call::And | Call::Or => Ok(Value::None),
        };
        match result {
            Ok(value) => self.made(value),
            Err(Stop::Failed(reason)) => {
                self.place = place;
                self.error(format!("error calling {name}: {reason}"))
            }
            Err(stop) => Err(stop),
        }
    }

    fn short_circuit(&mut self, dot: &Value, is_or: bool, args: &'t [Arg], last: Option<Value>) -> Evaluated {
        let mut value = Value::None;
        for arg in args {
            value = self.arg(dot, Want::Reflect, arg)?;
            if value.is_true() == is_or {
                return Ok(value);
            }
        }
        match last {
            Some(last) => self.fitting(last, Want::Reflect),
            None => Ok(value),
        }
    }

    /// An argument for a parameter.
    fn arg(&mut self, dot: &Value, want: Want, arg: &'t Arg) -> Evaluated {
        self.step()?;
        self.place = Place::Arg(arg);
        let value = match &arg.kind {
            ArgKind::Dot => dot.clone(),
            ArgKind::Nil => match want {
                Want::Str => return self.error("cannot assign nil to string"),
                want => return self.fitting(Value::None, want),
            },
            ArgKind::Field(_) | ArgKind::Chain(..) => self.fields_of(dot, arg, &[], None)?,
            ArgKind::Variable(_, fields) if !fields.is_empty() => self.fields_of(dot, arg, &[], None)?,
            ArgKind::Variable(name, _) => self.variable(name)?,
            ArgKind::Pipe(pipe) => self.pipe(dot, pipe)?,
            ArgKind::Function(name) => self.function(dot, name, Place::Arg(arg), &[], None)?,
            kind => match (want, kind) {
                (Want::Any | Want::Reflect, _) | (Want::Str, ArgKind::Str { .. }) => {
                    return Ok(literal(kind));
                }
                (Want::Str, _) => return self.error(format!("expected string; found {arg}")),
                (want, _) => {
                    let want = want.type_name();
                    return self.error(format!("can't handle {arg} for arg of type {want}"));
                }
            },
        };
        self.fitting(value, want)
    }

    /// The value as a parameter takes it.
    fn fitting(&self, value: Value, want: Want) -> Evaluated {
        match (want, &value) {
            (Want::Any | Want::Reflect, _)
            | (Want::Str, Value::Str(_))
            | (Want::Sample, Value::Sample(_) | Value::NilSample)
            | (Want::Samples, Value::Samples(_)) => Ok(value),
            (Want::Sample, Value::None) => Ok(Value::NilSample),
            (Want::Samples, Value::None) => Ok(Value::Samples(Arc::default())),
            (want, Value::None) => self.error(format!("invalid value; expected {}", want.type_name())),
            (want, value) => {
                let (want, got) = (want.type_name(), value.type_name());
                self.error(format!("wrong type for value; expected {want}; got {got}"))
            }
        }
    }
}

/// The value of a constant where no type is wanted.
fn literal(kind: &ArgKind) -> Value {
    match kind {
        ArgKind::Bool(value) => Value::Bool(*value),
        ArgKind::Number(number) => ideal(number),
        ArgKind::Str { text, .. } => Value::text(text.as_str()),
        _ => Value::None,
    }
}

fn ideal(number: &Number) -> Value {
    match number.int {
        Some(int) if !number.is_float_by_itself() => Value::Int(int),
        _ => Value::Float(number.float),
    }
}

fn is_method(receiver: &Value, name: &str) -> bool {
    let args = [Value::text("")];
    method(receiver, name, &args[..usize::from(name == "Format")]).is_some()
}
