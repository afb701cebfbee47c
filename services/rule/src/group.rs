//! A group that is evaluated again and again. Prometheus `rules/group.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tithon_index::{Labels, METRIC_NAME, MatchOp, Matcher};
use tithon_storeapi::{ActiveAlert, AlertState, Alerting, Rule as ToldRule, RuleGroup as ToldGroup};
use tithon_tsdb::Refused;
use tracing::{debug, error, warn};

use crate::alert::{Alerts, Found};
use crate::around::Around;
use crate::depend::batches;
use crate::metrics::GroupLabels;
use crate::series::recorded;
use crate::slot::{Slots, evaluated_path};
use crate::{
    AlertConfig, Answers, At, Data, Expansion, GroupConfig, Number, RuleConfig, RuleError, Sample,
    SeriesSample, Surroundings, Template,
};

/// A group with what is known of its rules.
pub(crate) struct Group {
    pub(crate) config: GroupConfig,
    pub(crate) interval: Duration,
    query_offset: Duration,
    pub(crate) slots: Slots,
    pub(crate) labels: GroupLabels,
    batches: Vec<Vec<usize>>,
    state: Mutex<State>,
}

/// What changes from evaluation to evaluation.
#[derive(Default)]
struct State {
    rules: Vec<RuleState>,
    /// Series of rules that are gone, whose ends are to be written.
    gone: Vec<Labels>,
    evaluation: Option<(At, Duration)>,
}

#[derive(Default)]
struct RuleState {
    alerts: Alerts,
    /// The series that were written last.
    series: BTreeSet<Labels>,
    /// When the rule was last evaluated, and how long that took.
    evaluation: Option<(At, Duration)>,
    /// Why that failed; `None` when it went well.
    failure: Option<String>,
}

