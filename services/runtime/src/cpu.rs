//! The bridge from async to computing: two rayon pools, one for queries and one for work behind them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;
use tracing::Span;

use crate::RuntimeError;

/// Which pool a task runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Somebody waits for the answer: queries, calls.
    Query,
    /// Work that can wait: compaction, downsampling, synchronisation.
    Background,
}

/// Bytes of the stack of a thread. A task that waits inside a `join` has another one begun on top of it, so stacks must hold several
/// deeply nested expressions. Only what is used takes memory.
const STACK_BYTES: usize = 64 << 20;
/// What every task finds of it at the least, as much as a thread of its own would have; else it begins on a new piece.
const TASK_BYTES_MIN: usize = 2 << 20;
const PIECE_BYTES: usize = 8 << 20;
/// The same for short work on threads that serve sockets, whose stacks are smaller.
const TASK_HERE_BYTES_MIN: usize = 512 << 10;

/// The nice value of background threads: they get the CPU time that queries leave.
const BACKGROUND_NICE: i32 = 15;

/// Two pools of threads, `query-N` and `background-N`. Clones share them.
///
/// The pools are apart because a query that waits inside a `join` helps with whatever its pool has queued: in one pool it
/// would pick up a merge and not come back for seconds. Background threads run at a lower priority of the system. Inside
/// a task rayon's parallel iterators use the task's pool.
#[derive(Clone)]
pub struct Cpu {
    query: Arc<ThreadPool>,
    background: Arc<ThreadPool>,
}

impl Cpu {
    /// Starts `threads` threads in each pool; 0 is one for each CPU.
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

    /// Number of threads of each pool.
    pub fn threads(&self) -> usize {
        self.query.current_num_threads()
    }

    /// The threads of queries, for evaluations that are given their pool as an argument.
    pub fn query_pool(&self) -> &ThreadPool {
        &self.query
    }

    /// Runs `work` on a pool inside the current span. When the returned future is dropped before the work has begun,
    /// the work is dropped too. A panic of the work is an error here.
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
            // The caller may have gone meanwhile: then nobody wants the result.
            let _ = done.send(result.map_err(|panic| RuntimeError::Panic(panic_text(panic.as_ref()))));
        });
        match priority {
            Priority::Query => self.query.spawn_fifo(task),
            Priority::Background => self.background.spawn_fifo(task),
        }
        answer.await.unwrap_or(Err(RuntimeError::PoolGone))
    }

    /// Runs work on the calling thread that takes no longer than waking a thread of a pool and being woken by it: some
    /// hundred microseconds at the most. A panic of the work is an error here.
    pub fn run_here<T>(work: impl FnOnce() -> T) -> Result<T, RuntimeError> {
        let begin = || catch_unwind(AssertUnwindSafe(work));
        let result = stacker::maybe_grow(TASK_HERE_BYTES_MIN, PIECE_BYTES, begin);
        result.map_err(|panic| RuntimeError::Panic(panic_text(panic.as_ref())))
    }

    /// Runs work for which somebody waits and that waits itself for the network on its way, on a thread of its own: no thread of the
    /// pools is held up by it. What it computes it does in the query pool. Such work goes on to its end when the returned
    /// future is dropped.
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

    /// Runs background work that waits for the network on its way, on threads of its own: no thread of the pools is held
    /// up by it. Such work goes on to its end when the returned future is dropped.
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

/// A streaming merge reads, merges and writes at the same time; two of these wait for the network.
const WAITING_THREADS_MIN: usize = 3;

/// Lowers the priority of the calling thread, where the system lets us.
fn step_back() {
    // On Linux the priority of a "process" with a thread's id is that of the thread.
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

    /// A hundred tasks, each begun while the one before waits, take more than the stack of the thread together.
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
                // Takes up what waits in the pool, as a wait inside a join does.
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
        // The query's join would help with background work if both shared a pool.
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
