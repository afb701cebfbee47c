//! Request IDs for logs, passed on from an HTTP request through all gRPC calls that it causes. Thanos
//! `pkg/server/http/middleware/request_id.go`, `pkg/server/grpc/request_id.go`.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header of the ID over HTTP.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The metadata key of the ID over gRPC.
const OF_CALL: HeaderName = HeaderName::from_static("request-id");

/// Bytes of a name; a longer one is none.
const NAME_MAX: usize = 256;

tokio::task_local! {
    /// ID of the request that the current task works for.
    static CURRENT: HeaderValue;
}

fn is_name(id: &HeaderValue) -> bool {
    (1..=NAME_MAX).contains(&id.len())
}

/// Gives a request an ID if it has none, so that all log lines about it agree.
pub(crate) fn name_request(headers: &mut HeaderMap) {
    if !headers.get(REQUEST_ID).is_some_and(is_name) {
        let id = ulid::Ulid::generate().to_string();
        if let Ok(id) = HeaderValue::try_from(id) {
            headers.insert(REQUEST_ID, id);
        }
    }
}

/// The ID of the request that work is done for; `None` if there is no request or it has no ID.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestName(Option<HeaderValue>);

impl RequestName {
    /// The ID in the headers of an HTTP request or gRPC call.
    pub(crate) fn of(headers: &HeaderMap) -> RequestName {
        let told = |name| headers.get(name).filter(|id| is_name(id)).cloned();
        RequestName(told(REQUEST_ID).or_else(|| told(OF_CALL)))
    }

    /// Runs async work on behalf of the request.
    pub(crate) async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(id) => CURRENT.scope(id.clone(), work).await,
            None => work.await,
        }
    }

    /// Runs synchronous work on behalf of the request.
    pub(crate) fn working<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(id) => CURRENT.sync_scope(id.clone(), work),
            None => work(),
        }
    }
}

/// Adds the ID of the current request to the headers of a call.
pub(crate) fn tell_request(headers: &mut HeaderMap) {
    let inserted = CURRENT.try_with(|id| headers.insert(OF_CALL, id.clone()));
    // Background work has no request.
    drop(inserted);
}

/// The ID of the request that a call is made for; empty if unknown.
pub(crate) fn request_of(headers: &HeaderMap) -> &str {
    headers.get(OF_CALL).and_then(|id| id.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_keeps_its_name_in_the_calls_it_causes() {
        let mut headers = HeaderMap::new();
        name_request(&mut headers);
        let id = headers[REQUEST_ID].clone();
        assert_eq!(id.len(), 26);
        name_request(&mut headers);
        assert_eq!(headers[REQUEST_ID], id);
        let mut call = HeaderMap::new();
        RequestName::of(&headers).scope(async { tell_request(&mut call) }).await;
        assert_eq!(request_of(&call), id.to_str().unwrap());
        // A querier that is called passes the ID on.
        let mut next = HeaderMap::new();
        RequestName::of(&call).working(|| tell_request(&mut next));
        assert_eq!(next, call);
        tell_request(&mut HeaderMap::new());
        headers.insert(REQUEST_ID, HeaderValue::try_from("x".repeat(257)).unwrap());
        assert!(RequestName::of(&headers).0.is_none());
        name_request(&mut headers);
        assert_eq!(headers[REQUEST_ID].len(), 26);
    }
}
