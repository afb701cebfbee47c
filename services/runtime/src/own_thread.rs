//! A thread with an asynchronous runtime of its own.

use std::convert::Infallible;
use std::future::Future;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A thread that runs the tasks it is given, and what these start themselves, such as connections of clients.
///
/// Tasks that wait for each other all the time cost little on one thread: there a wake is a function call, and across threads it is a
/// call of the system on both sides. Ends when this is dropped, and its tasks with it.
#[derive(Debug)]
pub struct OwnThread {
    runtime: Handle,
    _running: oneshot::Sender<Infallible>,
}

impl OwnThread {
    /// Starts the thread. Fails when the system gives none, or no descriptors for it.
    pub fn start(name: &str) -> std::io::Result<OwnThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (running, ended) = oneshot::channel::<Infallible>();
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || drop(runtime.block_on(ended)))?;
        Ok(OwnThread { runtime: handle, _running: running })
    }

    /// Runs a task on the thread.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.spawn(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_run_on_the_thread_and_end_with_it() {
        let thread = OwnThread::start("own").unwrap();
        let name = thread.spawn(async {
            let name = || std::thread::current().name().map(str::to_owned);
            let inner = tokio::spawn(async move { name() }).await;
            (name(), inner.ok().flatten())
        });
        assert_eq!(name.await.unwrap(), (Some("own".to_owned()), Some("own".to_owned())));
        let waiting = thread.spawn(std::future::pending::<()>());
        drop(thread);
        assert!(waiting.await.unwrap_err().is_cancelled());
    }
}
