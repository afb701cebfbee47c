//! The flags of `thanos query`.

use super::common::{GLOBAL, GRPC_SERVER, HTTP, LIMITS, RELATIVE_LINKS, REQUEST_LOGGING, SELECTOR};
use super::{Check, Component, Flag, Here::*, list, switch, value};

pub(super) const QUERY: Component = Component {
    name: "query",
    groups: &[
        GLOBAL,
        HTTP,
        GRPC_SERVER,
        GRPC_CLIENT,
        REQUEST_LOGGING,
        SELECTOR,
        LIMITS,
        WEB,
        ANSWERS,
        TENANCY,
        ENDPOINTS,
    ],
};

const GRPC_CLIENT: &[Flag] = &[
    switch("grpc-client-tls-secure", false, Same),
    switch("grpc-client-tls-skip-verify", false, Same),
    value("grpc-client-tls-cert", "", Same),
    value("grpc-client-tls-key", "", Same),
    value("grpc-client-tls-ca", "", Same),
    value("grpc-client-server-name", "", Same),
    value("grpc-client-tls-min-version", "1.3", Differs("1.0 and 1.1 mean 1.2")),
    value("grpc-compression", "none", Same),
];

const WEB: &[Flag] = &[
    value("web.route-prefix", "", Same),
    value(
        "web.external-prefix",
        "",
        Differs("is the route prefix where none is given; links of the page are relative and need no prefix"),
    ),
    value("web.prefix-header", "", NoEffect(RELATIVE_LINKS, Check::Any)),
    switch("web.disable-cors", false, Same),
    value(
        "alert.query-url",
        "",
        NoEffect("no page shows where an alert's expression is answered", Check::Any),
    ),
];

const ANSWERS: &[Flag] = &[
    value("query.timeout", "2m", Same),
    value(
        "query.promql-engine",
        "prometheus",
        NoEffect(
            "there is one engine, whose answers are Prometheus's",
            Check::OneOf(&["prometheus", "thanos"]),
        ),
    ),
    switch(
        "query.disable-fallback",
        false,
        NoEffect("there is one engine, and none to fall back to", Check::Any),
    ),
    switch(
        "query.enable-x-functions",
        false,
        Refused(
            "xrate, xincrease and xdelta are not there; --enable-feature=promql-extended-range-selectors has anchored and smoothed, which do what they are for",
        ),
    ),
    value(
        "query.mode",
        "local",
        Differs(
            "distributed evaluates here what queriers below would answer otherwise: data of endpoints that are no queriers or tell no external labels, instead of leaving it out; with storeMatch[], dedup_func, selector labels or rules, or steps of fractions of seconds, the whole query",
        ),
    ),
    list("query.partition-label", Same),
    switch("query.distributed-with-overlapping-interval", false, Same),
    value("query.max-concurrent", "20", Same),
    value("query.lookback-delta", "", Same),
    switch("query.dynamic-lookback-delta", true, Same),
    value(
        "query.max-concurrent-select",
        "4",
        NoEffect("selections of a query share its threads and its memory", Check::Number),
    ),
    value("query.instant.default.max_source_resolution", "0s", Same),
    value("query.metadata.default-time-range", "0s", Same),
    list("query.replica-label", Same),
    value("deduplication.func", "penalty", Same),
    switch("query.auto-downsampling", false, Same),
    switch("query.partial-response", true, Same),
    switch("rule.partial-response", true, Same),
    switch("target.partial-response", true, Same),
    switch("metric-metadata.partial-response", true, Same),
    switch("exemplar.partial-response", true, Same),
    switch("status.partial-response", true, Same),
    value("query.active-query-path", "", Same),
    list(
        "enable-feature",
        Differs(
            "also promql-extended-range-selectors, promql-binop-fill-modifiers and promql-delayed-name-removal",
        ),
    ),
    value("query.default-evaluation-interval", "1m", Same),
    value("query.default-step", "1s", Same),
    list("query.telemetry.request-duration-seconds-quantiles", NoEffect(TELEMETRY, Check::Numbers)),
    list("query.telemetry.request-samples-quantiles", NoEffect(TELEMETRY, Check::Numbers)),
    list("query.telemetry.request-series-seconds-quantiles", NoEffect(TELEMETRY, Check::Numbers)),
    value(
        "query.lazy-retrieval-max-buffered-responses",
        "20",
        NoEffect("what endpoints send is bounded by --query.max-bytes", Check::Number),
    ),
    value(
        "grpc.proxy-strategy",
        "eager",
        NoEffect("answers are always received as they come", Check::OneOf(&["eager", "lazy"])),
    ),
    list("query.conn-metric.label", Same),
];

const TELEMETRY: &str = "thanos_store_api_query_duration_seconds, whose buckets these are, is not there";

const TENANCY: &[Flag] = &[
    value("query.tenant-header", "THANOS-TENANT", Same),
    value("query.default-tenant-id", "default-tenant", Same),
    value("query.tenant-certificate-field", "", Same),
    switch("query.enforce-tenancy", false, Same),
    value("query.tenant-label-name", "tenant_id", Same),
];

const ENDPOINTS: &[Flag] = &[
    list("endpoint", Same),
    list("endpoint-group", Same),
    list("endpoint-strict", Same),
    list("endpoint-group-strict", Same),
    value("endpoint.sd-config", "", Same),
    value("endpoint.sd-config-file", "", Same),
    value("endpoint.sd-config-reload-interval", "5m", Same),
    value("endpoint.info-timeout", "5s", Same),
    list("store.sd-files", Same),
    value("store.sd-interval", "5m", Differs("files are read again every five seconds at least")),
    value("store.sd-dns-interval", "30s", Same),
    value(
        "store.sd-dns-resolver",
        "miekgdns",
        NoEffect(
            "there is one resolver, which asks what /etc/resolv.conf names",
            Check::OneOf(&["miekgdns", "golang"]),
        ),
    ),
    value("store.unhealthy-timeout", "5m", Same),
    value("store.response-timeout", "0ms", Same),
    list("selector-label", Same),
    list(
        "inject-test-addresses",
        Refused("Thanos's own tests alone use it, to have names looked up without a name server"),
    ),
];
