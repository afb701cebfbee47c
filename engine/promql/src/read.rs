//! From the series that storage hands in to the samples that each step sees: decoding, selection times, windows.

mod batches;
mod decode;
mod even_windows;
mod picker;
mod range;
mod reach;
mod reference;
pub(crate) mod smooth;
mod statistics;
pub(crate) mod subquery;
mod windows;

pub(crate) use batches::{Flow, Selection, for_each_series};
pub(crate) use even_windows::EvenWindows;
pub(crate) use picker::Picker;
pub(crate) use range::RangeVector;
pub(crate) use reach::Reach;
pub(crate) use reference::Reference;
pub(crate) use windows::{Window, Windows};
