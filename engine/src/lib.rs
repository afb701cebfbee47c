//! Prometheus blocks: select, merge, dedup, compact, downsample, plan, verify.
