//! Values of templates: the types of Go that alerts meet.

use std::collections::BTreeMap;
use std::sync::Arc;

use tithon_chunks::FloatHistogram;

use super::time::Moment;

/// What a template computes with. Clones share texts and maps.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, and `nil` where no type is known.
    None,
    /// What a map of any values holds under a key that it lacks.
    NilInterface,
    /// `nil` where a sample is wanted.
    NilSample,
    Bool(bool),
    Int(i64),
    /// A byte of a text.
    Byte(u8),
    Float(f64),
    Str(Arc<str>),
    /// A text that `safeHtml` has marked.
    Html(Arc<str>),
    /// A month or a day of the week: its type, number and name.
    Named(&'static str, i64, &'static str),
    Labels(Arc<BTreeMap<String, String>>),
    /// What `args` makes.
    Args(Arc<BTreeMap<String, Value>>),
    /// What the dot is at first.
    Data(Arc<Data>),
    Sample(Arc<Sample>),
    Samples(Arc<Vec<Arc<Sample>>>),
    Time(Moment),
    /// Nanoseconds.
    Duration(i64),
    Histogram(Arc<FloatHistogram>),
    /// The dot of a link to an expression: `.Expr`.
    Link(Arc<str>),
}

/// What an alert hands to its templates.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// `.Labels`, of the sample.
    pub labels: Arc<BTreeMap<String, String>>,
    /// `.ExternalLabels`
    pub external_labels: Arc<BTreeMap<String, String>>,
    /// `.ExternalURL`
    pub external_url: String,
    /// `.Value`
    pub value: Number,
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl Default for Number {
    fn default() -> Number {
        Number::Float(0.0)
    }
}

/// A sample that `query` found.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels, the name among them.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Its value.
    pub value: Number,
}

impl From<&Number> for Value {
    fn from(number: &Number) -> Value {
        match number {
            Number::Float(value) => Value::Float(*value),
            Number::Histogram(histogram) => Value::Histogram(Arc::clone(histogram)),
        }
    }
}

impl Value {
    pub(super) fn text(text: impl Into<Arc<str>>) -> Value {
        Value::Str(text.into())
    }

    /// The type as Go prints it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::None => "<nil>",
            Value::NilInterface => "interface {}",
            Value::NilSample | Value::Sample(_) => "*template.sample",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Byte(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Str(_) => "string",
            Value::Html(_) => "template.HTML",
            Value::Named(name, ..) => name,
            Value::Labels(_) => "map[string]string",
            Value::Args(_) => "map[string]interface {}",
            Value::Data(_) => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
            }
            Value::Samples(_) => "template.queryResult",
            Value::Time(_) => "*time.Time",
            Value::Duration(_) => "*time.Duration",
            Value::Histogram(_) => "*histogram.FloatHistogram",
            Value::Link(_) => "rule.Expression",
        }
    }

    /// Whether the value counts as true: it is not the zero of its type.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::None | Value::NilInterface | Value::NilSample => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Named(_, value, _) => *value != 0,
            Value::Byte(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) | Value::Html(text) => !text.is_empty(),
            Value::Labels(labels) => !labels.is_empty(),
            Value::Args(args) => !args.is_empty(),
            Value::Samples(samples) => !samples.is_empty(),
            Value::Data(_)
            | Value::Sample(_)
            | Value::Time(_)
            | Value::Duration(_)
            | Value::Histogram(_)
            | Value::Link(_) => true,
        }
    }

    /// Bytes that the value takes by itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Value::Str(text) | Value::Html(text) => text.len(),
            _ => 0,
        }
    }
}
