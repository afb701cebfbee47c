//! Selections under way. The head cannot be truncated while one of them reads: those whose reader stalls are broken off.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tithon_head::DbSelect;

/// A reader that takes nothing for so long has stalled.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// The selections of a data directory. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Readers(Arc<Mutex<Vec<Weak<Mutex<State>>>>>);

/// A selection that may be broken off.
pub(crate) struct Reading(Arc<Mutex<State>>);

struct State {
    /// `None` when it was broken off.
    select: Option<DbSelect>,
    used: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Readers {
    /// Watches over a selection.
    pub(crate) fn add(&self, select: DbSelect) -> Reading {
        let state = Arc::new(Mutex::new(State { select: Some(select), used: Instant::now() }));
        lock(&self.0).push(Arc::downgrade(&state));
        Reading(state)
    }

    /// Breaks off those whose reader stalled; gives how many.
    pub(crate) fn break_off_stalled(&self) -> usize {
        let mut readers = lock(&self.0);
        readers.retain(|reader| reader.strong_count() > 0);
        let stalled = readers.iter().filter_map(Weak::upgrade).filter(|reader| {
            // One that is locked is at work.
            let Ok(mut state) = reader.try_lock() else { return false };
            state.used.elapsed() > STALLED_AFTER && state.select.take().is_some()
        });
        stalled.count()
    }
}

impl Reading {
    /// Uses the selection; `None` when it was broken off.
    pub(crate) fn with<T>(&self, used: impl FnOnce(&mut DbSelect) -> T) -> Option<T> {
        let mut state = lock(&self.0);
        let done = state.select.as_mut().map(used);
        state.used = Instant::now();
        done
    }
}
