//! The bridge from async to computing: a rayon pool behind two queues.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;
use tracing::Span;

use crate::RuntimeError;

/// Which queue a task waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Somebody waits for the answer: queries, calls.
    Query,
    /// Work that can wait: compaction, downsampling, synchronisation.
    Background,
}

/// A pool of threads named `cpu-N`. Clones share it.
///
/// A waiting query always goes before waiting background work; what has begun is not interrupted. Inside a task
/// rayon's parallel iterators use the same threads.
#[derive(Clone)]
pub struct Cpu {
    pool: Arc<ThreadPool>,
    queues: Arc<Mutex<Queues>>,
}

type Task = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queues {
    query: VecDeque<Task>,
    background: VecDeque<Task>,
}

impl Cpu {
    /// Starts `threads` threads; 0 is one for each CPU.
    pub fn new(threads: usize) -> Result<Cpu, RuntimeError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("cpu-{i}"))
            .build()
            .map_err(|e| RuntimeError::Pool(e.to_string()))?;
        Ok(Cpu { pool: Arc::new(pool), queues: Arc::default() })
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// The threads, for work that is given them as an argument.
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// Runs `work` on the pool inside the current span. When the returned future is dropped before the work has begun,
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
            let result = catch_unwind(AssertUnwindSafe(|| span.in_scope(work)));
            // The caller may have gone meanwhile: then nobody wants the result.
            let _ = done.send(result.map_err(|panic| RuntimeError::Panic(panic_text(panic.as_ref()))));
        });
        self.push(priority, task);
        answer.await.unwrap_or(Err(RuntimeError::PoolGone))
    }

    fn push(&self, priority: Priority, task: Task) {
        {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            match priority {
                Priority::Query => queues.query.push_back(task),
                Priority::Background => queues.background.push_back(task),
            }
        }
        let queues = Arc::clone(&self.queues);
        self.pool.spawn_fifo(move || {
            let next = {
                let mut queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
                queues.query.pop_front().or_else(|| queues.background.pop_front())
            };
            if let Some(task) = next {
                task();
            }
        });
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
    }

    #[tokio::test]
    async fn queries_go_first_and_abandoned_work_is_dropped() {
        let cpu = Cpu::new(1).unwrap();
        let (release, wait) = mpsc::channel::<()>();
        let order = Arc::new(Mutex::new(Vec::new()));
        let abandoned = Arc::new(AtomicUsize::new(0));
        let blocker = tokio::spawn({
            let cpu = cpu.clone();
            async move { cpu.run(Priority::Query, move || wait.recv().is_ok()).await }
        });
        tokio::task::yield_now().await;
        let push = |priority, name| {
            let (cpu, order) = (cpu.clone(), Arc::clone(&order));
            tokio::spawn(async move { cpu.run(priority, move || order.lock().unwrap().push(name)).await })
        };
        let late = push(Priority::Background, "background");
        tokio::task::yield_now().await;
        let first = push(Priority::Query, "query");
        tokio::task::yield_now().await;
        {
            let counter = Arc::clone(&abandoned);
            let gone = cpu.run(Priority::Query, move || counter.fetch_add(1, Ordering::SeqCst));
            tokio::select! { biased; _ = gone => {} _ = std::future::ready(()) => {} }
        }
        release.send(()).unwrap();
        assert!(blocker.await.unwrap().unwrap());
        first.await.unwrap().unwrap();
        late.await.unwrap().unwrap();
        assert_eq!(*order.lock().unwrap(), ["query", "background"]);
        assert_eq!(abandoned.load(Ordering::SeqCst), 0);
    }
}
