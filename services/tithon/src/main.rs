//! The `tithon` program: flags, configuration and wiring; the only `main`.

fn main() {}
