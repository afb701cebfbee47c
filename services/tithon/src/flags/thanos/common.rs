//! Flags that several components of Thanos share.

use super::{Check, Flag, Here::*, list, switch, value};

/// Flags of every component.
pub(super) const GLOBAL: &[Flag] = &[
    value("log.level", "info", Same),
    value(
        "log.format",
        "logfmt",
        Differs("journald is refused: what starts the process can hand standard error on"),
    ),
    value("tracing.config", "", Differs(TRACING)),
    value("tracing.config-file", "", Differs(TRACING)),
    switch("enable-auto-gomemlimit", false, NoEffect(NO_GO, Check::Any)),
    value("auto-gomemlimit.ratio", "0.9", NoEffect(NO_GO, Check::Ratio)),
    value("debug.name", "", Same),
];

const TRACING: &str = "spans are sent as OTLP: to collectors of Jaeger and Lightstep too; types GOOGLE_CLOUD, STACKDRIVER and \
                       ELASTIC_APM and agents of Jaeger get none, and one warning says so";

const NO_GO: &str = "there is no Go runtime whose memory it could bound";

/// Flags of every server.
pub(super) const HTTP: &[Flag] = &[
    value("http-address", "0.0.0.0:10902", Same),
    value("http-grace-period", "2m", Same),
    value("http.config", "", Same),
];

/// Flags of every server except `compact` and `query-frontend`.
pub(super) const GRPC_SERVER: &[Flag] = &[
    value("grpc-address", "0.0.0.0:10901", Same),
    value("grpc-grace-period", "2m", Same),
    value("grpc-server-tls-cert", "", Same),
    value("grpc-server-tls-key", "", Same),
    value("grpc-server-tls-client-ca", "", Same),
    value("grpc-server-tls-min-version", "1.3", Differs("1.0 and 1.1 mean 1.2")),
    list("grpc-server-tls-ciphers", Differs("suites that are not there are refused")),
    list("grpc-server-tls-curves", Differs("curves that are not there are refused")),
    value("grpc-server-max-connection-age", "60m", Same),
];

pub(super) const OBJSTORE: &[Flag] =
    &[value("objstore.config", "", Same), value("objstore.config-file", "", Same)];

pub(super) const REQUEST_LOGGING: &[Flag] = &[
    value("request.logging-config", "", Differs(REQUEST_LOG)),
    value("request.logging-config-file", "", Differs(REQUEST_LOG)),
];

const REQUEST_LOG: &str =
    "a path in the list is compared with the path alone, so that requests with parameters match too";

pub(super) const SELECTOR: &[Flag] =
    &[value("selector.relabel-config", "", Same), value("selector.relabel-config-file", "", Same)];

pub(super) const LIMITS: &[Flag] =
    &[value("store.limits.request-series", "0", Same), value("store.limits.request-samples", "0", Same)];

/// Why prefixes of links have no effect on the pages of blocks.
pub(super) const RELATIVE_LINKS: &str =
    "the links of the pages are relative, so that they hold below any prefix";
pub(super) const ONE_LISTING: &str = "the bucket is listed once, whichever is chosen";
