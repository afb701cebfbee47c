//! Where expressions are cut. Upstream: promql-engine `logicalplan/distribute_test.go`, from which the cases are; a result of
//! queriers is printed once, however many have a part of it.

use tithon_chunks::TimeRange;
use tithon_promql::{LocalSource, Partitioning, Remotes};

use crate::layout::{ALWAYS, engine, instant, labels, parts, plan, remotes};

/// One querier for the east and the south, one for the west.
fn regions() -> Remotes {
    let east = engine(&[("region=east", ALWAYS), ("region=south", ALWAYS)]);
    remotes(vec![east, engine(&[("region=west", ALWAYS)])])
}

fn check_over(remotes: &Remotes, cases: &[(&str, &str)]) {
    for (query, expected) in cases {
        assert_eq!(plan(query, instant(), remotes).expr().to_string(), *expected, "{query}");
    }
}

fn check(cases: &[(&str, &str)]) {
    check_over(&regions(), cases);
}

#[test]
fn whole_expressions() {
    for query in [
        "http_requests",
        "(http_requests)",
        "-http_requests",
        "rate(http_requests[5m])",
        "sum_over_time(http_requests[5m:1m])",
        "sum_over_time(rate(http_requests[5m])[5m:1m])",
        "avg without (pod) (http_requests)",
        "avg by (region) (http_requests)",
        "quantile by (region) (0.9, http_requests)",
        "stddev by (region) (http_requests)",
        "sum by (region, pod) (a) / count by (region, pod) (b)",
        "X * on (region) Y",
        "X * ignoring (foo) Y",
        "a / b",
        "a or b",
        "a unless b",
        "a or on (region) b",
        "a unless on (region) b",
        "a or ignoring (pod) b",
        "label_replace(up, \"pod\", \"$1\", \"instance\", \"(.*)\")",
        "label_join(up, \"zone\", \",\", \"pod\")",
        "time() - a",
        "clamp(a, 0, time())",
        "avg by (region) (quantile_over_time(0.9, (sum by (region) (rate(a[2m])) / sum by (region) (b))[1h:1m]))",
    ] {
        check(&[(query, &format!("remote({query})"))]);
    }
}

#[test]
fn aggregations_in_two_levels() {
    check(&[
        ("sum(a)", "sum(remote(sum by (region) (a)))"),
        ("sum by (pod) (rate(a[5m]))", "sum by (pod) (remote(sum by (pod, region) (rate(a[5m]))))"),
        ("sum without (pod, region) (a)", "sum without (pod, region) (remote(sum without (pod) (a)))"),
        ("count(a)", "sum(remote(count by (region) (a)))"),
        ("group by (pod) (a)", "group by (pod) (remote(group by (pod, region) (a)))"),
        ("topk by (pod) (2, a)", "topk by (pod) (2, remote(topk by (pod, region) (2, a)))"),
        ("bottomk(1, a)", "bottomk(1, remote(bottomk by (region) (1, a)))"),
        ("limitk(1, a)", "limitk(1, remote(limitk by (region) (1, a)))"),
        ("max by (pod) (a / b)", "max by (pod) (remote(max by (pod, region) (a / b)))"),
        ("max by (pod) (sum by (pod) (a))", "max by (pod) (sum by (pod) (remote(sum by (pod, region) (a))))"),
        ("max(sum by (region, pod) (a))", "max(remote(max by (region) (sum by (region, pod) (a))))"),
        ("max(sum without (region) (a))", "max(sum without (region) (remote(sum without () (a))))"),
        ("sum(a * group by (region) (b))", "sum(remote(sum by (region) (a * group by (region) (b))))"),
        ("sum(a * avg by (region) (b))", "sum(remote(sum by (region) (a * avg by (region) (b))))"),
        (
            "histogram_quantile(0.5, sum by (le) (rate(x_bucket[5m])))",
            "histogram_quantile(0.5, sum by (le) (remote(sum by (le, region) (rate(x_bucket[5m])))))",
        ),
        (
            "sum by (pod) (a) / sum by (pod) (b)",
            "sum by (pod) (remote(sum by (pod, region) (a))) / sum by (pod) (remote(sum by (pod, region) (b)))",
        ),
        ("sum by (pod) (rate(a[2m]) * 60)", "sum by (pod) (remote(sum by (pod, region) (rate(a[2m]) * 60)))"),
        ("time() - max by (foo) (a)", "time() - max by (foo) (remote(max by (foo, region) (a)))"),
        ("sum_over_time(max(a)[5m:1m])", "sum_over_time(max(remote(max by (region) (a)))[5m:1m])"),
    ]);
}

