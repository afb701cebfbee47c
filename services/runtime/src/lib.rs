//! CPU pool, servers, metrics, health, shutdown, error kinds to gRPC codes.
