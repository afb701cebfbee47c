//! Fan-out, deduplication, PromQL over gRPC and HTTP.
