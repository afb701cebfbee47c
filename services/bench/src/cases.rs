//! The built-in cases. Their names are part of the interface.

mod compact;
mod downsample;
mod one_shot;
mod query;
mod query_set;
mod rule;
mod servers;
mod sidecar;
mod start;
mod store;
mod upload;

pub(crate) use self::compact::compact;
pub(crate) use self::downsample::downsample;
pub(crate) use self::query::query;
pub(crate) use self::rule::rule;
pub(crate) use self::sidecar::sidecar;
pub(crate) use self::start::start;
pub(crate) use self::store::store;

/// Start of the generated data: 2025-01-01, in milliseconds since 1970.
const START_MS: i64 = 1_735_689_600_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
