//! Whole lives of alerts by a simulated clock, with a real querier over local storage: each kind of rule that prometheus/compliance
//! (`alert_generator`) plays, and some more. Series have a sample every 15 seconds, groups are evaluated every 30.

use std::path::Path;

use futures::FutureExt;
use tithon_query::{QueryService, router};
use tithon_runtime::{Cpu, HttpServer, Metrics, Shutdown};
use tithon_storeapi::Apis;
use tithon_tsdb::{NewSample, NewValue, Tsdb, TsdbOptions, TsdbStore};
use tokio::sync::Semaphore;

use super::{promtool, *};
use crate::{
    AlertLabelling, AlertQueue, Generator, ManagerOptions, Notification, Queriers, QueryOptions, RuleMetrics,
    Storage, parse_rules, queriers_of,
};

/// A whole number of group intervals.
const START: At = At(1_700_000_010_000_000_000);
pub(super) const SAMPLE: u64 = 15;
/// Samples from one evaluation to the next.
pub(super) const PER_SLOT: usize = 2;

fn at(sample: usize) -> At {
    START.after(Duration::from_secs(sample as u64 * SAMPLE))
}

/// The first evaluation that sees a sample.
fn slot(sample: usize) -> usize {
    sample.next_multiple_of(PER_SLOT)
}

/// A series: labels, and values with how often they come.
pub(super) type Input = (&'static [(&'static str, &'static str)], &'static [(f64, usize)]);

/// What is expected of an alert; numbers count samples.
pub(super) struct Life {
    labels: &'static [(&'static str, &'static str)],
    /// Annotations by the value of the series.
    annotations: fn(f64) -> Vec<(&'static str, String)>,
    /// Values of the series when evaluated, by sample.
    values: &'static [(f64, usize)],
    pending: usize,
    /// When it fires, unless it ends before.
    fires: Option<usize>,
    ends: usize,
    /// When an alert with the same labels begins.
    next: Option<usize>,
}

pub(super) struct Case {
    pub(super) rules: &'static str,
    pub(super) series: Vec<Input>,
    pub(super) samples: usize,
    pub(super) lives: Vec<Life>,
}

pub(super) fn value_at(values: &[(f64, usize)], sample: usize) -> f64 {
    let mut left = sample;
    for (value, times) in values {
        if left < *times {
            return *value;
        }
        left -= times;
    }
    values.last().unwrap().0
}

impl Life {
    pub(super) fn labels(&self) -> Labels {
        Labels::from_pairs(self.labels.iter().copied())
    }

    pub(super) fn annotations(&self, sample: usize) -> Labels {
        Labels::from_pairs((self.annotations)(value_at(self.values, sample)))
    }

    pub(super) fn state(&self, sample: usize) -> Option<AlertState> {
        let fires = self.fires.map_or(usize::MAX, slot);
        match sample {
            sample if sample < slot(self.pending) || sample >= slot(self.ends) => None,
            sample if sample < fires => Some(AlertState::Pending),
            _ => Some(AlertState::Firing),
        }
    }

