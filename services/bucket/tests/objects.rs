//! The bucket over real object stores: S3 (versitygw), AZURE (Azurite), GCS (fake-gcs-server and gofakes3) and SWIFT (OpenStack's own).
//!
//! The tests run if `TITHON_OBJECTS` is set, as in CI, which installs the servers; otherwise each prints that it is
//! skipped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "a test has no public items; pub says what a module offers")]

#[path = "objects/contract.rs"]
mod contract;
#[path = "objects/faults.rs"]
mod faults;
#[path = "objects/fleet.rs"]
#[allow(dead_code, reason = "other tests share it")]
mod fleet;
#[path = "objects/look.rs"]
mod look;
#[path = "records/contract.rs"]
mod records;
#[path = "objects/swift.rs"]
mod swift;
#[path = "objects/tls.rs"]
mod tls;

/// Whether these tests run.
fn enabled() -> bool {
    let on = std::env::var_os("TITHON_OBJECTS").is_some();
    if !on {
        eprintln!("skipped: TITHON_OBJECTS is not set");
    }
    on
}
