//! The flags of `thanos rule`.

use super::common::{GLOBAL, GRPC_SERVER, HTTP, LIMITS, OBJSTORE, REQUEST_LOGGING};
use super::{Check, Component, Flag, Here::*, list, switch, value};

pub(super) const RULE: Component =
    Component { name: "rule", groups: &[GLOBAL, HTTP, GRPC_SERVER, REQUEST_LOGGING, OBJSTORE, LIMITS, OWN] };

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
    value("tsdb.block-duration", "2h", Same),
    value("tsdb.retention", "48h", Same),
    switch("tsdb.no-lockfile", false, Same),
    switch("tsdb.wal-compression", true, Same),
    switch("tsdb.enable-native-histograms", true, NoEffect("they are always stored", Check::Any)),
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
    list("grpc-query-endpoint", Same),
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
    switch("shipper.upload-compacted", false, Differs(NOT_COMPACTED)),
    switch("shipper.ignore-unequal-block-size", false, Differs(NOT_COMPACTED)),
    switch("shipper.allow-out-of-order-uploads", false, Same),
    switch("shipper.skip-corrupted-blocks", false, Same),
    value("shipper.meta-file-name", "thanos.shipper.json", Same),
    value("shipper.upload-concurrency", "0", Same),
    value("hash-func", "", Same),
];

const NOT_COMPACTED: &str = "has no effect, as in Thanos: local blocks are never compacted";
const REMOTE_WRITE: &str =
    "one queue on disk per server in place of shards; oauth2, sigv4, azuread and google_iam are refused";
