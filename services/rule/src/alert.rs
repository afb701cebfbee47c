//! What becomes of an alert from evaluation to evaluation. Prometheus `rules/alerting.go`.

use std::collections::BTreeMap;
use std::time::Duration;

use tithon_index::{Labels, METRIC_NAME};
use tithon_storeapi::AlertState;

use crate::at::nanos;
use crate::series::is_stale;
use crate::{AlertConfig, At, Number, RuleConfig, RuleError, SeriesSample};

/// An alert of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The state.
    pub state: AlertState,
    /// The labels, which identify the alert.
    pub labels: Labels,
    /// The annotations.
    pub annotations: Labels,
    /// The value of the expression when it was last seen.
    pub value: f64,
    /// Since when the expression holds.
    pub active_at: At,
    /// When it began to fire.
    pub fired_at: Option<At>,
    /// When it was resolved.
    pub resolved_at: Option<At>,
    /// When it was last handed to the notifier.
    pub last_sent_at: Option<At>,
    /// Until when receivers may think that it fires.
    pub valid_until: Option<At>,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since: Option<At>,
}

/// An alert that an expression gives now, its texts expanded.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) value: f64,
}

/// The alerts of a rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alerts {
    pub(crate) active: BTreeMap<Labels, Alert>,
    /// Whether `ALERTS` and its companion are written: not before the state of an earlier process was looked for.
    pub(crate) is_restored: bool,
}

/// Resolved alerts are sent on for so long.
const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);

impl Alerts {
    /// Takes over what an evaluation at `slot` found, and gives the samples to write, which are `query_offset` earlier.
    pub(crate) fn evaluate(
        &mut self,
        rule: &RuleConfig,
        config: &AlertConfig,
        found: Vec<Found>,
        slot: At,
        query_offset: Duration,
        limit: u64,
    ) -> Result<Vec<SeriesSample>, RuleError> {
        let mut holds: BTreeMap<Labels, Found> = BTreeMap::new();
        for one in found {
            if holds.insert(one.labels.clone(), one).is_some() {
                return Err(RuleError::SameAlert);
            }
        }
        for (labels, found) in &holds {
            match self.active.get_mut(labels).filter(|alert| alert.state != AlertState::Inactive) {
                Some(alert) => {
                    (alert.value, alert.annotations) = (found.value, found.annotations.clone());
                }
                None => _ = self.active.insert(labels.clone(), Alert::pending(found, slot)),
            }
        }
        let (mut samples, mut active, at_ms) = (Vec::new(), 0, slot.before(query_offset).millis());
        self.active.retain(|labels, alert| {
            let (is_kept, is_active) = alert.step(holds.contains_key(labels), config, slot);
            if is_active {
                active += 1;
                if self.is_restored {
                    samples.extend(alert.samples(rule, at_ms));
                }
            }
            is_kept
        });
        if limit > 0 && active as u64 > limit {
            self.active.clear();
            return Err(RuleError::AlertLimit { limit, found: active });
        }
        Ok(samples)
    }

    /// The most advanced state of all alerts.
    pub(crate) fn state(&self) -> AlertState {
        self.active.values().map(|alert| alert.state).max().unwrap_or_default().max(AlertState::Inactive)
    }

    /// The alerts to hand to the notifier, marked as sent.
    pub(crate) fn mark_due(&mut self, slot: At, resend_delay: Duration, interval: Duration) -> Vec<Alert> {
        let mut out = Vec::new();
        for alert in self.active.values_mut().filter(|alert| alert.needs_sending(slot, resend_delay)) {
            alert.last_sent_at = Some(slot);
            // Receivers are to think so until two evaluations or sends have failed.
            alert.valid_until = Some(slot.after(interval.max(resend_delay).saturating_mul(4)));
            out.push(alert.clone());
        }
        out
    }

