//! Stores that are asked for no parts for a while, since they have evaluated none of the last ones.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A store rests when it has failed so many parts in a row.
const FAILED_MAX: u32 = 16;
/// How long it rests, and again after each part that fails from then on.
const REST: Duration = Duration::from_secs(30);
/// A failure counts no longer than this.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What became of the last parts of each store, by address. Only stores that failed the last one are in it.
#[derive(Debug, Default)]
pub(crate) struct Rests(Mutex<HashMap<String, Failures>>);

#[derive(Debug)]
struct Failures {
    in_a_row: u32,
    last: Instant,
}

impl Rests {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a store is to be asked for no part.
    pub(super) fn has(&self, store: &str, now: Instant) -> bool {
        let failing =
            |failures: &Failures| failures.in_a_row >= FAILED_MAX && now.duration_since(failures.last) < REST;
        self.lock().get(store).is_some_and(failing)
    }

    /// Notes whether a store has evaluated a part. Returns whether it begins to rest.
    pub(super) fn note(&self, store: &str, is_evaluated: bool, now: Instant) -> bool {
        let mut all = self.lock();
        if is_evaluated {
            all.remove(store);
            return false;
        }
        all.retain(|_, failures| now.duration_since(failures.last) < REMEMBERED);
        let failures = all.entry(store.to_owned()).or_insert(Failures { in_a_row: 0, last: now });
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        failures.last = now;
        failures.in_a_row == FAILED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_fails_all_parts_rests() {
        let (rests, begun) = (Rests::default(), Instant::now());
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        let fail = |n: u32, at: u64| (0..n).filter(|_| rests.note("a", false, after(at))).count();
        assert_eq!((fail(FAILED_MAX - 1, 0), rests.has("a", after(0))), (0, false));
        rests.note("a", true, after(1));
        assert_eq!((fail(FAILED_MAX - 1, 1), rests.has("a", after(1))), (0, false));
        assert_eq!(fail(1, 2), 1);
        assert!(rests.has("a", after(31)) && !rests.has("b", after(2)));
        // One part tells whether it goes well again.
        assert!(!rests.has("a", after(32)));
        assert_eq!((fail(1, 32), rests.has("a", after(61))), (0, true));
        rests.note("a", true, after(62));
        assert!(!rests.has("a", after(62)));
        // Failures of long ago count no more.
        assert_eq!((fail(FAILED_MAX - 1, 70), fail(1, 800), rests.has("a", after(800))), (0, 0, false));
    }
}
