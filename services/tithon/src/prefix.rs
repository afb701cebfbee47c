//! Serves pages below a path prefix.

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use tower::ServiceExt;

/// Serves `pages` below a prefix, unless it is empty. The root and the prefix itself then redirect to the page
/// `landing`.
pub fn below(prefix: &str, pages: Router, landing: &str) -> Router {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        return pages;
    }
    // The redirects are relative, because a proxy may add a prefix.
    let last = prefix.rsplit('/').next().unwrap_or_default();
    let (from_root, from_prefix) = (format!("{prefix}/{landing}"), format!("{last}/{landing}"));
    let to = |target: String| get(async move || Redirect::temporary(&target));
    let prefix = format!("/{prefix}");
    let len = prefix.len();
    let answer = move |request: Request| without_prefix(pages.clone(), len, request);
    Router::new()
        .route("/", to(from_root))
        .route(&prefix, to(from_prefix))
        .route(&format!("{prefix}/"), any(answer.clone()))
        .route(&format!("{prefix}/{{*rest}}"), any(answer))
}

/// Answers a request after removing the first `len` bytes of its path.
async fn without_prefix(pages: Router, len: usize, mut request: Request) -> Response {
    let uri = request.uri();
    let rest = uri.path_and_query().and_then(|path| path.as_str().get(len..)?.parse::<Uri>().ok());
    if let Some(rest) = rest {
        *request.uri_mut() = rest;
    }
    match pages.oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{StatusCode, header};

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        if let Some(location) = response.headers().get(header::LOCATION) {
            return (status, location.to_str().unwrap().to_owned());
        }
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn pages_are_found_below_the_prefix_alone() {
        let query = |uri: Uri| async move { uri.to_string() };
        let pages = || Router::new().route("/", get(async || "root")).route("/api/v1/query", get(query));
        let router = below("/a/b/", pages(), "graph");
        for (path, status, text) in [
            ("/a/b/", 200, "root"),
            ("/a/b/api/v1/query?query=up", 200, "/api/v1/query?query=up"),
            ("/a/b", 307, "b/graph"),
            ("/", 307, "a/b/graph"),
            ("/api/v1/query", 404, ""),
            ("/a/b/nothing", 404, ""),
        ] {
            assert_eq!(
                ask(&router, path).await,
                (StatusCode::from_u16(status).unwrap(), text.to_owned()),
                "{path}"
            );
        }
        assert_eq!(ask(&below("/", pages(), "graph"), "/").await.1, "root");
    }
}
