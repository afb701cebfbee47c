//! Thanos and Prometheus wire messages, generated, with conversions.
