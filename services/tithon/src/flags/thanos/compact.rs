//! The flags of `thanos compact`.

use super::common::{GLOBAL, HTTP, OBJSTORE, ONE_LISTING, RELATIVE_LINKS, SELECTOR};
use super::{Check, Component, Flag, Here::*, list, switch, value};

pub(super) const COMPACT: Component =
    Component { name: "compact", groups: &[GLOBAL, HTTP, OBJSTORE, SELECTOR, OWN] };

const OWN: &[Flag] = &[
    value("data-dir", "./data", Same),
    value("consistency-delay", "30m", Same),
    value("retention.resolution-raw", "0d", Same),
    value("retention.resolution-5m", "0d", Same),
    value("retention.resolution-1h", "0d", Same),
    switch("wait", false, Same),
    value("wait-interval", "5m", Same),
    switch("downsampling.disable", false, Same),
    value(
        "block-discovery-strategy",
        "concurrent",
        NoEffect(ONE_LISTING, Check::OneOf(&["concurrent", "recursive"])),
    ),
    value("block-meta-fetch-concurrency", "32", Same),
    value("block-files-concurrency", "1", Same),
    value("block-viewer.global.sync-block-interval", "1m", Same),
    value("block-viewer.global.sync-block-timeout", "5m", Same),
    value("compact.cleanup-interval", "5m", Same),
    value("compact.progress-interval", "5m", Same),
    value("compact.concurrency", "1", Same),
    value("compact.blocks-fetch-concurrency", "1", Differs("0 is refused; there it waits for ever")),
    value("downsample.concurrency", "1", Same),
    value("delete-delay", "48h", Same),
    switch("compact.enable-vertical-compaction", false, Same),
    value("deduplication.func", "", Same),
    list("deduplication.replica-label", Same),
    value(
        "compact.block-max-index-size",
        "64GB",
        Differs("a merge whose index would be larger makes several blocks instead of none"),
    ),
    switch(
        "compact.skip-block-with-out-of-order-chunks",
        false,
        NoEffect("such blocks are always marked and left out", Check::Any),
    ),
    value("hash-func", "", Same),
    value("min-time", "0000-01-01T00:00:00Z", Same),
    value("max-time", "9999-12-31T23:59:59Z", Same),
    switch("web.disable", false, Same),
    value("web.route-prefix", "", Differs("is applied; there it is read and forgotten")),
    value("web.external-prefix", "", NoEffect(RELATIVE_LINKS, Check::Any)),
    value("web.prefix-header", "", NoEffect(RELATIVE_LINKS, Check::Any)),
    switch("web.disable-cors", false, Same),
    value("bucket-web-label", "", Same),
    switch("disable-admin-operations", false, Same),
    switch(
        "debug.halt-on-error",
        true,
        Differs("counts with --compact.halt-on-error only: without it one bad block stops nothing"),
    ),
    switch("debug.accept-malformed-index", false, Same),
    value("debug.max-compaction-level", "4", Same),
];
