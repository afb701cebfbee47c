//! Runs computations for async code on two rayon pools: one for queries, one for background work.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;
use tracing::Span;

use crate::RuntimeError;

/// The pool that a task runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Work that a client waits for: queries and calls.
    Query,
    /// Work that can wait: compaction, downsampling, syncs.
    Background,
}

/// Stack size of a thread in bytes. While a task waits inside a `join`, its thread may run another task on top of it,
/// so a stack must hold several deeply nested expressions. Only the used part takes memory.
const STACK_BYTES: usize = 64 << 20;
/// Least stack space of each task, as much as a thread usually has; if less is left, a new stack segment is allocated.
const TASK_BYTES_MIN: usize = 2 << 20;
const PIECE_BYTES: usize = 8 << 20;
/// Least stack space of work on threads that serve sockets, whose stacks are smaller.
const TASK_HERE_BYTES_MIN: usize = 512 << 10;

/// Nice value of background threads, so that they get the CPU time that queries leave.
const BACKGROUND_NICE: i32 = 15;

/// Two thread pools, with threads named `query-N` and `background-N`. Clones share them.
///
/// The pools are separate because a thread that waits inside a `join` runs other tasks of its pool: in one pool a query
/// could pick up a merge and be delayed for seconds. Background threads have a lower system priority. In a task,
/// rayon's parallel iterators use the task's pool.
#[derive(Clone)]
pub struct Cpu {
    query: Arc<ThreadPool>,
    background: Arc<ThreadPool>,
}

impl Cpu {
    /// Starts `threads` threads in each pool; 0 means one per CPU.
    ///
    /// Fails when threads cannot be started.
    pub fn new(threads: usize) -> Result<Cpu, RuntimeError> {
        let named = |name: &'static str| {
            let builder = ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES);
            builder.thread_name(move |i| format!("{name}-{i}"))
        };
        let failed = |e: rayon::ThreadPoolBuildError| RuntimeError::Pool(e.to_string());
        let query = named("query").build().map_err(failed)?;
        let background = named("background").start_handler(|_| step_back()).build().map_err(failed)?;
        Ok(Cpu { query: Arc::new(query), background: Arc::new(background) })
    }

    /// Number of threads in each pool.
    pub fn threads(&self) -> usize {
        self.query.current_num_threads()
    }

    /// The pool of queries, for functions that take a pool as an argument.
    pub fn query_pool(&self) -> &ThreadPool {
        &self.query
    }

    /// Runs `work` on a pool, inside the current span. If the returned future is dropped before the work has begun, the
    /// work is dropped too. Fails when the work panics.
    pub async fn run<T: Send + 'static>(
        &self,
        priority: Priority,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let (done, answer) = oneshot::channel();
        let span = Span::current();
        let task = Box::new(move || {
            if done.is_closed() {
                return;
            }
            let begin = || catch_unwind(AssertUnwindSafe(|| span.in_scope(work)));
            let result = stacker::maybe_grow(TASK_BYTES_MIN, PIECE_BYTES, begin);
            // If the caller is gone, nobody wants the result.
            let _ = done.send(result.map_err(|panic| RuntimeError::Panic(panic_text(panic.as_ref()))));
        });
        match priority {
            Priority::Query => self.query.spawn_fifo(task),
            Priority::Background => self.background.spawn_fifo(task),
        }
        answer.await.unwrap_or(Err(RuntimeError::PoolGone))
    }

    /// Runs work on the calling thread. Only for work that takes no longer than passing it to a pool and back, at most
    /// some hundred microseconds. Fails when the work panics.
    pub fn run_here<T>(work: impl FnOnce() -> T) -> Result<T, RuntimeError> {
        let begin = || catch_unwind(AssertUnwindSafe(work));
        let result = stacker::maybe_grow(TASK_HERE_BYTES_MIN, PIECE_BYTES, begin);
        result.map_err(|panic| RuntimeError::Panic(panic_text(panic.as_ref())))
    }

    /// Runs work that a client waits for, and that itself blocks on the network, on a thread of its own, so that it
    /// holds up no thread of the pools. Its computations should use the query pool. The work runs to its end even if
    /// the returned future is dropped.
    pub async fn run_beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let span = Span::current();
        let task = move || {
            let begin = || catch_unwind(AssertUnwindSafe(|| span.in_scope(work)));
            let result = stacker::maybe_grow(TASK_BYTES_MIN, PIECE_BYTES, begin);
            result.map_err(|panic| RuntimeError::Panic(panic_text(panic.as_ref())))
        };
        tokio::task::spawn_blocking(task).await.unwrap_or(Err(RuntimeError::PoolGone))
    }

    /// Runs background work that blocks on the network, on threads of its own, so that it holds up no thread of the
    /// pools. The work runs to its end even if the returned future is dropped.
    pub async fn run_waiting<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let threads = self.threads().max(WAITING_THREADS_MIN);
        let span = Span::current();
        let task = move || {
            let pool = ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|i| format!("waiting-{i}"))
                .start_handler(|_| step_back())
                .build()
                .map_err(|e| RuntimeError::Pool(e.to_string()))?;
            let result = catch_unwind(AssertUnwindSafe(|| pool.install(|| span.in_scope(work))));
            result.map_err(|panic| RuntimeError::Panic(panic_text(panic.as_ref())))
        };
        tokio::task::spawn_blocking(task).await.unwrap_or(Err(RuntimeError::PoolGone))
    }
}

