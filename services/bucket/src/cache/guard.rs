//! A cache that fails time after time is left alone for a while, so that it costs a bounded delay. Thanos
//! `pkg/cacheutil/cacheutil.go`, the circuit breaker.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Failures in a row after which a cache is left alone.
const FAILURES_MAX: u32 = 5;
/// How long.
const PAUSE: Duration = Duration::from_secs(5);

/// How a cache did lately.
#[derive(Debug, Default)]
pub(super) struct Guard(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    paused_until: Option<Instant>,
}

impl Guard {
    /// Whether the cache may be asked at this moment. After a pause it may, and the next failure begins another.
    pub(super) fn may_ask(&self, now: Instant) -> bool {
        self.0.lock().is_ok_and(|state| state.paused_until.is_none_or(|until| now >= until))
    }

    /// The cache answered.
    pub(super) fn answered(&self) {
        if let Ok(mut state) = self.0.lock() {
            *state = State::default();
        }
    }

    /// The cache failed. True when that begins a pause after a time without.
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
