//! The built-in expressions, over the series of the profile `k8s`.

/// Name and expression of each case.
pub(super) const EXPRESSIONS: [(&str, &str); 26] = [
    ("selector", "container_threads"),
    ("selector-regex", "apiserver_request_total{code=~\"5..\"}"),
    ("rate-5m", "rate(apiserver_request_total{code=\"200\"}[5m])"),
    ("rate-1h", "rate(apiserver_request_total{code=\"200\"}[1h])"),
    ("increase-6h", "increase(container_cpu_usage_seconds_total[6h])"),
    ("sum", "sum(apiserver_request_total)"),
    ("sum-by-job", "sum by (job) (apiserver_request_total)"),
    ("avg-without", "avg without (instance, pod) (container_memory_rss)"),
    ("max-by", "max by (namespace) (container_memory_working_set_bytes)"),
    ("sum-rate", "sum(rate(apiserver_request_total[5m]))"),
    ("sum-by-rate", "sum by (pod) (rate(apiserver_request_total[5m]))"),
    ("count-all", "count({__name__=~\".+\"})"),
    ("count-by-name", "count by (__name__) ({__name__=~\".+\"})"),
    ("topk", "topk(5, apiserver_request_total)"),
    ("sort", "sort(sum by (pod) (apiserver_request_total))"),
    ("absent", "absent(apiserver_request_total)"),
    (
        "quantile-classic",
        "histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    (
        "quantile-classic-by-job",
        "histogram_quantile(0.99, sum by (job, le) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    ("quantile-native", "histogram_quantile(0.9, sum by (job) (rate(rpc_duration_seconds[5m])))"),
    (
        "join-one-to-one",
        "apiserver_request_total{code=\"500\"} / ignoring (code) apiserver_request_total{code=\"200\"}",
    ),
    (
        "join-many-to-one",
        "sum by (pod, code) (apiserver_request_total) / on (pod) group_left sum by (pod) (kube_pod_info)",
    ),
    ("and-bool", "container_memory_rss > bool 1.9e8 and on (pod) up == 1"),
    ("subquery", "max_over_time(sum by (job) (rate(apiserver_request_total[5m]))[1h:5m])"),
    ("avg-over-time", "avg_over_time(container_memory_working_set_bytes[30m])"),
    ("max-over-time", "max_over_time(backend_queue_length[1h])"),
    ("quantile-over-time", "quantile_over_time(0.9, go_goroutines[1h])"),
];

/// Names of the expressions that are also evaluated over two large replicas, where each takes seconds.
pub(super) const DEDUPLICATED: [&str; 8] = [
    "selector",
    "rate-5m",
    "sum-by-job",
    "sum-by-rate",
    "count-all",
    "topk",
    "quantile-classic",
    "join-many-to-one",
];

/// Queries like those of dashboard panels: name, expression, and length of the range in steps of 15 seconds; 0 is an
/// instant query.
pub(super) const DASHBOARD: [(&str, &str, i64); 2] = [
    ("sum-of-100", "sum(container_threads)", 0),
    (
        "rate-of-15",
        "sum by (job) (rate(http_request_duration_seconds_count{namespace=\"team-08\"}[5m]))",
        240,
    ),
];

/// Queries with small answers of about 1, 10 and 50 kB: name, expression, and length of the range in steps.
pub(super) const SMALL: [(&str, &str, i64); 3] = [
    ("1kB", "sum(rate(apiserver_request_total{code=\"500\"}[5m]))", 40),
    ("10kB", "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))", 40),
    ("50kB", "sum by (job) (rate(container_cpu_usage_seconds_total[5m]))", 40),
];
