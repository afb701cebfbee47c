//! Fuzz target bodies as plain functions, replayed by ordinary tests.

pub mod index;
pub mod promql;
