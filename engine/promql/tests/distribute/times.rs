//! Which querier evaluates which steps, where several have data of one partition.

use tithon_chunks::Timestamp;
use tithon_promql::{Partitioning, RemoteEngine, Remotes, TimeParams};

use crate::layout::{engine, parts, plan, remotes};

const HOUR: i64 = 3600;

/// Steps of a minute between two hours.
fn hours(start: i64, end: i64) -> TimeParams {
    TimeParams { start: Timestamp(start * HOUR * 1000), end: Timestamp(end * HOUR * 1000), step_ms: 60_000 }
}

/// A querier that has the data of the east between two hours.
fn east(from: i64, to: i64) -> RemoteEngine {
    engine(&[("region=east", (from * HOUR * 1000, to.saturating_mul(HOUR * 1000)))])
}

/// The querier, first and last second of each part.
fn shares(query: &str, times: TimeParams, remotes: &Remotes) -> Vec<(usize, i64, i64)> {
    parts(&plan(query, times, remotes))
        .into_iter()
        .map(|(engine, first, last, _)| (engine, first, last))
        .collect()
}

#[test]
fn each_querier_evaluates_the_steps_for_which_it_has_all_data() {
    // Data from hour 0 to 8, and from hour 6 on.
    let two = remotes(vec![east(0, 8), east(6, 12)]);
    let whole = hours(0, 12);
    let (eight, twelve, minute) = (8 * HOUR, 12 * HOUR, 60);
    for (query, second_from) in [
        ("metric", 6 * HOUR + 5 * minute),
        ("sum_over_time(metric[5m])", 6 * HOUR + 5 * minute),
        ("sum_over_time(metric[2h])", 8 * HOUR),
        ("sum_over_time(sum_over_time(metric[1h])[30m:5m])", 7 * HOUR + 30 * minute),
        ("max_over_time(sum_over_time(sum_over_time(metric[5m])[45m:10m])[15m:15m])", 7 * HOUR + 5 * minute),
    ] {
        // The data of the first ends just before hour 8.
        let expected = [(0, 0, eight - minute), (1, second_from, twelve)];
        assert_eq!(shares(query, whole, &two), expected, "{query}");
    }
    // An offset moves both bounds, and the first cannot look ahead of its end.
    assert_eq!(
        shares("metric offset 1h", whole, &two),
        [(0, 0, eight + 59 * minute), (1, 7 * HOUR + 5 * minute, twelve)]
    );
    assert_eq!(
        shares("metric offset -30m", whole, &two),
        [(0, 0, eight - 31 * minute), (1, 5 * HOUR + 35 * minute, twelve)]
    );
    // Together they do not have what a step between them needs.
    assert_eq!(shares("sum_over_time(metric[3h])", whole, &two), []);
    // Nor for the whole of this one, but for the inner expression at the subquery's steps.
    let inner = shares("sum_over_time(sum_over_time(metric[2h])[2h:30m])", whole, &two);
    assert_eq!(inner, [(0, -HOUR - 30 * minute, eight - 30 * minute), (1, eight, twelve)]);
    let apart = remotes(vec![east(0, 6), east(6, 12)]);
    assert_eq!(shares("metric", whole, &apart), []);
}

#[test]
fn queriers_without_data_for_the_times_are_not_asked() {
    let two = remotes(vec![east(0, 6), east(4, 8)]);
    assert_eq!(shares("sum(metric)", hours(7, 8), &two), [(1, 7 * HOUR, 8 * HOUR)]);
    assert_eq!(shares("sum(metric)", hours(1, 2), &two), [(0, HOUR, 2 * HOUR)]);
    let instant = |hour: i64| TimeParams::instant(Timestamp(hour * HOUR * 1000));
    assert_eq!(shares("sum(metric)", instant(5), &two), [(0, 5 * HOUR, 5 * HOUR), (1, 5 * HOUR, 5 * HOUR)]);
    // The second does not reach back far enough, the first does.
    assert_eq!(shares("sum(max_over_time(metric[2h]))", instant(5), &two), [(0, 5 * HOUR, 5 * HOUR)]);
    // Another querier alone has data of that time.
    assert_eq!(shares("sum(metric offset 7h)", hours(7, 8), &two), [(0, 7 * HOUR, 8 * HOUR)]);
}

