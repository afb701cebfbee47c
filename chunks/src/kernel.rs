//! The hot loops: sample columns without double writes. The only module of the crate with `unsafe`.
#![allow(unsafe_code)]

mod columns;

pub(crate) use columns::{Columns, StartColumns};
