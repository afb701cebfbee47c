//! Rules and the alerts that they raise. Thanos `pkg/rules/rulespb/rpc.proto`.

use tithon_index::{Labels, Matcher};
use tithon_proto::thanos::{self, rule, rules_request::Type};
use tithon_proto::{label_set, labels_from_wire};

use super::Moment;

/// A request for rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RulesRequest {
    /// Kind of the rules; `None` for both kinds.
    pub kind: Option<RuleKind>,
    /// Whether a failure costs only a warning.
    pub partial_response: bool,
}

/// The kind of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleKind {
    /// The rule raises alerts.
    Alerting,
    /// The rule records new series.
    Recording,
}

/// Rules that are evaluated one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleGroup {
    /// Name of the group, unique in its file.
    pub name: String,
    /// File that defines the group.
    pub file: String,
    /// The rules in the order of evaluation.
    pub rules: Vec<Rule>,
    /// Time between two evaluations, in seconds.
    pub interval: f64,
    /// Duration of the last evaluation in seconds.
    pub evaluation_seconds: f64,
    /// Time of the last evaluation.
    pub last_evaluation: Moment,
    /// Largest number of alerts or series of a rule; 0 means no limit.
    pub limit: i64,
    /// Whether an evaluation fails when a store does.
    pub aborts: bool,
}

/// A rule and the result of its last evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Name of the alert, or of the recorded metric.
    pub name: String,
    /// PromQL expression of the rule.
    pub query: String,
    /// Labels that are added to its alerts or series.
    pub labels: Labels,
    /// Result of the last evaluation: `ok`, `err` or `unknown`.
    pub health: String,
    /// Error of the last evaluation; empty if there was none.
    pub last_error: String,
    /// Duration of the last evaluation in seconds.
    pub evaluation_seconds: f64,
    /// Time of the last evaluation.
    pub last_evaluation: Moment,
    /// The fields of an alerting rule; `None` for a recording rule.
    pub alerting: Option<Alerting>,
}

impl Rule {
    /// The kind of the rule.
    pub fn kind(&self) -> RuleKind {
        if self.alerting.is_some() { RuleKind::Alerting } else { RuleKind::Recording }
    }

    /// Whether all matchers accept its labels. A label whose value is a template counts as missing.
    pub fn is_selected(&self, matchers: &[Matcher]) -> bool {
        let is_template = |value: &[u8]| value.windows(2).any(|pair| pair == b"{{");
        let value = |m: &Matcher| self.labels.get(m.name()).filter(|value| !is_template(value));
        matchers.iter().all(|m| m.matches(value(m).unwrap_or_default()))
    }
}

/// The fields that only alerting rules have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alerting {
    /// State of its most advanced alert.
    pub state: AlertState,
    /// How long the expression must hold before an alert fires, in seconds.
    pub duration: f64,
    /// How long an alert keeps firing after the expression stopped to hold, in seconds.
    pub keep_firing_for: f64,
    /// Annotations of its alerts.
    pub annotations: Labels,
    /// The active alerts.
    pub alerts: Vec<ActiveAlert>,
}

/// State of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// The rule was not evaluated yet.
    #[default]
    Unknown,
    /// The expression does not hold.
    Inactive,
    /// The expression holds, but not for long enough yet.
    Pending,
    /// The expression has held for long enough.
    Firing,
}

/// An active alert.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveAlert {
    /// Labels that identify the alert.
    pub labels: Labels,
    /// Annotations of the alert.
    pub annotations: Labels,
    /// State of the alert.
    pub state: AlertState,
    /// Time since which the expression holds.
    pub active_at: Option<Moment>,
    /// Value of the expression.
    pub value: String,
    /// Whether an evaluation fails when a store does.
    pub aborts: bool,
}

impl RulesRequest {
    pub(super) fn into_wire(self) -> thanos::RulesRequest {
        let kind = match self.kind {
            None => Type::All,
            Some(RuleKind::Alerting) => Type::Alert,
            Some(RuleKind::Recording) => Type::Record,
        };
        thanos::RulesRequest {
            r#type: kind.into(),
            partial_response_strategy: strategy(!self.partial_response),
            ..thanos::RulesRequest::default()
        }
    }

    /// The wire request's other filters are applied by the querier that received it from a user.
    pub(super) fn from_wire(wire: &thanos::RulesRequest) -> RulesRequest {
        let kind = match wire.r#type() {
            Type::All => None,
            Type::Alert => Some(RuleKind::Alerting),
            Type::Record => Some(RuleKind::Recording),
        };
        RulesRequest { kind, partial_response: !aborts(wire.partial_response_strategy) }
    }
}

/// The partial response strategy as a wire value.
pub(super) fn strategy(aborts: bool) -> i32 {
    use thanos::PartialResponseStrategy::{Abort, Warn};
    i32::from(if aborts { Abort } else { Warn })
}

/// Whether a wire value is the strategy ABORT.
pub(super) fn aborts(strategy: i32) -> bool {
    strategy == i32::from(thanos::PartialResponseStrategy::Abort)
}

