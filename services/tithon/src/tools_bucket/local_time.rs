//! Times in the zone of the machine, as Thanos's tools print them.

use chrono::{DateTime, Local, SecondsFormat};

/// A time in milliseconds since 1970 as RFC 3339, without parts of a second.
pub(super) fn local_time(ms: i64) -> String {
    match DateTime::from_timestamp_millis(ms) {
        Some(time) => time.with_timezone(&Local).to_rfc3339_opts(SecondsFormat::Secs, true),
        // No year that chrono knows.
        None => format!("{ms}ms"),
    }
}
