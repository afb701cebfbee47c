//! The life of alerts by a simulated clock.

use std::path::Path;

use super::*;
use crate::parse_rules;

const START: At = At(1_700_000_000_000_000_000);

fn rule(extra: &str) -> RuleConfig {
    let text = format!(
        "groups: [{{name: g, rules: [{{alert: Down, expr: up, labels: {{team: '{{{{ $value }}}}'}}, {extra}}}]}}]"
    );
    let mut groups = parse_rules(Path::new("r.yml"), &text, &Default::default()).unwrap();
    groups.remove(0).rules.remove(0)
}

/// A rule with its alerts, which holds for the instances that are named.
struct Sim {
    rule: RuleConfig,
    alerts: Alerts,
    interval: Duration,
}

impl Sim {
    fn new(extra: &str) -> Sim {
        let alerts = Alerts { is_restored: true, ..Alerts::default() };
        Sim { rule: rule(extra), alerts, interval: Duration::from_secs(60) }
    }

    fn at(&mut self, minute: u64, holds: &[&str], limit: u64) -> Result<Vec<SeriesSample>, RuleError> {
        let found = holds.iter().map(|instance| Found {
            labels: Labels::from_pairs([("alertname", "Down"), ("instance", instance), ("team", "db")]),
            annotations: Labels::from_pairs([("minute", minute.to_string())]),
            value: minute as f64,
        });
        let config = self.rule.alert.clone().unwrap();
        let slot = START.after(Duration::from_secs(60 * minute));
        self.alerts.evaluate(&self.rule, &config, found.collect(), slot, Duration::ZERO, limit)
    }

    /// State of each alert, and which are sent.
    fn step(&mut self, minute: u64, holds: &[&str]) -> (Vec<(String, AlertState)>, Vec<String>) {
        self.at(minute, holds, 0).unwrap();
        let name = |alert: &Alert| String::from_utf8(alert.labels.get("instance").unwrap().to_vec()).unwrap();
        let states = self.alerts.active.values().map(|alert| (name(alert), alert.state)).collect();
        let slot = START.after(Duration::from_secs(60 * minute));
        let sent = self.alerts.mark_due(slot, Duration::from_secs(120), self.interval);
        (states, sent.iter().map(|alert| format!("{} {}", name(alert), alert.state.as_str())).collect())
    }
}

use AlertState::{Firing, Inactive, Pending};

fn check(sim: &mut Sim, minute: u64, holds: &[&str], states: &[(&str, AlertState)], sent: &[&str]) {
    let (found, told) = sim.step(minute, holds);
    let expected: Vec<(String, AlertState)> =
        states.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect();
    assert_eq!(found, expected, "minute {minute}");
    assert_eq!(told, sent, "minute {minute}");
}

#[test]
fn pending_firing_resolved() {
    let mut sim = Sim::new("for: 2m");
    check(&mut sim, 0, &["a", "b"], &[("a", Pending), ("b", Pending)], &[]);
    check(&mut sim, 1, &["a"], &[("a", Pending)], &[]);
    check(&mut sim, 2, &["a"], &[("a", Firing)], &["a firing"]);
    check(&mut sim, 3, &["a"], &[("a", Firing)], &[]);
    check(&mut sim, 4, &["a"], &[("a", Firing)], &[]);
    check(&mut sim, 5, &["a"], &[("a", Firing)], &["a firing"]);
    check(&mut sim, 6, &[], &[("a", Inactive)], &["a inactive"]);
    let alert = sim.alerts.active.values().next().unwrap();
    let at = |minute: u64| START.after(Duration::from_secs(60 * minute));
    assert_eq!((alert.active_at, alert.fired_at, alert.resolved_at), (at(0), Some(at(2)), Some(at(6))));
    assert_eq!(alert.valid_until, Some(at(14)));
    check(&mut sim, 9, &[], &[("a", Inactive)], &["a inactive"]);
    check(&mut sim, 21, &[], &[("a", Inactive)], &["a inactive"]);
    check(&mut sim, 22, &[], &[], &[]);
    check(&mut sim, 23, &["a"], &[("a", Pending)], &[]);
}