    /// When it is sent and what, up to the end of the case.
    fn sent(&self, resend: Duration, end: usize) -> Vec<(usize, Notification)> {
        let Some(fires) = self.fires.map(slot) else { return Vec::new() };
        let interval = Duration::from_secs(SAMPLE * PER_SLOT as u64);
        // The first evaluation that is later than the delay.
        let step = (resend.as_secs() / interval.as_secs() + 1) as usize * PER_SLOT;
        let ends = slot(self.ends);
        let one = |ends_at: At, last: usize| Notification {
            labels: self.labels(),
            annotations: self.annotations(last),
            starts_at: at(fires),
            ends_at,
            generator_url: String::new(),
        };
        let firing = (fires..ends.min(end)).step_by(step);
        let valid = interval.max(resend) * 4;
        let mut all: Vec<_> = firing.map(|sample| (sample, one(at(sample).after(valid), sample))).collect();
        // Fifteen minutes, unless the alert begins again.
        let told_until = self.next.map_or(usize::MAX, slot).min(ends + 60 + 1).min(end);
        all.extend((ends..told_until).step_by(step).map(|sample| (sample, one(at(ends), ends - PER_SLOT))));
        all
    }
}

async fn storage(dir: &Path, case: &Case, registry: &Metrics) -> Tsdb {
    let options = TsdbOptions {
        dir: dir.to_owned(),
        block_duration: Duration::from_secs(7200),
        retention: Duration::ZERO,
        wal_compression: true,
        has_lock: false,
    };
    let tsdb = Tsdb::open(options, Cpu::new(1).unwrap(), registry).await.unwrap();
    for (labels, values) in &case.series {
        let labels = Labels::from_pairs(labels.iter().copied());
        let n: usize = values.iter().map(|(_, times)| times).sum();
        let samples = (0..n).map(|i| NewSample {
            labels: &labels,
            t: at(i).millis(),
            value: NewValue::Float(value_at(values, i)),
        });
        assert_eq!(tsdb.append(samples).unwrap(), []);
    }
    tsdb
}

/// Serves a querier over the storage; gives its address.
async fn querier(tsdb: &Tsdb) -> String {
    let external = Labels::from_pairs([("replica", "a")]);
    let store = TsdbStore::new(tsdb.clone(), "rule", external, Apis { store: true, ..Apis::default() });
    let options = tithon_query::QueryOptions {
        replica_labels: vec!["replica".to_owned()],
        ..tithon_query::QueryOptions::default()
    };
    let (cpu, registry) = (Cpu::new(1).unwrap(), Metrics::new("query"));
    let service = QueryService::new(options, vec![Arc::new(store)], cpu, &registry);
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve(router(service), Shutdown::default(), Duration::ZERO));
    address
}

async fn around(dir: &Path, case: &Case, resend_delay: Duration) -> Around {
    let registry = Metrics::new("test");
    let (tsdb, metrics) = (storage(dir, case, &registry).await, RuleMetrics::new(&registry));
    let query_options = QueryOptions {
        is_post: true,
        only_prometheus_params: false,
        restore_step: Duration::from_secs(1),
        restore_ignored_labels: Vec::new(),
        dns_interval: Duration::from_secs(30),
        timeout: Duration::from_secs(60),
    };
    let configs = queriers_of(&[querier(&tsdb).await], &[], Duration::from_secs(300)).unwrap();
    Around {
        options: ManagerOptions {
            rule_files: Vec::new(),
            data_dir: dir.display().to_string(),
            eval_interval: Duration::from_secs(SAMPLE * PER_SLOT as u64),
            query_offset: Duration::ZERO,
            concurrent_evaluations: 1,
            resend_delay,
            for_outage_tolerance: Duration::ZERO,
            for_grace_period: Duration::ZERO,
            external_url: String::new(),
            external_labels: Labels::default(),
            parse: Default::default(),
        },
        external_labels: Arc::default(),
        queriers: Queriers::new(configs, query_options, &registry, metrics.clone()).unwrap(),
        storage: Storage::Local(tsdb),
        queue: AlertQueue::new(AlertLabelling::default(), metrics.clone()),
        generator: Generator::new("", "").unwrap(),
        metrics,
        turns: Semaphore::new(1),
    }
}

