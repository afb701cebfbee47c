//! The web API: lists and marks.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use tithon_compact::{Compactor, RunOptions, router, run};
use tower::ServiceExt;

use crate::bed::{self, Spec};

async fn ask(compactor: &Compactor, admin: bool, request: Request<Body>) -> (StatusCode, serde_json::Value) {
    let is_list = request.uri().path() == "/api/v1/blocks";
    let response = router(compactor.clone(), "label", admin, true).oneshot(request).await.unwrap();
    // Pages of other origins may read lists and do no more.
    assert_eq!(response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), is_list);
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn post(form: &str) -> Request<Body> {
    let request = Request::post("/api/v1/blocks/mark");
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Body::from(form.to_owned())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_marks() {
    let specs = [Spec::new(1, (0, 2), "a"), Spec::new(2, (0, 2), "b")];
    let store = Arc::new(bed::bucket_of(&specs).await);
    let dir = tempfile::tempdir().unwrap();
    let compactor = bed::compactor(Arc::clone(&store) as _, bed::options(dir.path()));
    let list = async |uri: &str| {
        let (status, answer) = ask(&compactor, true, Request::get(uri).body(Body::empty()).unwrap()).await;
        assert_eq!((status, &answer["status"]), (StatusCode::OK, &"success".into()));
        assert_eq!(answer["data"]["label"], "label");
        (answer["data"]["blocks"].as_array().unwrap().len(), answer["data"]["refreshedAt"].clone())
    };
    assert_eq!(list("/api/v1/blocks?view=loaded").await, (0, "0001-01-01T00:00:00Z".into()));
    let shutdown = tithon_runtime::Shutdown::default();
    let minute = std::time::Duration::from_secs(60);
    let options = RunOptions {
        wait: true,
        wait_interval: minute,
        cleanup_interval: minute,
        progress_interval: minute,
        global_interval: minute,
        global_timeout: minute,
        stay_halted: false,
    };
    let running = tokio::spawn({
        let (compactor, shutdown) = (compactor.clone(), shutdown.clone());
        async move { run(&compactor, options, shutdown).await }
    });
    while list("/api/v1/blocks").await.0 < 2 || list("/api/v1/blocks?view=loaded").await.0 < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    shutdown.trigger();
    running.await.unwrap().unwrap();

    let id = specs[0].id();
    for (name, value) in
        [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")]
    {
        let mut request = post(&format!("id={id}&action=DELETION"));
        request.headers_mut().insert("host", "127.0.0.1:10902".parse().unwrap());
        request.headers_mut().insert(name, value.parse().unwrap());
        let (status, answer) = ask(&compactor, true, request).await;
        assert_eq!(
            (status, &answer["errorType"]),
            (StatusCode::FORBIDDEN, &"forbidden".into()),
            "{name}: {value}"
        );
    }
    assert!(bed::get(&store, id, "deletion-mark.json").await.is_none());
    let (status, _) = ask(&compactor, true, post(&format!("id={id}&action=DELETION&detail=by+hand"))).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let mark = bed::get(&store, id, "deletion-mark.json").await.unwrap();
    assert!(String::from_utf8_lossy(&mark).contains("\"details\":\"by hand\""));
    for (form, admin, error) in [
        (format!("id={id}&action=DELETION"), false, "Admin operations are disabled"),
        ("action=DELETION".to_owned(), true, "ID cannot be empty"),
        (format!("id={id}"), true, "Action cannot be empty"),
        ("id=nonsense&action=DELETION".to_owned(), true, "not valid"),
        (format!("id={id}&action=BURN"), true, "not supported marker BURN"),
    ] {
        let (status, answer) = ask(&compactor, admin, post(&form)).await;
        assert_eq!((status, &answer["errorType"]), (StatusCode::BAD_REQUEST, &"bad_data".into()), "{form}");
        assert!(answer["error"].as_str().unwrap().contains(error), "{answer}");
    }
}