#[test]
fn averages_as_quotients() {
    let both = |text: &str| {
        format!(
            "sum{text} (remote(sum by (pod, region) (a))) / on (pod) sum{text} (remote(count by (pod, region) (a)))"
        )
    };
    check(&[
        ("avg(a)", "sum(remote(sum by (region) (a))) / on () sum(remote(count by (region) (a)))"),
        ("avg by (pod) (a)", &both(" by (pod)")),
        ("sum(avg by (pod) (a))", &format!("sum({})", both(" by (pod)"))),
        ("avg by (pod) (sum by (pod) (a))", "avg by (pod) (sum by (pod) (remote(sum by (pod, region) (a))))"),
        (
            "avg without (region) (a)",
            "sum without (region) (remote(sum without () (a))) / sum without (region) (remote(count without () (a)))",
        ),
        // The quotient would lose the name.
        ("avg by (__name__) ({pod=\"x\"})", "avg by (__name__) (remote({pod=\"x\"}))"),
    ]);
}

#[test]
fn what_needs_all_data_is_evaluated_here() {
    check(&[
        ("quantile(0.9, a)", "quantile(0.9, remote(a))"),
        ("stddev by (pod) (a)", "stddev by (pod) (remote(a))"),
        ("count_values(\"v\", a)", "count_values(\"v\", remote(a))"),
        ("count_values by (region) (\"region\", a)", "count_values by (region) (\"region\", remote(a))"),
        ("limit_ratio(0.5, a)", "limit_ratio(0.5, remote(a))"),
        ("scalar(a)", "scalar(remote(a))"),
        ("topk(scalar(b), a)", "topk(scalar(b), remote(a))"),
        ("clamp_max(a, scalar(b))", "clamp_max(remote(a), scalar(remote(b)))"),
        ("sort(a)", "sort(remote(a))"),
        ("sort_by_label(a, \"pod\")", "sort_by_label(remote(a), \"pod\")"),
        ("max by (pod) (sort(quantile(0.9, a)))", "max by (pod) (sort(quantile(0.9, remote(a))))"),
        ("X * ignoring (region) Y", "remote(X) * ignoring (region) remote(Y)"),
        ("X * on (foo) Y", "remote(X) * on (foo) remote(Y)"),
        ("X + on (region) fill (0) Y", "remote(X) + on (region) fill (0) remote(Y)"),
        ("max(X * on (pod) Y)", "max(remote(X) * on (pod) remote(Y))"),
        (
            "max(a * on (pod) group_left (region) b)",
            "max(remote(a) * on (pod) group_left (region) remote(b))",
        ),
        ("a or on () vector(0)", "remote(a) or on () vector(0)"),
        ("vector(1) or a", "vector(1) or remote(a)"),
        ("a unless on () vector(0)", "remote(a) unless on () vector(0)"),
        ("a or on (pod) b", "remote(a) or on (pod) remote(b)"),
        // The constant must not come from each querier, whatever stands around it.
        ("abs(a or on () vector(0)) + b", "abs(remote(a) or on () vector(0)) + remote(b)"),
        ("sum(vector(1))", "sum(vector(1))"),
        ("info(a)", "info(a)"),
        ("quantile_over_time(scalar(b), a[5m])", "quantile_over_time(scalar(remote(b)), a[5m])"),
        (
            "group by (region, pod) (a unless on (region, pod) max by (pod) (b))",
            "group by (region, pod) (remote(a) unless on (region, pod) max by (pod) (remote(max by (pod, region) (b))))",
        ),
        ("pi()", "pi()"),
        ("time() - pi()", "time() - pi()"),
        ("\"text\"", "\"text\""),
    ]);
    // A range vector is no answer that a querier gives.
    check(&[("a[5m]", "a[5m]"), ("a[5m:1m]", "remote(a)[5m:1m]")]);
}

