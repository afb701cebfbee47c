//! Scrape targets. Thanos `pkg/targets/targetspb/rpc.proto`.

use tithon_index::Labels;
use tithon_proto::label_set;
use tithon_proto::thanos::{self, targets_request::State};

use super::Moment;
use super::rules::{aborts, labels, moment, strategy};

/// A request for targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetsRequest {
    /// State of the targets; `None` for both states.
    pub state: Option<TargetState>,
    /// Whether a failure costs only a warning.
    pub partial_response: bool,
}

/// Whether a target is scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// The target is scraped.
    Active,
    /// Relabelling dropped the target.
    Dropped,
}

/// Active and dropped targets of a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetsByState {
    /// The targets that are scraped.
    pub active: Vec<ActiveTarget>,
    /// The discovered labels of targets that relabelling dropped.
    pub dropped: Vec<Labels>,
}

/// A target that is scraped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveTarget {
    /// Labels before relabelling.
    pub discovered_labels: Labels,
    /// Labels after relabelling.
    pub labels: Labels,
    /// Name of the scrape configuration.
    pub scrape_pool: String,
    /// URL that is scraped.
    pub scrape_url: String,
    /// The scrape URL as reached from other hosts.
    pub global_url: String,
    /// Error of the last scrape; empty if it succeeded.
    pub last_error: String,
    /// Time of the last scrape.
    pub last_scrape: Moment,
    /// Duration of the last scrape in seconds.
    pub last_scrape_seconds: f64,
    /// Result of the last scrape.
    pub health: TargetHealth,
}

/// Result of the last scrape of a target. When replicas disagree, the first of these counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetHealth {
    /// The scrape failed.
    #[default]
    Down,
    /// The scrape succeeded.
    Up,
    /// The target was not scraped yet.
    Unknown,
}

impl TargetHealth {
    /// The value of `health` in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetHealth::Down => "down",
            TargetHealth::Up => "up",
            TargetHealth::Unknown => "unknown",
        }
    }
}

impl TargetsRequest {
    pub(super) fn into_wire(self) -> thanos::TargetsRequest {
        let state = match self.state {
            None => State::Any,
            Some(TargetState::Active) => State::Active,
            Some(TargetState::Dropped) => State::Dropped,
        };
        thanos::TargetsRequest {
            state: state.into(),
            partial_response_strategy: strategy(!self.partial_response),
        }
    }

    pub(super) fn from_wire(wire: &thanos::TargetsRequest) -> TargetsRequest {
        let state = match wire.state() {
            State::Any => None,
            State::Active => Some(TargetState::Active),
            State::Dropped => Some(TargetState::Dropped),
        };
        TargetsRequest { state, partial_response: !aborts(wire.partial_response_strategy) }
    }
}

impl TargetsByState {
    pub(super) fn from_wire(wire: thanos::TargetDiscovery) -> TargetsByState {
        let dropped = wire.dropped_targets.into_iter().map(|target| labels(target.discovered_labels));
        TargetsByState {
            active: wire.active_targets.into_iter().map(ActiveTarget::from_wire).collect(),
            dropped: dropped.collect(),
        }
    }

    pub(super) fn into_wire(self) -> thanos::TargetDiscovery {
        let dropped = self.dropped.iter().map(|set| Some(label_set(set)));
        thanos::TargetDiscovery {
            active_targets: self.active.into_iter().map(ActiveTarget::into_wire).collect(),
            dropped_targets: dropped
                .map(|discovered_labels| thanos::DroppedTarget { discovered_labels })
                .collect(),
        }
    }
}

impl ActiveTarget {
    fn from_wire(wire: thanos::ActiveTarget) -> ActiveTarget {
        let health = match wire.health() {
            thanos::TargetHealth::Down => TargetHealth::Down,
            thanos::TargetHealth::Up => TargetHealth::Up,
            thanos::TargetHealth::HealthUnknown => TargetHealth::Unknown,
        };
        ActiveTarget {
            discovered_labels: labels(wire.discovered_labels),
            labels: labels(wire.labels),
            scrape_pool: wire.scrape_pool,
            scrape_url: wire.scrape_url,
            global_url: wire.global_url,
            last_error: wire.last_error,
            last_scrape: moment(wire.last_scrape.as_ref()),
            last_scrape_seconds: wire.last_scrape_duration,
            health,
        }
    }

    fn into_wire(self) -> thanos::ActiveTarget {
        let health = match self.health {
            TargetHealth::Down => thanos::TargetHealth::Down,
            TargetHealth::Up => thanos::TargetHealth::Up,
            TargetHealth::Unknown => thanos::TargetHealth::HealthUnknown,
        };
        thanos::ActiveTarget {
            discovered_labels: Some(label_set(&self.discovered_labels)),
            labels: Some(label_set(&self.labels)),
            scrape_pool: self.scrape_pool,
            scrape_url: self.scrape_url,
            global_url: self.global_url,
            last_error: self.last_error,
            last_scrape: Some(self.last_scrape.to_wire()),
            last_scrape_duration: self.last_scrape_seconds,
            health: health.into(),
        }
    }
}
