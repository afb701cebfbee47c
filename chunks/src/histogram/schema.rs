//! Schemas: how finely buckets divide the axis. Prometheus `model/histogram/generic.go`.

/// The schema of histograms with custom bucket bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// Coarsest exponential schema in use.
pub const SCHEMA_MIN: i32 = -4;
/// Finest exponential schema in use.
pub const SCHEMA_MAX: i32 = 8;
/// Finest schema that a reader must understand; finer ones than [`SCHEMA_MAX`] are reduced to it.
pub(crate) const SCHEMA_MAX_RESERVED: i32 = 52;
const SCHEMA_MIN_RESERVED: i32 = -9;

/// Whether a reader can make sense of `schema`.
pub const fn is_known_schema(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA || (SCHEMA_MIN_RESERVED <= schema && schema <= SCHEMA_MAX_RESERVED)
}

/// Whether a histogram with `schema` may be stored.
pub const fn is_valid_schema(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA || (SCHEMA_MIN <= schema && schema <= SCHEMA_MAX)
}
