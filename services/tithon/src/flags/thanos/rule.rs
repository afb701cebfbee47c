//! The flags of `thanos rule`.

use super::common::{GLOBAL, GRPC_SERVER, HTTP, REQUEST_LOGGING};
use super::{Check, Component, Flag, Here::*, list, switch, value};

pub(super) const RULE: Component =
    Component { name: "rule", groups: &[GLOBAL, HTTP, GRPC_SERVER, REQUEST_LOGGING, OWN] };

/// Flags of local storage belong to components that have one, which none here has yet.
const OWN: &[Flag] = &[
    list("label", Same),
    value("data-dir", "data/", Same),
    list("rule-file", Same),
    value("eval-interval", "1m", Same),
    value("rule-query-offset", "0s", Same),
    value("resend-delay", "1m", Same),
    value("for-outage-tolerance", "1h", Same),
    value("for-grace-period", "10m", Same),
    list("restore-ignored-label", Same),
    value("rule-concurrent-evaluation", "1", Same),
    value("tsdb.block-duration", "2h", NoEffect(NO_STORAGE, Check::Any)),
    value("tsdb.retention", "48h", NoEffect(NO_STORAGE, Check::Any)),
    switch("tsdb.no-lockfile", false, NoEffect(NO_STORAGE, Check::Any)),
    switch("tsdb.wal-compression", true, NoEffect(NO_STORAGE, Check::Any)),
    switch("tsdb.enable-native-histograms", true, NoEffect(NO_STORAGE, Check::Any)),
    list("query", Same),
    list("query.sd-files", Same),
    value("query.config", "", Same),
    value("query.config-file", "", Same),
    value("query.sd-interval", "5m", Same),
    value("query.sd-dns-interval", "30s", Same),
    value("query.http-method", "POST", Same),
    value(
        "query.sd-dns-resolver",
        "miekgdns",
        NoEffect("there is one resolver", Check::OneOf(&["golang", "miekgdns"])),
    ),
    value("query.default-step", "1s", Same),
    switch("query.only-prometheus-params", false, Same),
    switch(
        "query.enable-x-functions",
        false,
        Refused(
            "xrate, xincrease and xdelta are not there; --enable-feature=promql-extended-range-selectors has anchored and smoothed",
        ),
    ),
    list("grpc-query-endpoint", Differs("addresses only: names are not looked up by dns+ and its kin")),
    list("enable-feature", Differs("also takes promql-extended-range-selectors")),
    list("alertmanagers.url", Same),
    value("alertmanagers.config", "", Same),
    value("alertmanagers.config-file", "", Same),
    value("alertmanagers.send-timeout", "10s", Same),
    value("alertmanagers.sd-dns-interval", "30s", Same),
    value("alert.query-url", "", Same),
    value("alert.query-template", "/graph?g0.expr={{.Expr}}&g0.tab=1", Same),
    list("alert.label-drop", Same),
    value("alert.relabel-config", "", Same),
    value("alert.relabel-config-file", "", Same),
    value("remote-write.config", "", Differs(REMOTE_WRITE)),
    value("remote-write.config-file", "", Differs(REMOTE_WRITE)),
    value("web.route-prefix", "", Same),
    value("web.external-prefix", "", NoEffect("links of the page are relative", Check::Any)),
    value("web.prefix-header", "", NoEffect("links of the page are relative", Check::Any)),
    switch("web.disable-cors", false, Same),
    value("objstore.config", "", NoEffect(NO_STORAGE, Check::Any)),
    value("objstore.config-file", "", NoEffect(NO_STORAGE, Check::Any)),
    switch("shipper.upload-compacted", false, NoEffect(NO_STORAGE, Check::Any)),
    switch("shipper.ignore-unequal-block-size", false, NoEffect(NO_STORAGE, Check::Any)),
    switch("shipper.allow-out-of-order-uploads", false, NoEffect(NO_STORAGE, Check::Any)),
    switch("shipper.skip-corrupted-blocks", false, NoEffect(NO_STORAGE, Check::Any)),
    value("shipper.meta-file-name", "thanos.shipper.json", NoEffect(NO_STORAGE, Check::Any)),
    value("shipper.upload-concurrency", "0", NoEffect(NO_STORAGE, Check::Number)),
    value("hash-func", "", NoEffect(NO_STORAGE, Check::OneOf(&["", "SHA256"]))),
    value("store.limits.request-series", "0", NoEffect(NO_STORAGE, Check::Number)),
    value("store.limits.request-samples", "0", NoEffect(NO_STORAGE, Check::Number)),
];

const NO_STORAGE: &str = "local storage is not here yet: results are written to other servers";
const REMOTE_WRITE: &str = "needed, as local storage is not here yet; one queue on disk per server in place of shards; \
                            oauth2, sigv4 and version 2 of the protocol are refused";