    /// Sets the beginnings of alerts back to what an earlier process knew, told by the last sample of each `ALERTS_FOR_STATE`.
    pub(crate) fn restore(&mut self, last: &[SeriesSample], hold: Duration, now: At, grace: Duration) {
        let by_labels: BTreeMap<Labels, &SeriesSample> = last
            .iter()
            .map(|sample| (sample.labels.to_builder().remove(METRIC_NAME).finish(), sample))
            .collect();
        for (labels, alert) in &mut self.active {
            let Some(sample) = by_labels.get(labels) else { continue };
            let Number::Float(value) = sample.value else { continue };
            if !is_stale(value) {
                let down_at = At(sample.at_ms.div_euclid(1000).saturating_mul(1_000_000_000));
                alert.active_at = restored(value, down_at, hold, now, grace);
            }
        }
        self.is_restored = true;
    }
}

/// Since when an alert holds, that held since `value` (seconds) when it was last written.
fn restored(value: f64, down_at: At, hold: Duration, now: At, grace: Duration) -> At {
    let active_at = At((value as i64).saturating_mul(1_000_000_000));
    let remaining = nanos(hold).saturating_sub(down_at.nanos_since(active_at));
    if remaining <= 0 {
        active_at
    } else if remaining < nanos(grace) {
        now.after(grace).before(hold)
    } else {
        At(active_at.0.saturating_add(now.nanos_since(down_at)))
    }
}

impl Alert {
    fn pending(found: &Found, slot: At) -> Alert {
        Alert {
            state: AlertState::Pending,
            labels: found.labels.clone(),
            annotations: found.annotations.clone(),
            value: found.value,
            active_at: slot,
            fired_at: None,
            resolved_at: None,
            last_sent_at: None,
            valid_until: None,
            keep_firing_since: None,
        }
    }

    /// One evaluation further. Tells whether the alert is kept, and whether it is pending or firing.
    fn step(&mut self, holds: bool, config: &AlertConfig, slot: At) -> (bool, bool) {
        let mut is_kept = true;
        if holds {
            self.keep_firing_since = None;
        } else {
            let mut keeps_firing = false;
            if self.state == AlertState::Firing && !config.keep_firing.is_zero() {
                let since = *self.keep_firing_since.get_or_insert(slot);
                keeps_firing = slot.nanos_since(since) < nanos(config.keep_firing);
            }
            let is_old = |at: At| slot.nanos_since(at) > nanos(RESOLVED_RETENTION);
            is_kept = self.state != AlertState::Pending && !self.resolved_at.is_some_and(is_old);
            if self.state != AlertState::Inactive && !keeps_firing {
                self.state = AlertState::Inactive;
                self.resolved_at = Some(slot);
            }
            if !keeps_firing {
                return (is_kept, false);
            }
        }
        let has_held = slot.nanos_since(self.active_at) >= nanos(config.hold);
        if self.state == AlertState::Pending && has_held {
            self.state = AlertState::Firing;
            self.fired_at = Some(slot);
        }
        // The rule may ask for more than before.
        if self.state == AlertState::Firing && !has_held {
            self.state = AlertState::Pending;
            (self.fired_at, self.last_sent_at, self.keep_firing_since) = (None, None, None);
        }
        (is_kept, true)
    }

    fn needs_sending(&self, slot: At, resend_delay: Duration) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        if self.resolved_at.is_some() && self.resolved_at > self.last_sent_at {
            return true;
        }
        self.last_sent_at.is_none_or(|last| last.after(resend_delay) < slot)
    }

    /// `ALERTS` and `ALERTS_FOR_STATE`.
    fn samples(&self, rule: &RuleConfig, at_ms: i64) -> [SeriesSample; 2] {
        let mut builder = rule.labels.to_builder();
        for (name, value) in self.labels.iter() {
            builder.set(name, value);
        }
        builder.set(b"alertname", rule.name.as_bytes()).set(METRIC_NAME, b"ALERTS_FOR_STATE");
        let for_state = builder.finish();
        builder.set(METRIC_NAME, b"ALERTS").set(b"alertstate", self.state.as_str().as_bytes());
        let sample = |labels, value| SeriesSample { labels, at_ms, value: Number::Float(value) };
        [sample(builder.finish(), 1.0), sample(for_state, self.active_at.seconds() as f64)]
    }
}

#[cfg(test)]
mod tests;