impl RuleGroup {
    pub(super) fn from_wire(wire: thanos::RuleGroup) -> RuleGroup {
        RuleGroup {
            rules: wire.rules.into_iter().filter_map(Rule::from_wire).collect(),
            interval: wire.interval,
            evaluation_seconds: wire.evaluation_duration_seconds,
            last_evaluation: moment(wire.last_evaluation.as_ref()),
            limit: wire.limit,
            aborts: aborts(wire.partial_response_strategy),
            name: wire.name,
            file: wire.file,
        }
    }

    pub(super) fn into_wire(self) -> thanos::RuleGroup {
        thanos::RuleGroup {
            rules: self.rules.into_iter().map(Rule::into_wire).collect(),
            interval: self.interval,
            evaluation_duration_seconds: self.evaluation_seconds,
            last_evaluation: Some(self.last_evaluation.to_wire()),
            partial_response_strategy: strategy(self.aborts),
            limit: self.limit,
            name: self.name,
            file: self.file,
        }
    }
}

impl Rule {
    fn from_wire(wire: thanos::Rule) -> Option<Rule> {
        Some(match wire.result? {
            rule::Result::Recording(rule) => Rule {
                name: rule.name,
                query: rule.query,
                labels: labels(rule.labels),
                health: rule.health,
                last_error: rule.last_error,
                evaluation_seconds: rule.evaluation_duration_seconds,
                last_evaluation: moment(rule.last_evaluation.as_ref()),
                alerting: None,
            },
            rule::Result::Alert(rule) => Rule {
                alerting: Some(Alerting {
                    state: AlertState::from_wire(rule.state()),
                    duration: rule.duration_seconds,
                    keep_firing_for: rule.keep_firing_for_seconds,
                    annotations: labels(rule.annotations),
                    alerts: rule.alerts.into_iter().map(ActiveAlert::from_wire).collect(),
                }),
                name: rule.name,
                query: rule.query,
                labels: labels(rule.labels),
                health: rule.health,
                last_error: rule.last_error,
                evaluation_seconds: rule.evaluation_duration_seconds,
                last_evaluation: moment(rule.last_evaluation.as_ref()),
            },
        })
    }

    fn into_wire(self) -> thanos::Rule {
        let last_evaluation = Some(self.last_evaluation.to_wire());
        let result = match self.alerting {
            None => rule::Result::Recording(thanos::RecordingRule {
                name: self.name,
                query: self.query,
                labels: Some(label_set(&self.labels)),
                health: self.health,
                last_error: self.last_error,
                evaluation_duration_seconds: self.evaluation_seconds,
                last_evaluation,
            }),
            Some(alerting) => rule::Result::Alert(thanos::Alert {
                state: alerting.state.to_wire().into(),
                name: self.name,
                query: self.query,
                duration_seconds: alerting.duration,
                labels: Some(label_set(&self.labels)),
                annotations: Some(label_set(&alerting.annotations)),
                alerts: alerting.alerts.into_iter().map(ActiveAlert::into_wire).collect(),
                health: self.health,
                last_error: self.last_error,
                evaluation_duration_seconds: self.evaluation_seconds,
                last_evaluation,
                keep_firing_for_seconds: alerting.keep_firing_for,
            }),
        };
        thanos::Rule { result: Some(result) }
    }
}

impl ActiveAlert {
    fn from_wire(wire: thanos::AlertInstance) -> ActiveAlert {
        ActiveAlert {
            state: AlertState::from_wire(wire.state()),
            aborts: aborts(wire.partial_response_strategy),
            labels: labels(wire.labels),
            annotations: labels(wire.annotations),
            active_at: wire.active_at.as_ref().map(Moment::from_wire),
            value: wire.value,
        }
    }

    fn into_wire(self) -> thanos::AlertInstance {
        thanos::AlertInstance {
            labels: Some(label_set(&self.labels)),
            annotations: Some(label_set(&self.annotations)),
            state: self.state.to_wire().into(),
            active_at: self.active_at.map(Moment::to_wire),
            value: self.value,
            partial_response_strategy: strategy(self.aborts),
        }
    }
}

impl AlertState {
    /// The state's name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }

    fn from_wire(wire: thanos::AlertState) -> AlertState {
        match wire {
            thanos::AlertState::Unknown => AlertState::Unknown,
            thanos::AlertState::Inactive => AlertState::Inactive,
            thanos::AlertState::Pending => AlertState::Pending,
            thanos::AlertState::Firing => AlertState::Firing,
        }
    }

    fn to_wire(self) -> thanos::AlertState {
        match self {
            AlertState::Unknown => thanos::AlertState::Unknown,
            AlertState::Inactive => thanos::AlertState::Inactive,
            AlertState::Pending => thanos::AlertState::Pending,
            AlertState::Firing => thanos::AlertState::Firing,
        }
    }
}

pub(super) fn labels(wire: Option<thanos::LabelSet>) -> Labels {
    labels_from_wire(&wire.unwrap_or_default().labels)
}

pub(super) fn moment(wire: Option<&prost_types::Timestamp>) -> Moment {
    wire.map(Moment::from_wire).unwrap_or_default()
}
