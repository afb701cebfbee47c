//! Records with compare-and-swap, over memory, a directory, and the preconditions of GCS. `objects.rs` checks the same over
//! real servers of S3 and AZURE.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "a test has no public items; pub says what a module offers")]

#[path = "records/contract.rs"]
mod contract;
#[path = "records/gcs.rs"]
mod gcs;

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use tithon_bucket::{Bucket, BucketConfig};

use crate::contract::check_records;
use crate::gcs::Gcs;

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_and_in_a_directory() {
    check_records(&Bucket::from_store(Arc::new(InMemory::new()), "a/b")).await;
    let dir = tempfile::tempdir().unwrap();
    check_records(&Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_preconditions_of_gcs() {
    let server = Gcs::start().await;
    let bucket = Bucket::connect(&BucketConfig::parse(&server.yaml()).unwrap()).await.unwrap();
    check_records(&bucket).await;
    assert!(server.n_refused() > 0, "no request had a precondition that failed");
}

/// The server does what it is asked and fails to say so: the writer finds out that the record is its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_gcs_that_is_lost() {
    let server = Gcs::start().await;
    let bucket = Bucket::connect(&BucketConfig::parse(&server.yaml()).unwrap()).await.unwrap();
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    server.lose_an_answer();
    let first = bucket.swap_record("lost", None, bytes("1")).await.unwrap().unwrap();
    server.lose_an_answer();
    let second = bucket.swap_record("lost", Some(&first), bytes("2")).await.unwrap().unwrap();
    assert!(bucket.swap_record("lost", Some(&first), bytes("3")).await.unwrap().is_none());
    assert!(bucket.swap_record("lost", Some(&second), bytes("4")).await.unwrap().is_some());
    assert_eq!(bucket.record("lost").await.unwrap().unwrap().bytes, "4");
}
