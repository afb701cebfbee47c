//! The flags of `thanos store`.

use super::common::{
    GLOBAL, GRPC_SERVER, HTTP, LIMITS, OBJSTORE, ONE_LISTING, RELATIVE_LINKS, REQUEST_LOGGING, SELECTOR,
};
use super::{Check, Component, Flag, Here::*, switch, value};

pub(super) const STORE: Component = Component {
    name: "store",
    groups: &[GLOBAL, HTTP, GRPC_SERVER, REQUEST_LOGGING, OBJSTORE, SELECTOR, LIMITS, OWN],
};

const OWN: &[Flag] = &[
    value("data-dir", "./data", Same),
    switch("cache-index-header", true, Same),
    value(
        "index-cache-size",
        "250MB",
        Differs(
            "holds what matchers selected, and as much again for parts of indexes that are read over the network",
        ),
    ),
    value("index-cache.config", "", Differs(CACHES)),
    value("index-cache.config-file", "", Differs(CACHES)),
    value("store.caching-bucket.config", "", Differs(CACHES)),
    value("store.caching-bucket.config-file", "", Differs(CACHES)),
    value("chunk-pool-size", "2GB", NoEffect(NO_POOL, Check::Size)),
    value("store.grpc.touched-series-limit", "0", Same),
    value("store.grpc.series-sample-limit", "0", Same),
    value("store.grpc.downloaded-bytes-limit", "0", Same),
    value("store.grpc.series-max-concurrency", "20", Same),
    value("objstore-parquet.config", "", Refused(NO_PARQUET)),
    value("objstore-parquet.config-file", "", Refused(NO_PARQUET)),
    value("sync-block-duration", "15m", Same),
    value(
        "block-discovery-strategy",
        "concurrent",
        NoEffect(ONE_LISTING, Check::OneOf(&["concurrent", "recursive"])),
    ),
    value("block-sync-concurrency", "20", Same),
    value("block-meta-fetch-concurrency", "32", Same),
    value("debug.series-batch-size", "10000", NoEffect(BATCHES, Check::Number)),
    value("debug.estimated-max-series-size", "65536", NoEffect(EXACT, Check::Number)),
    value("debug.estimated-max-chunk-size", "16000", NoEffect(EXACT, Check::Number)),
    value("min-time", "0000-01-01T00:00:00Z", Same),
    value("max-time", "9999-12-31T23:59:59Z", Same),
    value(
        "store.index-header-posting-offsets-in-mem-sampling",
        "32",
        NoEffect("index headers hold every offset, packed", Check::Number),
    ),
    value("consistency-delay", "0s", Same),
    value("ignore-deletion-marks-delay", "24h", Same),
    switch(
        "store.enable-index-header-lazy-reader",
        false,
        NoEffect("blocks are always opened when a request needs them", Check::Any),
    ),
    value(
        "store.index-header-lazy-reader-idle-timeout",
        "5m",
        Differs("closes the whole block, whatever the lazy reader's flag says"),
    ),
    switch(
        "store.enable-lazy-expanded-postings",
        false,
        NoEffect("postings are chosen by what they cost in any case", Check::Any),
    ),
    value(
        "store.posting-group-max-key-series-ratio",
        "100",
        NoEffect("postings are chosen by what they cost in any case", Check::Numbers),
    ),
    value(
        "store.index-header-lazy-download-strategy",
        "eager",
        NoEffect("index headers are built when a block is opened", Check::OneOf(&["eager", "lazy"])),
    ),
    switch("web.disable", false, Same),
    value("web.external-prefix", "", NoEffect(RELATIVE_LINKS, Check::Any)),
    value("web.prefix-header", "", NoEffect(RELATIVE_LINKS, Check::Any)),
    switch("web.disable-cors", false, Same),
    value("bucket-web-label", "", Same),
    value(
        "matcher-cache-size",
        "0",
        NoEffect("compiled patterns are always shared between requests", Check::Number),
    ),
    switch(
        "disable-admin-operations",
        false,
        NoEffect("the web API of this process changes nothing in the bucket", Check::Any),
    ),
];

const CACHES: &str = "GROUPCACHE, redis clusters and TLS to redis are refused; a bucket in a directory is mapped and needs no cache";
const NO_POOL: &str = "there is no pool of buffers; --store.memory-limit bounds what calls hold";
const NO_PARQUET: &str =
    "blocks in Parquet are not read; leave the TSDB blocks in the bucket and the flag away";
const BATCHES: &str = "batches are cut by their bytes";
const EXACT: &str = "sizes are read from the index, not estimated";