#[test]
fn partition_labels_must_not_be_rewritten() {
    let replace = "\"region\", \"$1\", \"pod\", \"(.*)\"";
    let cases = [
        (
            format!("max by (pod) (label_replace(a, {replace}))"),
            format!("max by (pod) (label_replace(remote(a), {replace}))"),
        ),
        (
            format!("avg by (pod) (label_replace(a, {replace}))"),
            format!("avg by (pod) (label_replace(remote(a), {replace}))"),
        ),
        (
            format!("label_replace(max by (pod) (a), {replace})"),
            format!("label_replace(max by (pod) (remote(max by (pod, region) (a))), {replace})"),
        ),
        (
            "max by (pod) (label_join(a, \"region\", \",\", \"pod\"))".to_owned(),
            "max by (pod) (label_join(remote(a), \"region\", \",\", \"pod\"))".to_owned(),
        ),
    ];
    for (query, expected) in &cases {
        check(&[(query, expected)]);
    }
}

#[test]
fn absence_is_a_product() {
    check(&[
        ("absent(a)", "remote(absent(a)) * remote(absent(a))"),
        ("sum(absent(a))", "sum(remote(absent(a)) * remote(absent(a)))"),
        ("absent_over_time(a[5m])", "remote(absent_over_time(a[5m])) * remote(absent_over_time(a[5m]))"),
        ("absent(a{region=\"west\"})", "remote(absent(a{region=\"west\"}))"),
        ("absent(sum(a))", "absent(sum(remote(sum by (region) (a))))"),
        // Nobody can have it, so nobody is asked.
        ("absent(a{region=\"north\"})", "absent(a{region=\"north\"})"),
    ]);
}

#[test]
fn one_querier_evaluates_alone_what_nobody_else_has_data_for() {
    check(&[
        ("sum(a{region=\"west\"})", "remote(sum(a{region=\"west\"}))"),
        ("quantile(0.9, a{region=\"west\"})", "remote(quantile(0.9, a{region=\"west\"}))"),
        ("scalar(a{region=\"south\"})", "remote(scalar(a{region=\"south\"}))"),
        (
            "sum(a{region=\"east\"}) / sum(b{region=\"west\"})",
            "remote(sum(a{region=\"east\"})) / remote(sum(b{region=\"west\"}))",
        ),
        ("a{region=\"east\"} or b{region=\"south\"}", "remote(a{region=\"east\"} or b{region=\"south\"})"),
        ("a{region=\"north\"}", "a{region=\"north\"}"),
    ]);
    let one = remotes(vec![engine(&[("region=east", ALWAYS)])]);
    check_over(
        &one,
        &[
            ("sum(a) + on () vector(1)", "remote(sum(a) + on () vector(1))"),
            ("info(a)", "remote(info(a))"),
            ("sort(a)", "remote(sort(a))"),
            ("1 + 2", "3"),
        ],
    );
}

#[test]
fn only_queriers_that_may_contribute_are_asked() {
    let engines = |query: &str| -> Vec<usize> {
        parts(&plan(query, instant(), &regions())).iter().map(|part| part.0).collect()
    };
    assert_eq!(engines("a"), [0, 1]);
    assert_eq!(engines("a{region=~\"west|north\"}"), [1]);
    assert_eq!(engines("a{region=\"east\"} or b{region=\"west\"}"), [0, 1]);
    assert_eq!(engines("a{region=\"east\"} or on (region) b"), [0, 1]);
    assert_eq!(engines("b unless a{region=\"east\"}"), [0, 1]);
    assert_eq!(engines("a{region=\"east\"} unless b"), [0]);
    assert_eq!(engines("a{region=\"east\"} * b"), [0]);
}

#[test]
fn several_partition_labels() {
    let two = remotes(vec![
        engine(&[("datacenter=dc1,region=east", ALWAYS)]),
        engine(&[("datacenter=dc2,region=west", ALWAYS)]),
    ]);
    check_over(
        &two,
        &[
            ("a + on (region) b", "remote(a) + on (region) remote(b)"),
            ("a + on (region, datacenter) b", "remote(a + on (region, datacenter) b)"),
            ("a + ignoring (region) b", "remote(a) + ignoring (region) remote(b)"),
            ("sum by (region) (a)", "sum by (region) (remote(sum by (datacenter, region) (a)))"),
            (
                "max(sum by (region, datacenter) (a))",
                "max(remote(max by (datacenter, region) (sum by (region, datacenter) (a))))",
            ),
        ],
    );
}

