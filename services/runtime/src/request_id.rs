//! The name of a request in logs, from the client over HTTP through all calls that it causes. Thanos
//! `pkg/server/http/middleware/request_id.go`, `pkg/server/grpc/request_id.go`.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Over HTTP.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// In the metadata of gRPC.
const OF_CALL: HeaderName = HeaderName::from_static("request-id");

/// Bytes of a name; a longer one is none.
const NAME_MAX: usize = 256;

tokio::task_local! {
    /// The request that the task works for.
    static CURRENT: HeaderValue;
}

fn is_name(id: &HeaderValue) -> bool {
    (1..=NAME_MAX).contains(&id.len())
}

/// Names a request that has no name yet, so that all that log it agree.
pub(crate) fn name_request(headers: &mut HeaderMap) {
    if !headers.get(REQUEST_ID).is_some_and(is_name) {
        let id = ulid::Ulid::generate().to_string();
        if let Ok(id) = HeaderValue::try_from(id) {
            headers.insert(REQUEST_ID, id);
        }
    }
}

/// The name of a request that work is done for, if it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestName(Option<HeaderValue>);

impl RequestName {
    /// What these headers, of HTTP or of gRPC, say.
    pub(crate) fn of(headers: &HeaderMap) -> RequestName {
        let told = |name| headers.get(name).filter(|id| is_name(id)).cloned();
        RequestName(told(REQUEST_ID).or_else(|| told(OF_CALL)))
    }

    /// Works for the request.
    pub(crate) async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(id) => CURRENT.scope(id.clone(), work).await,
            None => work.await,
        }
    }

    /// The same for work that does not wait.
    pub(crate) fn working<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(id) => CURRENT.sync_scope(id.clone(), work),
            None => work(),
        }
    }
}

/// Tells a server for which request it is called.
pub(crate) fn tell_request(headers: &mut HeaderMap) {
    let told = CURRENT.try_with(|id| headers.insert(OF_CALL, id.clone()));
    // Work of our own has no request.
    drop(told);
}

/// The request that a call is made for.
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
        // A querier behind it goes on with the name.
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
