//! Alerts on their way to Alertmanagers: a bounded queue that evaluation never waits for, and the sender behind it. Thanos
//! `pkg/alert/alert.go`.

mod config;
mod sender;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tithon_engine::relabel::{RelabelStep, relabelled};
use tithon_index::Labels;
use tokio::sync::Notify;
use tracing::warn;

pub(crate) use self::config::relabel_steps;
pub use self::config::{
    AlertmanagerConfig, ApiVersion, alertmanager_of, parse_alertmanagers, parse_relabelling,
};
pub use self::sender::{AlertSender, SenderOptions};
use crate::metrics::RuleMetrics;
use crate::template::query_escaped;
use crate::{Alert, At, Template, TemplateError};

/// An alert as Alertmanagers get it.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The labels, which identify the alert.
    pub labels: Labels,
    /// The annotations.
    pub annotations: Labels,
    /// When it began to fire.
    pub starts_at: At,
    /// When it ended; for an alert that fires, until when receivers may assume that it still does.
    pub ends_at: At,
    /// URL of a page that shows the expression.
    pub generator_url: String,
}

/// What is done to alerts before they are sent.
#[derive(Clone, Debug, Default)]
pub struct AlertLabelling {
    /// Labels that are set in all alerts, and replace labels of the same names.
    pub external_labels: Labels,
    /// Names of labels that are removed, from the external ones too.
    pub dropped: Vec<String>,
    /// Relabelling steps, which are applied last; an alert that they drop is not sent.
    pub steps: Vec<RelabelStep>,
}

/// Alerts that wait for the sender. Clones share it.
#[derive(Clone)]
pub struct AlertQueue {
    waiting: Arc<Mutex<VecDeque<Notification>>>,
    more: Arc<Notify>,
    labelling: Arc<AlertLabelling>,
    capacity: usize,
    metrics: RuleMetrics,
}

/// How many alerts may wait.
pub(crate) const CAPACITY: usize = 10_000;
/// How many are sent at once.
const BATCH_MAX: usize = 100;

impl AlertQueue {
    /// An empty queue.
    pub fn new(labelling: AlertLabelling, metrics: RuleMetrics) -> AlertQueue {
        AlertQueue::with_capacity(labelling, metrics, CAPACITY)
    }

    fn with_capacity(labelling: AlertLabelling, metrics: RuleMetrics, capacity: usize) -> AlertQueue {
        metrics.alert_queue_capacity.set(i64::try_from(capacity).unwrap_or(i64::MAX));
        AlertQueue {
            waiting: Arc::default(),
            more: Arc::default(),
            labelling: Arc::new(labelling),
            capacity,
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Notification>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_length(&self, length: usize) {
        self.metrics.alert_queue_length.set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// Labels alerts and appends them; where there is no room the oldest ones go.
    pub fn push(&self, alerts: Vec<Notification>) {
        self.metrics.alerts_pushed.inc_by(alerts.len() as u64);
        let labelled = alerts
            .into_iter()
            .filter_map(|alert| Some(Notification { labels: self.labelling.apply(&alert.labels)?, ..alert }));
        let mut waiting = self.lock();
        waiting.extend(labelled);
        let too_many = waiting.len().saturating_sub(self.capacity);
        if too_many > 0 {
            waiting.drain(..too_many);
            self.metrics.alerts_dropped.inc_by(too_many as u64);
            warn!(dropped = too_many, "alert queue is full, the oldest alerts are dropped");
        }
        self.set_length(waiting.len());
        if !waiting.is_empty() {
            self.more.notify_one();
        }
    }

    /// Waits for alerts and takes the oldest ones out.
    pub(crate) async fn pop(&self) -> Vec<Notification> {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.is_empty() {
                    let n = waiting.len().min(BATCH_MAX);
                    let batch: Vec<Notification> = waiting.drain(..n).collect();
                    self.set_length(waiting.len());
                    self.metrics.alerts_popped.inc_by(batch.len() as u64);
                    return batch;
                }
            }
            self.more.notified().await;
        }
    }
}

impl AlertLabelling {
    fn apply(&self, labels: &Labels) -> Option<Labels> {
        let mut builder = labels.to_builder();
        for name in &self.dropped {
            builder.remove(name.as_bytes());
        }
        for (name, value) in self.external_labels.iter() {
            if !self.dropped.iter().any(|dropped| dropped.as_bytes() == name) {
                builder.set(name, value);
            }
        }
        relabelled(&builder.finish(), &self.steps)
    }
}

/// Makes notifications of alerts.
#[derive(Debug)]
pub struct Generator {
    query_url: String,
    template: Template,
}

impl Generator {
    /// `query_url` is where people find the querier, `template` what follows it with `{{.Expr}}` for the expression.
    pub fn new(query_url: &str, template: &str) -> Result<Generator, TemplateError> {
        let template = Template::parse("url template", template.to_owned())?;
        let generator = Generator { query_url: query_url.trim_end_matches('/').to_owned(), template };
        generator.url("test_expr").map(|_| generator)
    }

