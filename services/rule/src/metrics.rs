//! What a ruler counts, under Prometheus's and Thanos's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tithon_runtime::Metrics;

use crate::Strategy;

/// The labels of what is told of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct GroupLabels {
    pub(crate) strategy: &'static str,
    pub(crate) rule_group: String,
}

/// The labels of `thanos_rule_loaded_rules`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LoadedLabels {
    pub(crate) strategy: &'static str,
    pub(crate) file: String,
    pub(crate) group: String,
}

type F64Gauge = Gauge<f64, std::sync::atomic::AtomicU64>;
type OfGroup<M> = Family<GroupLabels, M>;
type OfAlertmanager<M, C = fn() -> M> = Family<[(&'static str, String); 1], M, C>;
type OfStrategy<M, C = fn() -> M> = Family<[(&'static str, &'static str); 1], M, C>;

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

fn durations() -> Histogram {
    Histogram::new([0.01, 0.1, 1.0, 10.0])
}

/// The metrics of a ruler. Clones count together.
#[derive(Clone)]
pub struct RuleMetrics {
    pub(crate) evaluations: OfGroup<Counter>,
    pub(crate) failures: OfGroup<Counter>,
    pub(crate) iterations: OfGroup<Counter>,
    pub(crate) missed: OfGroup<Counter>,
    pub(crate) interval: OfGroup<F64Gauge>,
    pub(crate) last_evaluation: OfGroup<F64Gauge>,
    pub(crate) last_duration: OfGroup<F64Gauge>,
    pub(crate) last_rules_duration: OfGroup<F64Gauge>,
    pub(crate) last_restore: OfGroup<F64Gauge>,
    pub(crate) rules: OfGroup<Gauge>,
    pub(crate) samples: OfGroup<Gauge>,
    pub(crate) rule_seconds: OfStrategy<Histogram>,
    pub(crate) group_seconds: OfStrategy<Histogram>,
    pub(crate) loaded: Family<LoadedLabels, Gauge>,
    pub(crate) reload_ok: Gauge,
    pub(crate) reload_time: F64Gauge,
    pub(crate) duplicated_queriers: Counter,
    with_warnings: OfStrategy<Counter>,
    pub(crate) alerts_pushed: Counter,
    pub(crate) alerts_popped: Counter,
    pub(crate) alerts_dropped: Counter,
    pub(crate) alert_queue_capacity: Gauge,
    pub(crate) alert_queue_length: Gauge,
    pub(crate) alerts_sent: OfAlertmanager<Counter>,
    pub(crate) alert_errors: OfAlertmanager<Counter>,
    pub(crate) alert_latency: OfAlertmanager<Histogram>,
    pub(crate) alerts_unsent: Counter,
}

impl RuleMetrics {
    /// Registers them.
    pub fn new(registry: &Metrics) -> RuleMetrics {
        let metrics = RuleMetrics {
            evaluations: Family::default(),
            failures: Family::default(),
            iterations: Family::default(),
            missed: Family::default(),
            interval: Family::default(),
            last_evaluation: Family::default(),
            last_duration: Family::default(),
            last_rules_duration: Family::default(),
            last_restore: Family::default(),
            rules: Family::default(),
            samples: Family::default(),
            rule_seconds: Family::new_with_constructor(durations),
            group_seconds: Family::new_with_constructor(durations),
            loaded: Family::default(),
            reload_ok: Gauge::default(),
            reload_time: F64Gauge::default(),
            duplicated_queriers: Counter::default(),
            with_warnings: Family::default(),
            alerts_pushed: Counter::default(),
            alerts_popped: Counter::default(),
            alerts_dropped: Counter::default(),
            alert_queue_capacity: Gauge::default(),
            alert_queue_length: Gauge::default(),
            alerts_sent: Family::default(),
            alert_errors: Family::default(),
            alert_latency: Family::new_with_constructor(seconds),
            alerts_unsent: Counter::default(),
        };
        for strategy in [Strategy::Abort, Strategy::Warn] {
            drop(metrics.with_warnings.get_or_create(&[("strategy", strategy.lower())]));
        }
        registry.register(|r| {
            metrics.register_groups(r);
            metrics.register_files(r);
            metrics.register_alerts(r);
        });
        metrics
    }

    /// Evaluations of groups and rules, with the names of Prometheus.
    fn register_groups(&self, r: &mut Registry) {
        r.register("prometheus_rule_evaluations", "Evaluations of rules", self.evaluations.clone());
        let help = "Evaluations of rules that failed";
        r.register("prometheus_rule_evaluation_failures", help, self.failures.clone());
        let help = "Slots of groups, evaluated or missed";
        r.register("prometheus_rule_group_iterations", help, self.iterations.clone());
        let help = "Slots of groups that were missed";
        r.register("prometheus_rule_group_iterations_missed", help, self.missed.clone());
        let help = "Between two evaluations of a group";
        r.register("prometheus_rule_group_interval_seconds", help, self.interval.clone());
        let help = "When a group was last evaluated";
        r.register(
            "prometheus_rule_group_last_evaluation_timestamp_seconds",
            help,
            self.last_evaluation.clone(),
        );
        let help = "How long the last evaluation of a group took";
        r.register("prometheus_rule_group_last_duration_seconds", help, self.last_duration.clone());
        let help = "How long the last evaluations of a group's rules took together";
        r.register(
            "prometheus_rule_group_last_rule_duration_sum_seconds",
            help,
            self.last_rules_duration.clone(),
        );
        let help = "How long the alerts of a group took to be restored";
        r.register("prometheus_rule_group_last_restore_duration_seconds", help, self.last_restore.clone());
        r.register("prometheus_rule_group_rules", "Rules of a group", self.rules.clone());
        let help = "Samples of the last evaluation of a group";
        r.register("prometheus_rule_group_last_evaluation_samples", help, self.samples.clone());
        let help = "How long evaluations of rules take";
        r.register("prometheus_rule_evaluation_duration_histogram_seconds", help, self.rule_seconds.clone());
        let help = "How long evaluations of groups take";
        r.register("prometheus_rule_group_duration_histogram_seconds", help, self.group_seconds.clone());
    }

    /// Rule files and queriers.
    fn register_files(&self, r: &mut Registry) {
        r.register("thanos_rule_loaded_rules", "Rules by group and file", self.loaded.clone());
        let help = "Whether the last reading of the rule files went well";
        r.register("thanos_rule_config_last_reload_successful", help, self.reload_ok.clone());
        let help = "When rule files were last read well";
        r.register(
            "thanos_rule_config_last_reload_success_timestamp_seconds",
            help,
            self.reload_time.clone(),
        );
        let help = "Queriers that were named twice";
        r.register("thanos_rule_duplicated_query_addresses", help, self.duplicated_queriers.clone());
        let help = "Evaluations that queriers answered with warnings";
        r.register("thanos_rule_evaluation_with_warnings", help, self.with_warnings.clone());
    }

    /// The queue of alerts, and calls of Alertmanagers.
    fn register_alerts(&self, r: &mut Registry) {
        let help = "Alerts put into the queue";
        r.register("thanos_alert_queue_alerts_pushed", help, self.alerts_pushed.clone());
        let help = "Alerts taken out of the queue";
        r.register("thanos_alert_queue_alerts_popped", help, self.alerts_popped.clone());
        let help = "Alerts dropped because the queue was full";
        r.register("thanos_alert_queue_alerts_dropped", help, self.alerts_dropped.clone());
        let help = "How many alerts may wait";
        r.register("thanos_alert_queue_capacity", help, self.alert_queue_capacity.clone());
        r.register("thanos_alert_queue_length", "How many alerts wait", self.alert_queue_length.clone());
        let help = "Alerts that an Alertmanager took";
        r.register("thanos_alert_sender_alerts_sent", help, self.alerts_sent.clone());
        let help = "Calls of an Alertmanager that failed";
        r.register("thanos_alert_sender_errors", help, self.alert_errors.clone());
        let help = "How long calls of an Alertmanager take";
        r.register("thanos_alert_sender_latency_seconds", help, self.alert_latency.clone());
        let help = "Alerts that no Alertmanager took";
        r.register("thanos_alert_sender_alerts_dropped", help, self.alerts_unsent.clone());
    }

    pub(crate) fn evaluated_with_warnings(&self, strategy: Strategy) {
        self.with_warnings.get_or_create(&[("strategy", strategy.lower())]).inc();
    }

    /// Makes the metrics of a group, which are there from the beginning.
    pub(crate) fn begin_group(&self, of: &GroupLabels, interval: f64, n_rules: usize) {
        for counter in [&self.evaluations, &self.failures, &self.iterations, &self.missed] {
            drop(counter.get_or_create(of));
        }
        for gauge in [&self.last_evaluation, &self.last_duration, &self.last_rules_duration] {
            drop(gauge.get_or_create(of));
        }
        drop(self.samples.get_or_create(of));
        self.interval.get_or_create(of).set(interval);
        self.rules.get_or_create(of).set(i64::try_from(n_rules).unwrap_or(i64::MAX));
    }

    /// Forgets a group.
    pub(crate) fn end_group(&self, of: &GroupLabels) {
        for counter in [&self.evaluations, &self.failures, &self.iterations, &self.missed] {
            counter.remove(of);
        }
        for gauge in [
            &self.interval,
            &self.last_evaluation,
            &self.last_duration,
            &self.last_rules_duration,
            &self.last_restore,
        ] {
            gauge.remove(of);
        }
        self.rules.remove(of);
        self.samples.remove(of);
    }
}