/// Plays a case, and compares states and notifications after each evaluation.
async fn check(case: Case, resend_delay: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let around = around(dir.path(), &case, resend_delay).await;
    let config = parse_rules(Path::new("r.yml"), case.rules, &Default::default()).unwrap().remove(0);
    let group = Group::new(config, &around, false);
    let sent: Vec<_> = case.lives.iter().flat_map(|life| life.sent(resend_delay, case.samples)).collect();
    assert!(sent.iter().all(|(sample, _)| sample % PER_SLOT == 0));
    for sample in (0..case.samples).step_by(PER_SLOT) {
        group.evaluate(&around, at(sample)).await;
        let told = group.told(&Labels::default());
        let mut states: Vec<(Labels, AlertState)> = Vec::new();
        for rule in &told.rules {
            assert_eq!((rule.health.as_str(), rule.last_error.as_str()), ("ok", ""), "{}", rule.name);
            let alerts = rule.alerting.iter().flat_map(|alerting| &alerting.alerts);
            states.extend(alerts.map(|alert| (alert.labels.clone(), alert.state)));
        }
        states.sort();
        let lives = case.lives.iter();
        let mut expected: Vec<_> =
            lives.filter_map(|life| Some((life.labels(), life.state(sample)?))).collect();
        expected.sort();
        assert_eq!(states, expected, "sample {sample}");

        let mut found = around.queue.pop().now_or_never().unwrap_or_default();
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        let due = sent.iter().filter(|(at, _)| *at == sample).map(|(_, notification)| notification.clone());
        let mut due: Vec<_> = due.collect();
        due.sort_by(|a, b| a.labels.cmp(&b.labels));
        assert_eq!(found, due, "sample {sample}");
    }
    let recorded = recorded(&around, &group, at((case.samples - 1) / PER_SLOT * PER_SLOT)).await;
    promtool::check(&case, &recorded);
}

/// The series that the recording rules of a group have at a time.
async fn recorded(around: &Around, group: &Group, at: At) -> Vec<SeriesSample> {
    let mut all = Vec::new();
    for rule in group.config.rules.iter().filter(|rule| rule.alert.is_none()) {
        let found = around.queriers.instant(&rule.name, at, crate::Strategy::Abort).await.unwrap();
        assert!(!found.is_empty(), "{}", rule.name);
        all.extend(found);
    }
    all
}

const MINUTE: Duration = Duration::from_secs(60);

fn no_annotations(_: f64) -> Vec<(&'static str, String)> {
    Vec::new()
}

const TWICE: &[(f64, usize)] =
    &[(3.0, 1), (5.0, 3), (9.0, 4), (11.0, 13), (15.0, 32), (19.0, 16), (9.0, 20), (15.0, 45), (8.0, 70)];