#[test]
fn an_alert_that_returns_begins_anew() {
    let mut sim = Sim::new("for: 0s");
    check(&mut sim, 0, &["a"], &[("a", Firing)], &["a firing"]);
    check(&mut sim, 1, &[], &[("a", Inactive)], &["a inactive"]);
    check(&mut sim, 2, &["a"], &[("a", Firing)], &["a firing"]);
    let alert = sim.alerts.active.values().next().unwrap();
    assert_eq!(alert.active_at, START.after(Duration::from_secs(120)));
    assert_eq!(alert.resolved_at, None);
}

#[test]
fn keep_firing_for_holds_on() {
    let mut sim = Sim::new("keep_firing_for: 3m");
    check(&mut sim, 0, &["a"], &[("a", Firing)], &["a firing"]);
    check(&mut sim, 1, &[], &[("a", Firing)], &[]);
    check(&mut sim, 2, &["a"], &[("a", Firing)], &[]);
    check(&mut sim, 3, &[], &[("a", Firing)], &["a firing"]);
    check(&mut sim, 5, &[], &[("a", Firing)], &[]);
    check(&mut sim, 6, &[], &[("a", Inactive)], &["a inactive"]);
}

#[test]
fn series_of_alerts() {
    let mut sim = Sim::new("for: 1m");
    let samples = sim.at(0, &["a"], 0).unwrap();
    let labels = |pairs: &[(&str, &str)]| {
        let own = [("alertname", "Down"), ("instance", "a"), ("team", "db")];
        Labels::from_pairs(own.iter().chain(pairs).copied())
    };
    let expected = [
        (labels(&[("__name__", "ALERTS"), ("alertstate", "pending")]), 1.0),
        (labels(&[("__name__", "ALERTS_FOR_STATE")]), 1_700_000_000.0),
    ];
    for (sample, (labels, value)) in samples.iter().zip(expected) {
        assert_eq!((&sample.labels, &sample.value), (&labels, &Number::Float(value)));
        assert_eq!(sample.at_ms, 1_700_000_000_000);
    }
    assert_eq!(sim.at(1, &["a"], 0).unwrap()[0].labels.get("alertstate"), Some(&b"firing"[..]));
    sim.alerts.is_restored = false;
    assert_eq!(sim.at(2, &["a"], 0).unwrap(), []);
    assert!(matches!(sim.at(3, &["a", "a"], 0), Err(RuleError::SameAlert)));
    assert!(matches!(sim.at(3, &["a", "b"], 1), Err(RuleError::AlertLimit { limit: 1, found: 2 })));
    assert!(sim.alerts.active.is_empty());
}

#[test]
fn the_time_spent_pending_is_restored() {
    // Seconds: hold, grace, active since, last written, now; expected beginning. Times are relative to START.
    for (hold, grace, since, written, now, expected) in [
        // It fired already.
        (600, 100, -1000, -300, 0, -1000),
        // The rest is shorter than the grace period.
        (600, 300, -800, -300, 0, -300),
        // The time without a ruler does not count.
        (600, 100, -500, -300, 0, -200),
    ] {
        let mut sim = Sim::new(&format!("for: {hold}s"));
        sim.at(0, &["a"], 0).unwrap();
        let at = |seconds: i64| At(START.0 + seconds * 1_000_000_000);
        let labels =
            [("__name__", "ALERTS_FOR_STATE"), ("alertname", "Down"), ("instance", "a"), ("team", "db")];
        let sample = |value| SeriesSample {
            labels: Labels::from_pairs(labels),
            at_ms: at(written).millis(),
            value: Number::Float(value),
        };
        let hold = Duration::from_secs(hold);
        let stale = SeriesSample::stale(Labels::from_pairs(labels), at(written).millis());
        sim.alerts.restore(&[stale], hold, at(now), Duration::from_secs(grace));
        assert_eq!(sim.alerts.active.values().next().unwrap().active_at, START, "a stale one is none");
        let value = at(since).seconds() as f64;
        sim.alerts.restore(&[sample(value)], hold, at(now), Duration::from_secs(grace));
        assert_eq!(sim.alerts.active.values().next().unwrap().active_at, at(expected));
    }
}