#[test]
fn chosen_partition_labels() {
    let by_datacenter = |engines| {
        let labels = vec!["datacenter".to_owned()];
        Remotes::new(engines, Vec::new(), &Partitioning { labels, overlapping: false })
    };
    let apart = by_datacenter(vec![
        engine(&[("datacenter=east-1,region=east", ALWAYS)]),
        engine(&[("datacenter=east-2,region=east", ALWAYS)]),
        engine(&[("datacenter=west-1,region=west", ALWAYS)]),
    ]);
    check_over(&apart, &[("sum by (pod) (a)", "sum by (pod) (remote(sum by (datacenter, pod) (a)))")]);
    let east = plan("sum(a{region=\"east\"})", instant(), &apart);
    assert_eq!(parts(&east).iter().map(|part| part.0).collect::<Vec<_>>(), [0, 1]);
    // Queriers with equal partition labels but other data cannot stand in for each other.
    let mixed = by_datacenter(vec![
        engine(&[("datacenter=east,pool=1", ALWAYS)]),
        engine(&[("datacenter=east,pool=2", ALWAYS)]),
    ]);
    check_over(&mixed, &[("sum(a)", "sum(a)"), ("absent(a)", "absent(a)")]);
}

#[test]
fn data_of_stores_that_evaluate_nothing_is_read_here() {
    let store = |label_sets: &[&str]| LocalSource {
        label_sets: label_sets.iter().map(|set| labels(set)).collect(),
        range: TimeRange::ALL,
    };
    let engines = vec![engine(&[("region=east", ALWAYS)]), engine(&[("region=west", ALWAYS)])];
    let beside = Remotes::new(engines.clone(), vec![store(&["region=south"])], &Partitioning::default());
    check_over(
        &beside,
        &[
            ("sum(a)", "sum(a)"),
            ("absent(a)", "absent(a)"),
            ("sum(a{region=\"east\"})", "remote(sum(a{region=\"east\"}))"),
            ("sum(a{region!=\"south\"})", "sum(remote(sum by (region) (a{region!=\"south\"})))"),
            ("a or sum(b{region=\"west\"})", "a or remote(sum(b{region=\"west\"}))"),
        ],
    );
    let unknown = Remotes::new(engines, vec![store(&[])], &Partitioning::default());
    check_over(&unknown, &[("sum(a{region=\"east\"})", "sum(a{region=\"east\"})")]);
}

#[test]
fn texts_mean_the_same_to_any_querier() {
    for (query, expected) in [
        ("a offset step()", "a"),
        ("rate(a[5m + 1m])", "rate(a[6m])"),
        ("max_over_time(a[1h:])", "max_over_time(a[1h:1m])"),
        ("max_over_time(a[1h:step() + 30s] offset (1m * 2))", "max_over_time(a[1h:30s] offset 2m)"),
        ("a @ start()", "a @ 1000.000"),
        ("a offset -1m", "a offset -1m"),
        ("a * (2 - 3)", "a * (-1)"),
        ("(2 - 3) ^ a", "(-1) ^ a"),
        ("(start() - 2000) ^ a", "(-1000) ^ a"),
        ("a + end()", "a + 1000"),
        ("{\"with.dot\", \"a b\"=\"x\\n\"}", "{\"a b\"=\"x\\n\",__name__=\"with.dot\"}"),
    ] {
        let prepared = plan(query, instant(), &regions());
        let texts = parts(&prepared);
        assert_eq!(texts.iter().map(|part| part.3.as_str()).collect::<Vec<_>>(), [expected; 2], "{query}");
        let parsed = tithon_promql::parse(expected, &tithon_promql::ParseOptions::ALL);
        assert_eq!(parsed.map(|expr| expr.to_string()).ok().as_deref(), Some(expected), "{query}");
    }
}
