//! The queue between the task that makes an answer and its reader. It is bounded in parts and bytes, always ends with a
//! result or an error, and is emptied as soon as the reader is gone.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use prometheus_client::metrics::gauge::Gauge;
use tithon_storeapi::SeriesPart;
use tokio::sync::Notify;

use crate::StoreError;

/// Largest number of waiting parts and bytes; a single larger part is accepted by an empty queue.
const PARTS_MAX: usize = 8;
const BYTES_MAX: usize = 2 << 20;

/// The answer to a series request, made by [`crate::Store::select`]. Dropping it ends the work and frees the queue. An
/// error is the last item.
#[derive(Debug)]
pub(crate) struct SelectStream(Arc<Shared>);

/// The sending side. When it is dropped without [`Outlet::end`], for example by a panic, the answer ends with an error.
pub(crate) struct Outlet(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Notified when a part was taken or the reader is gone.
    taken: Notify,
    /// Notified when the reader is gone.
    left: Notify,
    /// Bytes in the queues of all answers of the store.
    waiting_bytes: Gauge,
}

#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<(SeriesPart, usize)>,
    bytes: usize,
    /// The end of the answer; `None` while parts are still sent.
    end: Option<Result<(), StoreError>>,
    reader: Option<Waker>,
    gone: bool,
}

impl Queue {
    fn has_room_or_is_gone(&self) -> bool {
        self.gone || (self.parts.len() < PARTS_MAX && self.bytes < BYTES_MAX)
    }
}

/// Why a part was not accepted.
pub(crate) enum Refused {
    /// The queue is full; returns the part.
    Full(SeriesPart),
    /// The reader is gone.
    Gone,
}

/// A queue for one answer; its bytes are added to `waiting_bytes`.
pub(crate) fn outlet(waiting_bytes: Gauge) -> (Outlet, SelectStream) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        taken: Notify::new(),
        left: Notify::new(),
        waiting_bytes,
    });
    (Outlet(Arc::clone(&shared)), SelectStream(shared))
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the answer unless it has ended. Waiting parts are dropped unless `keep_waiting` is set.
    fn end(&self, end: Result<(), StoreError>, keep_waiting: bool) {
        let mut queue = self.queue();
        queue.end.get_or_insert(end);
        let parts = if keep_waiting { VecDeque::new() } else { self.empty(&mut queue) };
        let reader = queue.reader.take();
        drop(queue);
        drop(parts);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Takes out the waiting parts, so that the caller can drop them without the lock.
    fn empty(&self, queue: &mut Queue) -> VecDeque<(SeriesPart, usize)> {
        self.waiting_bytes.dec_by(queue.bytes as i64);
        queue.bytes = 0;
        std::mem::take(&mut queue.parts)
    }
}

impl Outlet {
    /// Adds a part of about `bytes` bytes to the queue.
    pub(crate) fn offer(&self, part: SeriesPart, bytes: usize) -> Result<(), Refused> {
        let mut queue = self.0.queue();
        if queue.gone {
            return Err(Refused::Gone);
        }
        if !queue.has_room_or_is_gone() {
            return Err(Refused::Full(part));
        }
        queue.parts.push_back((part, bytes));
        queue.bytes += bytes;
        self.0.waiting_bytes.inc_by(bytes as i64);
        let reader = queue.reader.take();
        drop(queue);
        reader.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Waits until there is room for a part or the reader is gone.
    pub(crate) async fn room(&self) {
        loop {
            let taken = self.0.taken.notified();
            if self.0.queue().has_room_or_is_gone() {
                return;
            }
            taken.await;
        }
    }

    /// Waits until the reader is gone.
    pub(crate) async fn closed(&self) {
        loop {
            let left = self.0.left.notified();
            if self.0.queue().gone {
                return;
            }
            left.await;
        }
    }

    /// Ends the answer. After a stall the waiting parts are dropped; otherwise the reader still gets them.
    pub(crate) fn end(&self, end: Result<(), StoreError>) {
        let keep_waiting = !matches!(end, Err(StoreError::Stalled { .. }));
        self.0.end(end, keep_waiting);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.end(Err(StoreError::BrokenOff), true);
    }
}

impl Stream for SelectStream {
    type Item = Result<SeriesPart, StoreError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut queue = self.0.queue();
        if let Some((part, bytes)) = queue.parts.pop_front() {
            queue.bytes -= bytes;
            self.0.waiting_bytes.dec_by(bytes as i64);
            drop(queue);
            self.0.taken.notify_one();
            return Poll::Ready(Some(Ok(part)));
        }
        match &mut queue.end {
            None => {
                queue.reader = Some(context.waker().clone());
                Poll::Pending
            }
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
        }
    }
}

impl Drop for SelectStream {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.gone = true;
        let parts = self.0.empty(&mut queue);
        drop(queue);
        drop(parts);
        self.0.taken.notify_one();
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn part(text: &str) -> SeriesPart {
        SeriesPart::Warning(text.to_owned())
    }

    #[tokio::test]
    async fn an_end_is_always_said() {
        let (store, mut reader) = outlet(Gauge::default());
        assert!(store.offer(part("a"), 1).is_ok());
        drop(store);
        assert!(matches!(reader.next().await, Some(Ok(SeriesPart::Warning(_)))));
        assert!(matches!(reader.next().await, Some(Err(StoreError::BrokenOff))));
        assert!(reader.next().await.is_none());
        let (store, mut reader) = outlet(Gauge::default());
        store.end(Ok(()));
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn full_by_parts_and_bytes_and_freed_with_the_reader() {
        let bytes = Gauge::default();
        let (store, mut reader) = outlet(bytes.clone());
        assert!(store.offer(part("big"), BYTES_MAX).is_ok());
        assert!(matches!(store.offer(part("more"), 1), Err(Refused::Full(_))));
        assert_eq!(bytes.get(), BYTES_MAX as i64);
        assert!(reader.next().await.is_some());
        store.room().await;
        for _ in 0..PARTS_MAX {
            assert!(store.offer(part("small"), 1).is_ok());
        }
        assert!(matches!(store.offer(part("more"), 1), Err(Refused::Full(_))));
        drop(reader);
        store.room().await;
        store.closed().await;
        assert_eq!(bytes.get(), 0);
        assert!(matches!(store.offer(part("late"), 1), Err(Refused::Gone)));
    }
}
