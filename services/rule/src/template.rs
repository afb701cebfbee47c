//! Templates of alerts: Go's `text/template` with the functions of Prometheus's `template/template.go`.
//!
//! Texts and errors are those that the real program makes. What differs: complex numbers and methods of Go's types that no alert
//! needs are not there, a letter that `slice` cuts in two becomes U+FFFD, addresses are printed as `0xc000000000`, and an
//! expansion is bounded in steps, depth and bytes.

mod compare;
mod eval;
mod functions;
mod parse;
mod print;
mod quote;
mod stop;
mod text;
mod time;
mod token;
mod tree;
mod value;

use std::sync::Arc;

use self::eval::evaluate;
pub use self::functions::Answers;
use self::parse::Trees;
use self::stop::Stop;
pub(crate) use self::text::{exponential_shortest, query_escaped};
use self::value::Value;
pub use self::value::{Data, Number, Sample};

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    name: String,
    text: String,
    trees: Trees,
}

/// Why a template gives no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no template.
    #[error("error parsing template {name}: {reason}")]
    Parse {
        /// The template's name.
        name: String,
        /// Go's message, with the line.
        reason: String,
    },
    /// The expansion failed.
    #[error("error executing template {name}: {reason}")]
    Execute {
        /// The template's name.
        name: String,
        /// Go's message, with line and column.
        reason: String,
    },
}

/// What functions of templates use besides their arguments.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Milliseconds since 1970, for `now`.
    pub now_ms: i64,
    /// The results of `externalURL` and, its path, of `pathPrefix`; `None` if there is no URL.
    pub external_url: Option<(&'a str, &'a str)>,
    /// The known answers to `query`.
    pub answers: &'a Answers,
}

/// The result of an expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expansion {
    /// The expanded text.
    Text(String),
    /// The expansion needs the answer to this expression of `query`, and is to be repeated with it.
    Asks(String),
}

/// What alerts put in front of each template: `$labels`, `$externalLabels`, `$externalURL` and `$value`.
const ALERT_VARIABLES: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

impl Template {
    /// Parses a text.
    pub fn parse(name: &str, text: String) -> Result<Template, TemplateError> {
        match parse::parse(name, &text) {
            Ok(trees) => Ok(Template { name: name.to_owned(), text, trees }),
            Err(reason) => Err(TemplateError::Parse { name: name.to_owned(), reason }),
        }
    }

    /// Parses a label or annotation of an alert.
    pub fn of_alert(alert: &str, text: &str) -> Result<Template, TemplateError> {
        Template::parse(&format!("__alert_{alert}"), format!("{ALERT_VARIABLES}{text}"))
    }

    /// Expands a link to an expression, which is escaped already: `{{.Expr}}`.
    pub(crate) fn expand_link(&self, expression: &str) -> Result<String, TemplateError> {
        let dot = Value::Link(expression.into());
        let around = Surroundings { now_ms: 0, external_url: None, answers: &Answers::new() };
        self.expand_value(dot, &around).map(|expansion| match expansion {
            Expansion::Text(text) | Expansion::Asks(text) => text,
        })
    }

    /// Expands the template.
    pub fn expand(&self, data: Data, around: &Surroundings<'_>) -> Result<Expansion, TemplateError> {
        self.expand_value(Value::Data(Arc::new(data)), around)
    }

    fn expand_value(&self, dot: Value, around: &Surroundings<'_>) -> Result<Expansion, TemplateError> {
        match evaluate(self, dot, around) {
            Ok(text) => Ok(Expansion::Text(text)),
            Err(Stop::Asks(expression)) => Ok(Expansion::Asks(expression)),
            Err(Stop::Error(reason) | Stop::Failed(reason)) => {
                Err(TemplateError::Execute { name: self.name.clone(), reason })
            }
            // The parser lets these stand in ranges only.
            Err(Stop::Break | Stop::Continue) => Ok(Expansion::Text(String::new())),
        }
    }
}