    fn url(&self, expression: &str) -> Result<String, TemplateError> {
        let link = self.template.expand_link(&query_escaped(expression))?;
        Ok(format!("{}{link}", self.query_url))
    }

    /// Alerts of an expression as they are sent.
    pub(crate) fn notifications(&self, expression: &str, alerts: Vec<Alert>) -> Vec<Notification> {
        let generator_url = self.url(expression).unwrap_or_else(|error| {
            warn!(%error, "the link of an alert cannot be made");
            String::new()
        });
        let one = |alert: Alert| Notification {
            labels: alert.labels,
            annotations: alert.annotations,
            starts_at: alert.fired_at.unwrap_or(alert.active_at),
            ends_at: alert.resolved_at.or(alert.valid_until).unwrap_or(alert.active_at),
            generator_url: generator_url.clone(),
        };
        alerts.into_iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(pairs: &[(&str, &str)]) -> Notification {
        Notification {
            labels: Labels::from_pairs(pairs.iter().copied()),
            annotations: Labels::default(),
            starts_at: At(0),
            ends_at: At(0),
            generator_url: String::new(),
        }
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_oldest() {
        let metrics = RuleMetrics::new(&tithon_runtime::Metrics::new("test"));
        let queue = AlertQueue::with_capacity(AlertLabelling::default(), metrics.clone(), 150);
        queue.push((0..200).map(|i| alert(&[("n", i.to_string().as_str())])).collect());
        let first = queue.pop().await;
        assert_eq!(first.len(), BATCH_MAX);
        assert_eq!(first[0].labels.get("n"), Some(&b"50"[..]));
        assert_eq!(queue.pop().await.len(), 50);
        let (pushed, popped) = (metrics.alerts_pushed.get(), metrics.alerts_popped.get());
        assert_eq!((pushed, popped, metrics.alerts_dropped.get()), (200, 150, 50));
    }

    #[tokio::test]
    async fn labels_are_set_dropped_and_relabelled() {
        let yaml =
            "- {source_labels: [job], regex: silent, action: drop}\n- {target_label: to, replacement: x}\n";
        let labelling = AlertLabelling {
            external_labels: Labels::from_pairs([("cluster", "eu"), ("replica", "a")]),
            dropped: vec!["replica".to_owned(), "pod".to_owned()],
            steps: parse_relabelling(yaml).unwrap(),
        };
        let queue = AlertQueue::new(labelling, RuleMetrics::new(&tithon_runtime::Metrics::new("test")));
        queue.push(vec![
            alert(&[("job", "a"), ("cluster", "own"), ("pod", "p")]),
            alert(&[("job", "silent")]),
        ]);
        let batch = queue.pop().await;
        assert_eq!(batch.len(), 1);
        assert_eq!(batch[0].labels, Labels::from_pairs([("cluster", "eu"), ("job", "a"), ("to", "x")]));
    }

    #[test]
    fn links_hold_the_expression() {
        let generator = Generator::new("http://q/", "/graph?g0.expr={{.Expr}}&g0.tab=1").unwrap();
        assert_eq!(generator.url("up == 0").unwrap(), "http://q/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
        assert!(Generator::new("", "{{ .Nope }}").is_err());
        assert!(Generator::new("", "{{").is_err());
    }
}