#[tokio::test(flavor = "multi_thread")]
async fn pending_then_firing_then_resolved_twice() {
    let labels: &[_] = &[("alertname", "Slow"), ("job", "x"), ("team", "db")];
    let annotations = |value: f64| vec![("text", format!("now {value} or {value}"))];
    let life = |pending, fires, ends, next| Life {
        labels,
        annotations,
        values: TWICE,
        pending,
        fires: Some(fires),
        ends,
        next,
    };
    let case = || Case {
        rules: "groups: [{name: g, rules: [{alert: Slow, expr: 'delay > 10', for: 6m, labels: {team: db}, \
                annotations: {text: 'now {{ $value }} or {{ .Value }}'}}]}]",
        series: vec![(&[("__name__", "delay"), ("job", "x")], TWICE)],
        samples: 204,
        lives: vec![life(8, 32, 69, Some(89)), life(89, 113, 134, None)],
    };
    check(case(), MINUTE).await;
    // Shorter than the interval: sent at every evaluation.
    check(case(), Duration::from_secs(25)).await;
    check(case(), Duration::from_secs(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_pends_and_what_never_holds_is_not_sent() {
    const VALUES: &[(f64, usize)] = &[(3.0, 1), (5.0, 3), (9.0, 4), (11.0, 11), (9.0, 1)];
    let case = Case {
        rules: "groups: [{name: g, rules: [{alert: Brief, expr: 'delay > 10', for: 3m}, \
                {alert: Never, expr: 'delay > 99', for: 3m}]}]",
        series: vec![(&[("__name__", "delay")], VALUES)],
        samples: 60,
        lives: vec![Life {
            labels: &[("alertname", "Brief")],
            annotations: no_annotations,
            values: VALUES,
            pending: 8,
            fires: None,
            ends: 19,
            next: None,
        }],
    };
    check(case, MINUTE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hold_time_and_one_shorter_than_the_interval() {
    const VALUES: &[(f64, usize)] =
        &[(3.0, 1), (5.0, 3), (9.0, 4), (15.0, 13), (9.0, 72), (11.0, 13), (9.0, 1)];
    const ONE: &[(f64, usize)] = &[(1.0, 28), (2.0, 142)];
    const TWO: &[(f64, usize)] = &[(2.0, 28), (4.0, 142)];
    let at_once = |value: f64| {
        let (one, two) = if value == 15.0 { (1, 2) } else { (2, 4) };
        let texts = "1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC";
        vec![("formats", texts.to_owned()), ("query", format!("a: x b, first 1, 1={one};2={two};"))]
    };
    let soon = |_: f64| {
        let texts = "Some Words LOUD quiet. ::1 10.0.0.1. 7815. new text. .";
        vec![("functions", texts.to_owned())]
    };
    let first = |pending, ends, next| Life {
        labels: &[("alertname", "AtOnce"), ("team", "db")],
        annotations: at_once,
        values: VALUES,
        pending,
        fires: Some(pending),
        ends,
        next,
    };
    let case = Case {
        rules: r#"
groups:
- name: g
  rules:
  - alert: AtOnce
    expr: delay > 10
    labels: {team: db}
    annotations:
      formats: '{{humanize 1048576}} {{humanize1024 1048576}} {{humanizeDuration 135.3563}} {{humanizePercentage 0.959}} {{humanizeTimestamp 1643114203}}'
      query: '{{ define "t" }}a: {{.arg0}} {{.arg1}}, {{ with query "helper" }}first {{ . | sortByLabel "id" | first | label "id" }}, {{ range $v := sortByLabel "id" . }}{{ . | label "id" }}={{ . | value }};{{ end }}{{ end }}{{ end }}{{ template "t" (args "x" "b") }}'
  - alert: Soon
    expr: delay > 13
    for: 15s
    annotations:
      functions: '{{title "some words"}} {{toUpper "loud"}} {{toLower "QUIET"}}. {{stripPort "[::1]:80"}} {{stripPort "10.0.0.1:80"}}. {{parseDuration "2h10m15s"}}. {{if match "[0-9]+" "12"}}{{reReplaceAll "o.*d" "new" "old text"}}{{end}}. {{if match "[0-9]+$" "12a"}}WRONG{{end}}.'
"#,
        series: vec![
            (&[("__name__", "delay")], VALUES),
            (&[("__name__", "helper"), ("id", "1")], ONE),
            (&[("__name__", "helper"), ("id", "2")], TWO),
        ],
        samples: 170,
        lives: vec![
            first(8, 21, Some(93)),
            first(93, 106, None),
            Life {
                labels: &[("alertname", "Soon")],
                annotations: soon,
                values: VALUES,
                pending: 8,
                fires: Some(10),
                ends: 21,
                next: None,
            },
        ],
    };
    check(case, MINUTE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_alerts_of_a_rule_and_a_rule_over_them() {
    const ONE: &[(f64, usize)] = &[(1.0, 8), (11.0, 65), (9.0, 21)];
    const TWO: &[(f64, usize)] = &[(1.0, 32), (11.0, 33), (9.0, 21)];
    let of_first = |_: f64| vec![("text", "of $labels: low".to_owned())];
    let of_second = |_: f64| vec![("text", "above Many, of low in 2".to_owned())];
    let many = |labels, values, pending, fires, ends| Life {
        labels,
        annotations: of_first,
        values,
        pending,
        fires: Some(fires),
        ends,
        next: None,
    };
    let case = Case {
        rules: r#"
groups:
- name: g
  rules:
  - alert: Many
    expr: delay > 10
    for: 3m
    labels: {level: high}
    annotations: {text: 'of $labels: {{ $labels.level }}'}
  - alert: Both
    expr: (ALERTS{alertstate="firing", alertname="Many", part="1"} + ignoring(part) ALERTS{alertstate="firing", alertname="Many", part="2"}) == 2
    labels: {level: top, more: 'yes'}
    annotations: {text: 'above {{ $labels.alertname }}, of low in {{ .Value }}'}
"#,
        series: vec![
            (&[("__name__", "delay"), ("level", "low"), ("part", "1")], ONE),
            (&[("__name__", "delay"), ("level", "low"), ("part", "2")], TWO),
        ],
        samples: 140,
        lives: vec![
            many(&[("alertname", "Many"), ("level", "high"), ("part", "1")], ONE, 8, 20, 73),
            many(&[("alertname", "Many"), ("level", "high"), ("part", "2")], TWO, 32, 44, 65),
            Life {
                labels: &[("alertname", "Both"), ("alertstate", "firing"), ("level", "top"), ("more", "yes")],
                annotations: of_second,
                values: TWO,
                pending: 44,
                fires: Some(44),
                ends: 65,
                next: None,
            },
        ],
    };
    check(case, MINUTE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_firing_for_bridges_gaps() {
    const VALUES: &[(f64, usize)] = &[(1.0, 4), (11.0, 20), (9.0, 4), (11.0, 2), (9.0, 60)];
    let case = Case {
        rules: "groups: [{name: g, rules: [{alert: Kept, expr: 'delay > 10', for: 1m, keep_firing_for: 2m}]}]",
        series: vec![(&[("__name__", "delay")], VALUES)],
        samples: 90,
        lives: vec![Life {
            labels: &[("alertname", "Kept")],
            annotations: no_annotations,
            values: VALUES,
            pending: 4,
            fires: Some(8),
            // Eight samples behind the second end.
            ends: 38,
            next: None,
        }],
    };
    check(case, MINUTE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_changes_makes_another_alert() {
    const VALUES: &[(f64, usize)] = &[(11.0, 10), (15.0, 20), (9.0, 70)];
    let life = |labels, pending, ends| Life {
        labels,
        annotations: no_annotations,
        values: VALUES,
        pending,
        fires: Some(pending),
        ends,
        next: None,
    };
    let case = Case {
        rules: "groups: [{name: g, rules: [{alert: Grows, expr: 'delay > 10', \
                labels: {severity: '{{ if gt $value 14.0 }}page{{ else }}ticket{{ end }}'}}]}]",
        series: vec![(&[("__name__", "delay")], VALUES)],
        samples: 100,
        lives: vec![
            life(&[("alertname", "Grows"), ("severity", "ticket")], 0, 10),
            life(&[("alertname", "Grows"), ("severity", "page")], 10, 30),
        ],
    };
    check(case, MINUTE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_series_are_those_of_prometheus() {
    const ONE: &[(f64, usize)] = &[(1.0, 8), (11.0, 20), (40.0, 10), (3.0, 42)];
    const TWO: &[(f64, usize)] = &[(2.5, 32), (1e9, 33), (-7.25, 15)];
    let case = Case {
        rules: r#"
groups:
- name: g
  rules:
  - {record: 'job:m:sum', expr: sum by (job) (m), labels: {level: job}}
  - {record: 'job:m:rate2m', expr: 'sum by (job) (rate(m[2m]))'}
  - {record: 'm:ratio', expr: 'm / ignoring (part) group_left () max by (job) (m)', labels: {part: ''}}
  - {record: 'm:above', expr: 'job:m:sum > bool 10 and on (job) job:m:rate2m'}
  - {record: 'm:quantile', expr: 'quantile_over_time(0.9, m[5m])'}
  - {record: 'm:scalar', expr: 'scalar(count(m)) * 2.5', labels: {instance: fixed}}
  - {record: 'm:renamed', expr: 'label_replace(m, "to", "$1-$1", "part", "(.*)")'}
"#,
        series: vec![
            (&[("__name__", "m"), ("job", "x"), ("part", "1")], ONE),
            (&[("__name__", "m"), ("job", "y"), ("part", "2")], TWO),
        ],
        samples: 80,
        lives: Vec::new(),
    };
    check(case, MINUTE).await;
}
