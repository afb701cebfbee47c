//! Joins equal requests that run at the same time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use object_store::path::Path;

/// A range of an object.
type Key = (Path, Range<u64>);
type Answer = Result<Bytes, Arc<object_store::Error>>;
type Request = BoxFuture<'static, Answer>;

/// The requests under way. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Flights {
    requests: Arc<Mutex<HashMap<Key, WeakShared<Request>>>>,
}

impl Flights {
    /// Waits for the request for `key` that is under way, or else sends `request`. A request runs as long as somebody
    /// waits for it.
    pub(crate) async fn join(
        &self,
        key: Key,
        request: impl Future<Output = Answer> + Send + 'static,
    ) -> Answer {
        self.find_or_begin(key, request).await
    }

    fn find_or_begin(
        &self,
        key: Key,
        request: impl Future<Output = Answer> + Send + 'static,
    ) -> Shared<Request> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = requests.get(&key).and_then(WeakShared::upgrade) {
            return shared;
        }
        let landed = Landed { flights: self.clone(), key: key.clone() };
        let request = async move {
            let _landed = landed;
            request.await
        };
        let shared = request.boxed().shared();
        requests.extend(shared.downgrade().map(|weak| (key, weak)));
        shared
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Removes a request when it has ended or nobody waits for it any more.
struct Landed {
    flights: Flights,
    key: Key,
}

impl Drop for Landed {
    fn drop(&mut self) {
        self.flights.requests.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn key(start: u64) -> Key {
        (Path::from("block/index"), start..100)
    }

    #[tokio::test]
    async fn equal_requests_are_one_and_others_are_not() {
        let (flights, begun, go) =
            (Flights::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = |start: u64| {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            flights.join(key(start), async move {
                begun.fetch_add(1, Ordering::Relaxed);
                go.notified().await;
                Ok(Bytes::from(start.to_string()))
            })
        };
        let release = async {
            tokio::task::yield_now().await;
            go.notify_waiters();
        };
        let (first, second, other, ()) = futures::join!(ask(1), ask(1), ask(2), release);
        assert_eq!((first.unwrap(), second.unwrap(), other.unwrap()), ("1".into(), "1".into(), "2".into()));
        assert_eq!(begun.load(Ordering::Relaxed), 2);
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn it_goes_on_while_one_waits_and_ends_with_the_last() {
        let (flights, go) = (Flights::default(), Arc::new(Notify::new()));
        let given = Arc::clone(&go);
        let mut first = Box::pin(flights.join(key(1), async move {
            given.notified().await;
            Ok(Bytes::from_static(b"answer"))
        }));
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(flights.join(key(1), async { unreachable!("it is under way") }));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        go.notify_one();
        assert_eq!(second.await.unwrap(), "answer");

        let mut left = Box::pin(flights.join(key(1), std::future::pending()));
        assert!(futures::poll!(&mut left).is_pending());
        assert_eq!(flights.len(), 1);
        drop(left);
        assert_eq!(flights.len(), 0);
        assert_eq!(flights.join(key(1), async { Ok(Bytes::new()) }).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all() {
        let flights = Flights::default();
        let fail = || {
            flights.join(key(1), async {
                tokio::task::yield_now().await;
                Err(Arc::new(object_store::Error::Generic { store: "test", source: "refused".into() }))
            })
        };
        let (first, second) = futures::join!(fail(), fail());
        assert!(Arc::ptr_eq(&first.unwrap_err(), &second.unwrap_err()));
    }
}