impl Group {
    /// A group; `restores` says that alerts of an earlier process are to be looked for.
    pub(crate) fn new(config: GroupConfig, around: &Around, restores: bool) -> Group {
        let options = &around.options;
        let interval = config.interval.unwrap_or(options.eval_interval);
        let path = evaluated_path(&options.data_dir, &config);
        let labels =
            GroupLabels { strategy: config.strategy.lower(), rule_group: format!("{path};{}", config.name) };
        let rule = |_: &RuleConfig| {
            let alerts = Alerts { is_restored: !restores, ..Alerts::default() };
            RuleState { alerts, ..RuleState::default() }
        };
        let state = State { rules: config.rules.iter().map(rule).collect(), ..State::default() };
        Group {
            interval,
            query_offset: config.query_offset.unwrap_or(options.query_offset),
            slots: Slots::new(&config.name, &path, interval),
            batches: match options.concurrent_evaluations > 1 {
                true => batches(&config.rules),
                false => (0..config.rules.len()).map(|rule| vec![rule]).collect(),
            },
            labels,
            state: Mutex::new(state),
            config,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evaluates all rules for a slot.
    pub(crate) async fn evaluate(&self, around: &Around, slot: At) {
        let (begun, begun_at) = (Instant::now(), At::now());
        let mut n_samples = 0;
        for batch in &self.batches {
            let one = |rule: &usize| self.evaluate_rule(around, *rule, slot);
            n_samples += join_all(batch.iter().map(one)).await.into_iter().sum::<usize>();
        }
        self.end_series_of_gone_rules(around, slot);
        let took = begun.elapsed();
        let metrics = &around.metrics;
        metrics.iterations.get_or_create(&self.labels).inc();
        metrics.samples.get_or_create(&self.labels).set(i64::try_from(n_samples).unwrap_or(i64::MAX));
        metrics.last_duration.get_or_create(&self.labels).set(took.as_secs_f64());
        metrics.last_evaluation.get_or_create(&self.labels).set(begun_at.0 as f64 / 1e9);
        metrics
            .group_seconds
            .get_or_create(&[("strategy", self.labels.strategy)])
            .observe(took.as_secs_f64());
        let mut state = self.lock();
        state.evaluation = Some((begun_at, took));
        let sum: Duration = state.rules.iter().filter_map(|rule| Some(rule.evaluation?.1)).sum();
        metrics.last_rules_duration.get_or_create(&self.labels).set(sum.as_secs_f64());
    }

    /// Evaluates a rule, and gives the number of samples that it made.
    async fn evaluate_rule(&self, around: &Around, i: usize, slot: At) -> usize {
        let _turn = around.turns.acquire().await;
        let (begun, begun_at, rule) = (Instant::now(), At::now(), &self.config.rules[i]);
        let metrics = &around.metrics;
        metrics.evaluations.get_or_create(&self.labels).inc();
        let result = match self.samples_of(around, i, slot).await {
            Ok(samples) => self.store(around, i, &samples, slot).map(|refused| (samples.len(), refused)),
            Err(error) => Err(error),
        };
        let took = begun.elapsed();
        metrics.rule_seconds.get_or_create(&[("strategy", self.labels.strategy)]).observe(took.as_secs_f64());
        if let Err(error) = &result {
            metrics.failures.get_or_create(&self.labels).inc();
            let (group, file) = (&self.config.name, self.config.file.display());
            warn!(%file, group, rule = rule.name, index = i, %error, "evaluating rule failed");
        }
        let state = &mut self.lock().rules[i];
        state.evaluation = Some((begun_at, took));
        // A refused sample is told of, though the evaluation counts as one that went well, as upstream.
        state.failure = match &result {
            Ok((_, refused)) => refused.last().map(|refused| refused.reason.to_string()),
            Err(error) => Some(error.to_string()),
        };
        result.map_or(0, |(n_samples, _)| n_samples)
    }

    /// Evaluates the expression of a rule; alerts are handed on.
    async fn samples_of(&self, around: &Around, i: usize, slot: At) -> Result<Vec<SeriesSample>, RuleError> {
        let (rule, at) = (&self.config.rules[i], slot.before(self.query_offset));
        let found = around.queriers.instant(&rule.query, at, self.config.strategy).await?;
        let Some(alert) = &rule.alert else {
            return recorded(rule, found, self.config.limit);
        };
        let mut alerts = Vec::with_capacity(found.len());
        for sample in found {
            alerts.push(self.expanded(around, rule, alert, sample, slot).await);
        }
        let (samples, to_send) = {
            let state = &mut self.lock().rules[i];
            let (offset, limit) = (self.query_offset, self.config.limit);
            let samples = state.alerts.evaluate(rule, alert, alerts, slot, offset, limit)?;
            (samples, state.alerts.mark_due(slot, around.options.resend_delay, self.interval))
        };
        if !to_send.is_empty() {
            around.queue.push(around.generator.notifications(&rule.query, to_send));
        }
        Ok(samples)
    }

    /// The labels and annotations of an alert.
    async fn expanded(
        &self,
        around: &Around,
        rule: &RuleConfig,
        config: &AlertConfig,
        sample: SeriesSample,
        slot: At,
    ) -> Found {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pairs = sample.labels.iter().map(|(name, value)| (text(name), text(value)));
        let data = Data {
            labels: Arc::new(pairs.collect()),
            external_labels: Arc::clone(&around.external_labels),
            external_url: around.options.external_url.clone(),
            value: sample.value.clone(),
        };
        let mut labels = sample.labels.to_builder();
        labels.remove(METRIC_NAME);
        for (name, template) in config.label_templates.iter() {
            let value = self.expand(around, rule, template, &data, slot).await;
            // A label that is set to nothing is taken away.
            match value.is_empty() {
                true => labels.remove(name.as_bytes()),
                false => labels.set(name.as_bytes(), value.as_bytes()),
            };
        }
        labels.set(b"alertname", rule.name.as_bytes());
        let mut annotations = BTreeMap::new();
        for (name, template) in config.annotation_templates.iter() {
            annotations.insert(name, self.expand(around, rule, template, &data, slot).await);
        }
        let value = match sample.value {
            Number::Float(value) => value,
            Number::Histogram(_) => 0.0,
        };
        Found { labels: labels.finish(), annotations: Labels::from_pairs(annotations), value }
    }

    /// Expands a template; its queries are answered one after the other.
    async fn expand(
        &self,
        around: &Around,
        rule: &RuleConfig,
        template: &Template,
        data: &Data,
        slot: At,
    ) -> String {
        /// One expansion asks no more.
        const QUERIES_MAX: usize = 100;
        let mut answers = Answers::new();
        let failed = |error: &dyn std::fmt::Display| {
            warn!(alert = rule.name, %error, "expanding alert template failed");
            format!("<error expanding template: {error}>")
        };
        loop {
            let surroundings = Surroundings { now_ms: slot.millis(), external_url: None, answers: &answers };
            match template.expand(data.clone(), &surroundings) {
                Ok(Expansion::Text(text)) => return text,
                Ok(Expansion::Asks(_)) if answers.len() == QUERIES_MAX => {
                    return failed(&format!("more than {QUERIES_MAX} queries"));
                }
                Ok(Expansion::Asks(expression)) => {
                    let found = around.queriers.instant(&expression, slot, self.config.strategy).await;
                    let answer =
                        found.map(|samples| Arc::new(samples.into_iter().map(template_sample).collect()));
                    answers.insert(expression, answer.map_err(|error| error.to_string()));
                }
                Err(error) => return failed(&error),
            }
        }
    }

    /// Stores samples of a rule and the ends of the series that it makes no more; gives those that are refused.
    fn store(
        &self,
        around: &Around,
        i: usize,
        samples: &[SeriesSample],
        slot: At,
    ) -> Result<Vec<Refused>, RuleError> {
        let at_ms = slot.before(self.query_offset).millis();
        let now: BTreeSet<Labels> = samples.iter().map(|sample| sample.labels.clone()).collect();
        let ended: Vec<SeriesSample> = {
            let state = self.lock();
            let gone = state.rules[i].series.difference(&now);
            gone.map(|labels| SeriesSample::stale(labels.clone(), at_ms)).collect()
        };
        let mut refused = match ended.is_empty() {
            true => around.storage.append(samples)?,
            false => around.storage.append(&[samples, &ended].concat())?,
        };
        // A series that ended may go on elsewhere by now: that is no news.
        refused.retain(|refused| refused.index < samples.len());
        if let Some(first) = refused.first() {
            let (group, rule, n) = (&self.config.name, &self.config.rules[i].name, refused.len());
            warn!(group, rule, n, reason = %first.reason, "results are not newer than what is stored, left out");
        }
        self.lock().rules[i].series = now;
        Ok(refused)
    }

    /// Writes the ends of series of rules that are not configured any more.
    fn end_series_of_gone_rules(&self, around: &Around, slot: At) {
        let at_ms = slot.before(self.query_offset).millis();
        let gone = std::mem::take(&mut self.lock().gone);
        let ended: Vec<SeriesSample> =
            gone.iter().map(|labels| SeriesSample::stale(labels.clone(), at_ms)).collect();
        if let Err(error) = around.storage.append(&ended) {
            warn!(group = self.config.name, %error, "the ends of series cannot be stored");
            self.lock().gone = gone;
        }
    }

    /// Writes the ends of all series: the group is gone.
    pub(crate) fn end(&self, around: &Around, at: At) {
        {
            let mut state = self.lock();
            let series: Vec<Labels> =
                state.rules.iter_mut().flat_map(|rule| std::mem::take(&mut rule.series)).collect();
            state.gone.extend(series);
        }
        self.end_series_of_gone_rules(around, at);
    }

    /// Looks for the alerts of an earlier process.
    pub(crate) async fn restore(&self, around: &Around, now: At) {
        let begun = Instant::now();
        let options = &around.options;
        for (i, rule) in self.config.rules.iter().enumerate() {
            let Some(alert) = &rule.alert else { continue };
            let mut found = Vec::new();
            // A shorter time is waited for again, without a grace period.
            if alert.hold >= options.for_grace_period {
                let from = now.before(options.for_outage_tolerance);
                let matchers = for_state_matchers(rule);
                match around.storage.last_of_range(&around.queriers, matchers, from, now).await {
                    Ok(series) => found = series,
                    Err(error) => error!(alert = rule.name, %error, "failed to restore 'for' state"),
                }
            }
            let state = &mut self.lock().rules[i];
            state.alerts.restore(&found, alert.hold, now, options.for_grace_period);
            debug!(alert = rule.name, series = found.len(), "'for' state restored");
        }
        let seconds = begun.elapsed().as_secs_f64();
        around.metrics.last_restore.get_or_create(&self.labels).set(seconds);
    }

    /// Takes over what an older form of the group knows. Rules are the same when name and labels are.
    pub(crate) fn copy_state(&self, from: &Group) {
        let key = |rule: &RuleConfig| (rule.name.clone(), rule.labels.clone());
        let mut old: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (i, rule) in from.config.rules.iter().enumerate().rev() {
            old.entry(key(rule)).or_default().push(i);
        }
        let (mut to, mut from_state) = (self.lock(), from.lock());
        to.evaluation = from_state.evaluation;
        to.gone = std::mem::take(&mut from_state.gone);
        for (i, rule) in self.config.rules.iter().enumerate() {
            let Some(j) = old.get_mut(&key(rule)).and_then(Vec::pop) else { continue };
            let known = std::mem::take(&mut from_state.rules[j]);
            to.rules[i].series = known.series;
            if rule.alert.is_some() && from.config.rules[j].alert.is_some() {
                to.rules[i].alerts.active = known.alerts.active;
            }
        }
        let gone: Vec<Labels> =
            from_state.rules.iter_mut().flat_map(|rule| std::mem::take(&mut rule.series)).collect();
        to.gone.extend(gone);
    }

    /// Whether the other one would be evaluated the same way.
    pub(crate) fn is_same(&self, other: &Group) -> bool {
        let (a, b) = (&self.config, &other.config);
        let rule = |rule: &RuleConfig| {
            let alert = rule.alert.as_ref().map(|a| (a.hold, a.keep_firing, a.annotations.clone()));
            (
                rule.name.clone(),
                Arc::clone(&rule.query),
                rule.labels.clone(),
                rule.removed_labels.clone(),
                alert,
            )
        };
        (self.interval, a.query_offset, a.limit, a.rules.len())
            == (other.interval, b.query_offset, b.limit, b.rules.len())
            && a.rules.iter().map(rule).eq(b.rules.iter().map(rule))
    }

    /// The group as APIs tell it; external labels are set in rules.
    pub(crate) fn told(&self, external_labels: &Labels) -> ToldGroup {
        let state = self.lock();
        let rules = self.config.rules.iter().zip(&state.rules);
        let evaluation = state.evaluation;
        ToldGroup {
            name: self.config.name.clone(),
            file: self.config.file.to_string_lossy().into_owned(),
            rules: rules.map(|(rule, state)| self.told_rule(rule, state, external_labels)).collect(),
            interval: self.interval.as_secs_f64(),
            evaluation_seconds: evaluation.map_or(0.0, |(_, took)| took.as_secs_f64()),
            last_evaluation: evaluation.map(|(at, _)| at.moment()).unwrap_or_default(),
            limit: i64::try_from(self.config.limit).unwrap_or(i64::MAX),
            aborts: self.config.strategy == crate::Strategy::Abort,
        }
    }

    fn told_rule(&self, rule: &RuleConfig, state: &RuleState, external_labels: &Labels) -> ToldRule {
        let mut labels = rule.labels.to_builder();
        for (name, value) in external_labels.iter() {
            labels.set(name, value);
        }
        let health = match (&state.evaluation, &state.failure) {
            (None, _) => "unknown",
            (Some(_), None) => "ok",
            (Some(_), Some(_)) => "err",
        };
        let alerting = rule.alert.as_ref().map(|config| Alerting {
            state: if state.evaluation.is_some() { state.alerts.state() } else { AlertState::Unknown },
            duration: config.hold.as_secs_f64(),
            keep_firing_for: config.keep_firing.as_secs_f64(),
            annotations: config.annotations.clone(),
            alerts: self.told_alerts(state),
        });
        ToldRule {
            name: rule.name.clone(),
            query: rule.query.to_string(),
            labels: labels.finish(),
            health: health.to_owned(),
            last_error: state.failure.clone().unwrap_or_default(),
            evaluation_seconds: state.evaluation.map_or(0.0, |(_, took)| took.as_secs_f64()),
            last_evaluation: state.evaluation.map(|(at, _)| at.moment()).unwrap_or_default(),
            alerting,
        }
    }

    fn told_alerts(&self, state: &RuleState) -> Vec<ActiveAlert> {
        let active = state.alerts.active.values().filter(|alert| alert.resolved_at.is_none());
        let told = active.map(|alert| ActiveAlert {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            state: alert.state,
            active_at: Some(alert.active_at.moment()),
            value: crate::template::exponential_shortest(alert.value),
            aborts: self.config.strategy == crate::Strategy::Abort,
        });
        told.collect()
    }
}

fn template_sample(sample: SeriesSample) -> Arc<Sample> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = sample.labels.iter().map(|(name, value)| (text(name), text(value)));
    Arc::new(Sample { labels: Arc::new(pairs.collect()), value: sample.value })
}

/// The matchers of `ALERTS_FOR_STATE` of a rule; labels that differ from alert to alert are left out.
fn for_state_matchers(rule: &RuleConfig) -> Vec<Matcher> {
    let fixed = [(METRIC_NAME, &b"ALERTS_FOR_STATE"[..]), (b"alertname", rule.name.as_bytes())];
    let own = rule.labels.iter().filter(|(name, _)| *name != b"alertname");
    let is_plain = |value: &[u8]| !value.windows(2).any(|pair| pair == b"{{");
    let plain = fixed.into_iter().chain(own).filter(|(_, value)| is_plain(value));
    // Matchers of equality are always sound.
    plain.filter_map(|(name, value)| Matcher::new(MatchOp::Equal, name, value).ok()).collect()
}

#[cfg(test)]
mod lives_tests;
#[cfg(test)]
mod promtool;