/// A streaming merge reads, merges and writes at the same time, and two of these stages wait for the network.
const WAITING_THREADS_MIN: usize = 3;

/// Lowers the priority of the calling thread, if the system permits it.
fn step_back() {
    // On Linux, `setpriority` with a thread's ID affects that thread.
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), BACKGROUND_NICE)
    {
        tracing::debug!(error = %error, "background threads keep the usual priority");
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn answers_and_panics_come_back() {
        let cpu = Cpu::new(1).unwrap();
        assert_eq!(cpu.run(Priority::Query, || 1 + 1).await.unwrap(), 2);
        let error = cpu.run(Priority::Query, || panic!("boom")).await.unwrap_err();
        assert_eq!(error.to_string(), "panic: boom");
        assert_eq!(cpu.run(Priority::Query, || 3).await.unwrap(), 3);
        assert_eq!(cpu.run_beside(|| 4).await.unwrap(), 4);
        assert_eq!(Cpu::run_here(|| 5).unwrap(), 5);
        let error = Cpu::run_here(|| panic!("boom")).unwrap_err();
        assert_eq!(error.to_string(), "panic: boom");
        let error = cpu.run_beside(|| panic!("boom")).await.unwrap_err();
        assert_eq!(error.to_string(), "panic: boom");
    }

    /// A hundred tasks, each started while the previous one waits, together need more than one thread's stack.
    #[tokio::test]
    async fn tasks_on_top_of_each_other_have_room() {
        let cpu = Cpu::new(1).unwrap();
        let (begin, wait) = mpsc::channel::<()>();
        let first = cpu.run(Priority::Query, move || wait.recv().is_ok());
        let deepest = std::sync::Arc::new(AtomicUsize::new(0));
        let running = std::sync::Arc::new(AtomicUsize::new(0));
        let others = (0..100).map(|_| {
            let (deepest, running) = (deepest.clone(), running.clone());
            cpu.run(Priority::Query, move || {
                let used = std::hint::black_box([1_u8; 3 << 19]);
                deepest.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                // Runs other tasks of the pool, as waiting inside a `join` does.
                while let Some(rayon::Yield::Executed) = rayon::yield_now() {}
                running.fetch_sub(1, Ordering::Relaxed);
                std::hint::black_box(&used).len()
            })
        });
        let release = async {
            tokio::task::yield_now().await;
            begin.send(()).unwrap();
        };
        let (first, others, ()) = futures::join!(first, futures::future::join_all(others), release);
        assert!(first.unwrap() && others.into_iter().all(|used| used.unwrap() == 3 << 19));
        assert_eq!(deepest.load(Ordering::Relaxed), 100);
    }

    #[tokio::test]
    async fn background_work_holds_no_query_up() {
        let cpu = Cpu::new(1).unwrap();
        let (release, wait) = mpsc::channel::<()>();
        let background = tokio::spawn({
            let cpu = cpu.clone();
            async move { cpu.run(Priority::Background, move || wait.recv().is_ok()).await }
        });
        tokio::task::yield_now().await;
        // The query's `join` would run the background work if both shared a pool.
        let joined = cpu.run(Priority::Query, || rayon::join(|| 1, || 2)).await.unwrap();
        assert_eq!(joined, (1, 2));
        release.send(()).unwrap();
        assert!(background.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn background_threads_step_back() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let cpu = Cpu::new(1).unwrap();
        let (query, background, waiting) = (
            cpu.run(Priority::Query, nice).await.unwrap(),
            cpu.run(Priority::Background, nice).await.unwrap(),
            cpu.run_waiting(nice).await.unwrap(),
        );
        assert!(query < BACKGROUND_NICE, "{query}");
        assert_eq!((background, waiting), (BACKGROUND_NICE, BACKGROUND_NICE));
    }

    #[tokio::test]
    async fn abandoned_work_is_dropped() {
        let cpu = Cpu::new(1).unwrap();
        let (release, wait) = mpsc::channel::<()>();
        let abandoned = Arc::new(AtomicUsize::new(0));
        let blocker = tokio::spawn({
            let cpu = cpu.clone();
            async move { cpu.run(Priority::Query, move || wait.recv().is_ok()).await }
        });
        tokio::task::yield_now().await;
        {
            let counter = Arc::clone(&abandoned);
            let gone = cpu.run(Priority::Query, move || counter.fetch_add(1, Ordering::SeqCst));
            tokio::select! { biased; _ = gone => {} _ = std::future::ready(()) => {} }
        }
        release.send(()).unwrap();
        assert!(blocker.await.unwrap().unwrap());
        assert_eq!(cpu.run(Priority::Query, || 1).await.unwrap(), 1);
        assert_eq!(abandoned.load(Ordering::SeqCst), 0);
    }
}
