//! Whole iterations over buckets in memory: what they leave, how they survive a crash at any request, and that damage
//! stays where it is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "a test has no public items; pub says what a module offers")]

#[path = "compactor/bed.rs"]
mod bed;
#[path = "compactor/faulty_store.rs"]
mod faulty_store;

#[path = "compactor/api.rs"]
mod api;
#[path = "compactor/corruption.rs"]
mod corruption;
#[path = "compactor/crash.rs"]
mod crash;
#[path = "compactor/deletions.rs"]
mod deletions;
#[path = "compactor/golden.rs"]
mod golden;
#[path = "compactor/leases.rs"]
mod leases;
#[path = "compactor/policy.rs"]
mod policy;
#[path = "compactor/readback.rs"]
mod readback;
#[path = "compactor/shards.rs"]
mod shards;
#[path = "compactor/steps.rs"]
mod steps;
