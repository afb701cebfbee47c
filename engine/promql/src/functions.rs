//! Functions on evaluated arguments.

pub(crate) mod absent;
mod classic;
pub(crate) mod elementary;
mod extended;
mod family;
pub(crate) mod histogram;
pub(crate) mod info;
pub(crate) mod labels;
mod le;
mod native;
pub(crate) mod over_range;
mod over_time;
pub(crate) mod per_sample;
mod range_call;
mod rate;
mod regression;
pub(crate) mod scalar;
mod sliding;
pub(crate) mod sort;
mod starts;
#[cfg(test)]
mod tests;
pub(crate) mod timestamp;

pub(crate) use family::Family;
pub(crate) use range_call::RangeCall;
