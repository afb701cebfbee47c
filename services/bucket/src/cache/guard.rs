//! A circuit breaker: a cache that fails repeatedly is not asked for a while, so that it delays reads only briefly.
//! Thanos `pkg/cacheutil/cacheutil.go`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Number of failures in a row that begin a pause.
const FAILURES_MAX: u32 = 5;
/// Length of a pause.
const PAUSE: Duration = Duration::from_secs(5);

/// The recent failures of a cache.
#[derive(Debug, Default)]
pub(super) struct Guard(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    paused_until: Option<Instant>,
}

impl Guard {
    /// Whether the cache may be asked now. After a pause it may, and the next failure begins another pause.
    pub(super) fn may_ask(&self, now: Instant) -> bool {
        self.0.lock().is_ok_and(|state| state.paused_until.is_none_or(|until| now >= until))
    }

    /// Records that the cache answered.
    pub(super) fn answered(&self) {
        if let Ok(mut state) = self.0.lock() {
            *state = State::default();
        }
    }

    /// Records a failure. Returns true when it begins the first pause since the cache last answered.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let Ok(mut state) = self.0.lock() else { return false };
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES_MAX {
            return false;
        }
        state.paused_until = Some(now + PAUSE);
        state.failures == FAILURES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_begin_a_pause() {
        let (guard, now) = (Guard::default(), Instant::now());
        let fail = |times| (0..times).map(|_| guard.failed(now)).collect::<Vec<_>>();
        assert_eq!(fail(4), [false; 4]);
        guard.answered();
        assert_eq!(fail(4), [false; 4]);
        assert!(guard.may_ask(now));
        assert_eq!(fail(1), [true]);
        assert!(!guard.may_ask(now + PAUSE / 2));
        assert!(guard.may_ask(now + PAUSE));
        assert_eq!(fail(1), [false]);
        assert!(!guard.may_ask(now));
        guard.answered();
        assert!(guard.may_ask(now));
    }
}
