//! Profiles of the test process itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

#[global_allocator]
static ALLOCATOR: tithon_profile::Allocator = tithon_profile::Allocator;

async fn get(path: &str) -> (StatusCode, Vec<u8>) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = tithon_profile::router().oneshot(request).await.unwrap();
    let status = response.status();
    (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// The strings of a profile, function names among them.
fn unpacked(packed: &[u8]) -> String {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[inline(never)]
fn busy_function_of_the_test(ended: &AtomicBool) -> u64 {
    let mut sum = 0_u64;
    while !ended.load(Ordering::Relaxed) {
        for i in 0..10_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(i));
        }
    }
    sum
}

#[inline(never)]
fn keeping_function_of_the_test() -> Vec<Vec<u8>> {
    (0..64).map(|_| vec![1; 1 << 20]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processor_time_is_found_where_it_is_spent() {
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    let busy = std::thread::spawn(move || busy_function_of_the_test(&seen));
    let (first, second) =
        tokio::join!(get("/debug/pprof/profile?seconds=1"), get("/debug/pprof/profile?seconds=1"));
    ended.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    // Only one profile runs at a time.
    let mut codes = [first.0.as_u16(), second.0.as_u16()];
    codes.sort_unstable();
    assert_eq!(codes, [200, 500]);
    let profile = if first.0 == StatusCode::OK { first.1 } else { second.1 };
    let text = unpacked(&profile);
    assert!(text.contains("busy_function_of_the_test"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_found_where_it_is_kept() {
    let profile = tokio::spawn(get("/debug/pprof/heap?seconds=1"));
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let kept = keeping_function_of_the_test();
    let (status, profile) = profile.await.unwrap();
    assert_eq!((status, kept.len()), (StatusCode::OK, 64));
    let text = unpacked(&profile);
    assert!(text.contains("keeping_function_of_the_test") && text.contains("inuse_space"), "{text}");
}

#[tokio::test]
async fn the_other_pages() {
    assert!(String::from_utf8(get("/debug/pprof/").await.1).unwrap().contains("heap"));
    assert!(
        String::from_utf8(get("/debug/pprof/goroutine?debug=1").await.1).unwrap().starts_with("threads: ")
    );
    assert!(String::from_utf8(get("/debug/pprof/cmdline").await.1).unwrap().contains("profiles"));
}
