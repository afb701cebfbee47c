//! Benchmarks, side by side with scalar twins.
