//! The generated code, in modules named by the packages. `tests/generated.rs` keeps it equal to the `.proto` files.

#![allow(missing_docs, unreachable_pub, clippy::all)]

/// Package `thanos`: Store, Query and what they carry.
pub mod thanos {
    include!("gen/thanos.rs");

    /// Package `thanos.info`: what a component is and serves.
    pub mod info {
        include!("gen/thanos.info.rs");
    }
}

/// Package `tithon`: what only our processes say to each other.
pub mod tithon {
    include!("gen/tithon.rs");
}

/// Package `hintspb`: what a store gateway takes and gives as hints.
pub mod hintspb {
    include!("gen/hintspb.rs");
}

/// Package `prometheus_copy`: Prometheus's remote read and write messages.
pub mod prometheus_copy {
    include!("gen/prometheus_copy.rs");
}

/// All files as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptors.bin");