#[test]
fn the_oldest_and_the_newest_data_have_no_bounds() {
    // Nobody else has older data than the west's querier of the west, though it begins late.
    let west = engine(&[("region=west", (10 * HOUR * 1000, i64::MAX))]);
    let two = remotes(vec![east(0, i64::MAX), west]);
    let whole = hours(9, 12);
    assert_eq!(shares("metric", whole, &two), [(0, 9 * HOUR, 12 * HOUR), (1, 9 * HOUR, 12 * HOUR)]);
    // Two queriers with the same data are both asked.
    let twins = remotes(vec![east(0, i64::MAX), east(0, i64::MAX)]);
    assert_eq!(shares("metric", whole, &twins), [(0, 9 * HOUR, 12 * HOUR), (1, 9 * HOUR, 12 * HOUR)]);
    // A querier that must not answer some steps of one source, but all of another, is not asked at all.
    let old = engine(&[("region=east", (0, 8 * HOUR * 1000)), ("region=west", (0, 8 * HOUR * 1000))]);
    let mixed = remotes(vec![old, east(6, 12)]);
    assert_eq!(shares("metric", hours(0, 12), &mixed), []);
    assert_eq!(shares("metric{region=\"east\"}", hours(0, 12), &mixed).len(), 2);
}

#[test]
fn the_latest_of_the_minimum_times_counts() {
    // A replica of the second querier lost its oldest hours.
    let second = || {
        engine(&[("region=east", (4 * HOUR * 1000, i64::MAX)), ("region=east", (6 * HOUR * 1000, i64::MAX))])
    };
    let of = |overlapping: bool| {
        let partitioning = Partitioning { overlapping, ..Partitioning::default() };
        Remotes::new(vec![east(0, 8), second()], Vec::new(), &partitioning)
    };
    assert_eq!(shares("metric", hours(0, 12), &of(false))[1], (1, 6 * HOUR + 300, 12 * HOUR));
    assert_eq!(shares("metric", hours(0, 12), &of(true))[1], (1, 4 * HOUR + 300, 12 * HOUR));
}

#[test]
fn steps_stay_on_the_grid_of_the_query() {
    let two = remotes(vec![east(0, 8), east(6, 12)]);
    let times = TimeParams { start: Timestamp(7_000), end: Timestamp(12 * HOUR * 1000), step_ms: 420_000 };
    for (_, first, last) in shares("metric", times, &two) {
        assert_eq!(((first - 7) % 420, (last - 7) % 420), (0, 0), "{first} {last}");
    }
    // Queriers take whole seconds.
    for (start, step_ms) in [(7_001, 420_000), (7_000, 420_001), (7_000, 1)] {
        let times = TimeParams { start: Timestamp(start), end: Timestamp(900_000), step_ms };
        assert_eq!(shares("metric", times, &two), [], "{start} {step_ms}");
    }
    let fine = "max_over_time(quantile(0.5, metric)[1h:1500ms])";
    assert_eq!(
        shares(fine, hours(0, 1), &remotes(vec![east(0, 8), engine(&[("region=west", (0, i64::MAX))])])),
        []
    );
}

#[test]
fn inner_steps_of_subqueries() {
    let two = remotes(vec![east(0, 24), engine(&[("region=west", (0, i64::MAX))])]);
    // Multiples of seven minutes after the left end of the first window, up to the last step.
    let times =
        TimeParams { start: Timestamp(HOUR * 1000), end: Timestamp(2 * HOUR * 1000), step_ms: 60_000 };
    let found = shares("max_over_time(quantile(0.5, metric)[30m:7m])", times, &two);
    assert_eq!(found, [(0, 2100, 7140), (1, 2100, 7140)]);
    let fixed = shares("max_over_time(quantile(0.5, metric)[30m:7m] @ 7200)", times, &two);
    assert_eq!(fixed, [(0, 5460, 7140), (1, 5460, 7140)]);
}

#[test]
fn fixed_times_need_all_data_at_that_time() {
    let two = remotes(vec![east(0, 8), east(6, 12)]);
    let whole = hours(0, 12);
    let both = [(0, 0, 12 * HOUR), (1, 0, 12 * HOUR)];
    assert_eq!(shares("sum(metric @ 25200)", whole, &two), both);
    // One of the two has none, or not all.
    assert_eq!(shares("sum(metric @ 18000)", whole, &two), [(0, 0, 12 * HOUR)]);
    assert_eq!(shares("sum(rate(metric[2h] @ 25200))", whole, &two), []);
    // The other regions' queriers do not matter.
    let west = engine(&[("region=west", (0, i64::MAX))]);
    let apart = remotes(vec![east(6, 12), west]);
    assert_eq!(shares("sum(rate(metric[2h] @ 25200))", whole, &apart).len(), 2);
}
