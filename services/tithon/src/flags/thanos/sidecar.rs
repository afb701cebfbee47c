//! The flags of `thanos sidecar`.

use super::common::{GLOBAL, GRPC_SERVER, HTTP, LIMITS, OBJSTORE, REQUEST_LOGGING};
use super::{Component, Flag, Here::*, list, switch, value};

pub(super) const SIDECAR: Component = Component {
    name: "sidecar",
    groups: &[GLOBAL, HTTP, GRPC_SERVER, REQUEST_LOGGING, OBJSTORE, LIMITS, OWN],
};

const OWN: &[Flag] = &[
    value("prometheus.url", "http://localhost:9090", Same),
    value("prometheus.ready_timeout", "10m", Same),
    value("prometheus.get_config_interval", "30s", Same),
    value("prometheus.get_config_timeout", "30s", Same),
    value("prometheus.http-client", "", Differs(HTTP_CLIENT)),
    value("prometheus.http-client-file", "", Differs(HTTP_CLIENT)),
    value("tsdb.path", "./data", Same),
    value("reloader.config-file", "", Same),
    value("reloader.config-envsubst-file", "", Same),
    list("reloader.rule-dir", Same),
    value("reloader.watch-interval", "3m", Differs("0 reads the files once and the process goes on")),
    value("reloader.retry-interval", "5s", Same),
    value("reloader.method", "http", Same),
    value("reloader.process-name", "prometheus", Same),
    switch("shipper.upload-compacted", false, Same),
    switch("shipper.ignore-unequal-block-size", false, Same),
    switch("shipper.allow-out-of-order-uploads", false, Same),
    switch("shipper.skip-corrupted-blocks", false, Same),
    value("shipper.meta-file-name", "thanos.shipper.json", Same),
    value("shipper.upload-concurrency", "0", Same),
    value("hash-func", "", Same),
    value("min-time", "0000-01-01T00:00:00Z", Same),
];

const HTTP_CLIENT: &str =
    "of transport_config only the idle, dial and header timeouts and the idle connections of a host count";
