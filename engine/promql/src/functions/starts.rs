//! Start timestamps of samples: when they mean a counter reset.
//!
//! Upstream: `isStartTimestampReset`, `checkStartTimeOverlap` in `promql/functions.go`.

/// A sample's start timestamp (0 is unknown) and its own time, milliseconds.
pub(super) type Started = (i64, i64);

/// Whether the counter was restarted between the two samples.
pub(super) fn is_reset(previous: Started, current: Started) -> bool {
    let ((previous_start, previous_t), (start, t)) = (previous, current);
    if start == 0 || start >= t || start < previous_t {
        return false;
    }
    if start > previous_t {
        return true;
    }
    previous_start <= previous_t && previous_start != 0 && previous_start != previous_t
}

/// Whether the current sample claims to have started before the previous one was taken.
pub(super) fn overlaps(previous: Started, current_start: i64) -> bool {
    current_start != 0 && current_start < previous.1 && current_start != previous.0
}

/// The start timestamp and time of sample `i`; `starts` is empty when samples have no start timestamps.
pub(super) fn started(starts: &[i64], times: &[i64], i: usize) -> Started {
    (starts.get(i).copied().unwrap_or(0), times[i])
}
