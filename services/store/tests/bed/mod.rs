//! A store over golden blocks behind a real gRPC server.

#![allow(clippy::unwrap_used, dead_code)]

use std::path::Path;
use std::time::Duration;

use tithon_bucket::{Bucket, BucketConfig};
use tithon_runtime::{Cpu, GrpcServer, Metrics, Probes, Shutdown};
use tithon_store::{Store, StoreOptions, StoreService};
use tonic::transport::Channel;

/// Copies the blocks of `answers/data/<set>` for each set into one bucket.
pub(crate) fn bucket_of(sets: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for set in sets {
        copy_dir(&tithon_testdata::shared(&format!("answers/data/{set}")), dir.path());
    }
    dir
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) async fn store_over(dir: &Path, options: StoreOptions) -> Store {
    let bucket = Bucket::open(&BucketConfig::filesystem(dir)).unwrap();
    store_of(bucket, options).await
}

pub(crate) async fn store_of(bucket: Bucket, options: StoreOptions) -> Store {
    store_with(bucket, options, &Metrics::new("0")).await
}

pub(crate) async fn store_with(bucket: Bucket, options: StoreOptions, metrics: &Metrics) -> Store {
    Store::open(bucket, options, Cpu::new(0).unwrap(), metrics).await.unwrap()
}

/// Serves until the test ends.
pub(crate) async fn serve(store: Store, probes: Probes) -> Channel {
    let server = GrpcServer::bind("127.0.0.1:0").await.unwrap().with_services(StoreService::SERVICES);
    let url = format!("http://{}", server.local_addr());
    let routes = StoreService::new(store, probes.clone()).routes();
    let descriptors = tithon_proto::FILE_DESCRIPTOR_SET;
    tokio::spawn(server.serve(routes, descriptors, probes, Shutdown::default(), Duration::ZERO));
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}
