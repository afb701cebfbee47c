//! The system's clock, which only services read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970; zero when the clock is set to an earlier time.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}
