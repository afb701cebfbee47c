//! Expressions as text and as JSON. Upstream: `promql/parser/printer.go`, `prettier.go`,
//! `web/api/v1/translate_ast.go`.
//!
//! Printing uses a stack of its own, so that chains of thousands of operators do not take more of the thread's stack.

mod json;
mod pretty;
mod text;

pub use json::to_json;
pub use pretty::{prettify, prettify_within};
pub(crate) use text::{node_head, node_text};
