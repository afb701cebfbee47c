//! A pipeline of three stages that work at the same time on successive items.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::Scope;

/// Reads items in turn until there are no more, makes a result from each, and writes the results in the order of
/// reading, in the rayon pool of the caller. No stage waits for the others as long as it has an item and a free place
/// behind it: one item may wait between two stages, so that at most five exist at a time.
///
/// Ends with the first failure in the order of the items; everything before it has been written then.
pub(crate) fn pipeline<A: Send, B: Send, E: Send>(
    read: impl FnMut() -> Result<Option<A>, E> + Send,
    make: impl Fn(A) -> Result<B, E> + Sync,
    write: impl FnMut(B) -> Result<(), E> + Send,
) -> Result<(), E> {
    let stages =
        Stages { read: Mutex::new(read), make, write: Mutex::new(write), places: Mutex::new(Places::new()) };
    rayon::scope(|scope| stages.go_on(scope));
    let places = stages.places.into_inner().unwrap_or_else(PoisonError::into_inner);
    places.failed.map_or(Ok(()), Err)
}

/// The three stages. Each runs at most once at a time.
struct Stages<A, B, E, R, M, W> {
    read: Mutex<R>,
    make: M,
    write: Mutex<W>,
    places: Mutex<Places<A, B, E>>,
}

/// Where items wait, and which stages are at work. A failure takes the place of its item and is handed on like one.
struct Places<A, B, E> {
    /// Between reading and making.
    fresh: Option<Result<A, E>>,
    /// Between making and writing.
    made: Option<Result<B, E>>,
    is_reading: bool,
    is_making: bool,
    is_writing: bool,
    /// Nothing more is read.
    is_read: bool,
    failed: Option<E>,
}

/// What a thread does next.
enum Task<A, B, E> {
    Read,
    Make(Result<A, E>),
    Write(Result<B, E>),
}

enum Stage {
    Read,
    Make,
    Write,
}

impl<A, B, E> Places<A, B, E> {
    fn new() -> Places<A, B, E> {
        let (is_reading, is_making, is_writing) = (false, false, false);
        Places { fresh: None, made: None, is_reading, is_making, is_writing, is_read: false, failed: None }
    }

    /// A stage that can go on; the last one first, since the caches still hold its item.
    fn ready(&self) -> Option<Stage> {
        if self.failed.is_some() {
            None
        } else if !self.is_writing && self.made.is_some() {
            Some(Stage::Write)
        } else if !self.is_making && self.made.is_none() && self.fresh.is_some() {
            Some(Stage::Make)
        } else if !self.is_reading && !self.is_read && self.fresh.is_none() {
            Some(Stage::Read)
        } else {
            None
        }
    }

    fn take(&mut self) -> Option<Task<A, B, E>> {
        match self.ready()? {
            Stage::Read => {
                self.is_reading = true;
                Some(Task::Read)
            }
            Stage::Make => {
                self.is_making = true;
                self.fresh.take().map(Task::Make)
            }
            Stage::Write => {
                self.is_writing = true;
                self.made.take().map(Task::Write)
            }
        }
    }
}

impl<A, B, E, R, M, W> Stages<A, B, E, R, M, W>
where
    A: Send,
    B: Send,
    E: Send,
    R: FnMut() -> Result<Option<A>, E> + Send,
    M: Fn(A) -> Result<B, E> + Sync,
    W: FnMut(B) -> Result<(), E> + Send,
{
    /// Does what can be done next, and leaves what else can be done to other threads, until nothing can.
    fn go_on<'s>(&'s self, scope: &Scope<'s>) {
        loop {
            let mut places = self.places();
            let Some(task) = places.take() else { return };
            if places.ready().is_some() {
                scope.spawn(|scope| self.go_on(scope));
            }
            drop(places);
            self.run(task);
        }
    }

    fn run(&self, task: Task<A, B, E>) {
        match task {
            Task::Read => {
                let item = lock(&self.read)();
                let mut places = self.places();
                places.is_reading = false;
                places.is_read = !matches!(item, Ok(Some(_)));
                places.fresh = item.transpose();
            }
            Task::Make(fresh) => {
                let made = fresh.and_then(&self.make);
                let mut places = self.places();
                (places.is_making, places.made) = (false, Some(made));
            }
            Task::Write(made) => {
                let written = made.and_then(|made| lock(&self.write)(made));
                let mut places = self.places();
                (places.is_writing, places.failed) = (false, written.err());
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, Places<A, B, E>> {
        lock(&self.places)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        Read(u32),
        Make(u32),
        Write(u32),
    }

    /// Passes the numbers below `n` through a pipeline with these faults: what was written, and how it ended. No more
    /// than five numbers exist at a time.
    fn run(n: u32, faults: &[Fault]) -> (Vec<u32>, Result<(), Fault>) {
        let alive = AtomicUsize::new(0);
        let check = |fault| if faults.contains(&fault) { Err(fault) } else { Ok(()) };
        let (mut next, mut out) = (0, Vec::new());
        let read = || {
            if next == n {
                return Ok(None);
            }
            assert!(alive.fetch_add(1, Ordering::SeqCst) < 5);
            next += 1;
            check(Fault::Read(next - 1)).map(|()| Some(next - 1))
        };
        let make = |item| {
            // Others of the pool take part, as they do in a merge.
            rayon::join(std::thread::yield_now, std::thread::yield_now);
            check(Fault::Make(item)).map(|()| item)
        };
        let result = pipeline(read, make, |item| {
            check(Fault::Write(item))?;
            alive.fetch_sub(1, Ordering::SeqCst);
            out.push(item);
            Ok(())
        });
        (out, result)
    }

    proptest! {
        #[test]
        fn all_before_the_first_fault_is_written(
            n in 0_u32..40,
            faults in prop::collection::vec(
                prop_oneof![
                    (0_u32..50).prop_map(Fault::Read),
                    (0_u32..50).prop_map(Fault::Make),
                    (0_u32..50).prop_map(Fault::Write),
                ],
                0..4,
            ),
            threads in 1_usize..4,
        ) {
            let of = |item: u32| [Fault::Read(item), Fault::Make(item), Fault::Write(item)];
            let first = (0..n).find_map(|item| of(item).into_iter().find(|fault| faults.contains(fault)));
            let written = match first {
                Some(Fault::Read(item) | Fault::Make(item) | Fault::Write(item)) => item,
                None => n,
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (out, result) = pool.install(|| run(n, &faults));
            prop_assert_eq!(out, (0..written).collect::<Vec<_>>());
            prop_assert_eq!(result, first.map_or(Ok(()), Err));
        }
    }
}
