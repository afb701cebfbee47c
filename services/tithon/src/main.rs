//! The `tithon` program: flags, configuration and wiring; the only `main`.

#![allow(unreachable_pub, reason = "a program has no public items; pub says what a module offers")]

mod cli;
mod demo;
mod flags;
mod logging;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {}
