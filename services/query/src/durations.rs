//! Durations of the stages of queries: quantiles over the last ten minutes, as Prometheus's engine exports them under
//! `prometheus_engine_query_duration_seconds`. Prometheus `promql/engine.go`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

const NAME: &str = "prometheus_engine_query_duration_seconds";
const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99")];

/// A stage of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// Waiting at the gate.
    Queue,
    /// Parsing and planning.
    Prepare,
    /// Fetching and evaluating.
    Evaluate,
}

const STAGES: [&str; 3] = ["queue_time", "prepare_time", "inner_eval"];

/// Number of [`AGE`]-long periods with buckets of their own: together they cover ten minutes.
const AGES: usize = 5;
const AGE: Duration = Duration::from_secs(120);
/// Number of buckets. The first begins at a microsecond, each is 5 % wider than the one before, and the last begins
/// after days.
const BUCKETS: usize = 512;
const GROWTH: f64 = 1.05;
const FIRST_SECONDS: f64 = 1e-6;

/// The durations of each stage. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Durations(Arc<Mutex<[Window; STAGES.len()]>>);

#[derive(Debug)]
struct Window {
    ages: [Box<[u32; BUCKETS]>; AGES],
    /// When the newest period began.
    begun: Instant,
    sum: f64,
    count: u64,
}

impl Window {
    fn new(now: Instant) -> Window {
        Window { ages: std::array::from_fn(|_| Box::new([0; BUCKETS])), begun: now, sum: 0.0, count: 0 }
    }

    fn forget(&mut self, now: Instant) {
        for _ in 0..AGES {
            if now.saturating_duration_since(self.begun) < AGE {
                return;
            }
            self.ages.rotate_right(1);
            self.ages[0].fill(0);
            self.begun += AGE;
        }
        // Nothing was observed for ten minutes, so all periods are empty.
        self.begun = now;
    }

    fn observe(&mut self, took: Duration, now: Instant) {
        self.forget(now);
        let seconds = took.as_secs_f64();
        let bucket = (seconds / FIRST_SECONDS).ln() / GROWTH.ln();
        self.ages[0][(bucket.max(0.0) as usize).min(BUCKETS - 1)] += 1;
        self.sum += seconds;
        self.count += 1;
    }

    /// NaN when nothing was observed in the last ten minutes.
    fn quantile(&self, quantile: f64) -> f64 {
        let at = |bucket: usize| self.ages.iter().map(|age| u64::from(age[bucket])).sum::<u64>();
        let all: u64 = (0..BUCKETS).map(at).sum();
        let wanted = (all as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        for bucket in 0..BUCKETS {
            seen += at(bucket);
            if all > 0 && seen >= wanted {
                // The geometric middle of the bucket.
                return FIRST_SECONDS * GROWTH.powf(bucket as f64 + 0.5);
            }
        }
        f64::NAN
    }
}

impl Durations {
    pub(crate) fn new() -> Durations {
        let now = Instant::now();
        Durations(Arc::new(Mutex::new(std::array::from_fn(|_| Window::new(now)))))
    }

    pub(crate) fn observe(&self, stage: Stage, took: Duration) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows[stage as usize].observe(took, Instant::now());
    }
}

impl Collector for Durations {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "How long the stages of queries took";
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.iter_mut().for_each(|window| window.forget(Instant::now()));
        let mut quantiles = encoder.encode_descriptor(NAME, help, None, MetricType::Gauge)?;
        for (stage, window) in STAGES.iter().zip(windows.iter()) {
            for (quantile, text) in QUANTILES {
                let labels = [("slice", *stage), ("quantile", text)];
                ConstGauge::new(window.quantile(quantile)).encode(quantiles.encode_family(&labels)?)?;
            }
        }
        for (rest, value) in [("sum", None), ("count", Some(()))] {
            let name = format!("{NAME}_{rest}");
            let mut totals = encoder.encode_descriptor(&name, help, None, MetricType::Unknown)?;
            for (stage, window) in STAGES.iter().zip(windows.iter()) {
                let value = value.map_or(window.sum, |()| window.count as f64);
                ConstGauge::new(value).encode(totals.encode_family(&[("slice", *stage)])?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_last_ten_minutes() {
        let begin = Instant::now();
        let mut window = Window::new(begin);
        assert!(window.quantile(0.5).is_nan());
        for ms in 1..=100 {
            window.observe(Duration::from_millis(ms), begin);
        }
        for (quantile, seconds) in [(0.5, 0.050), (0.9, 0.090), (0.99, 0.099)] {
            let found = window.quantile(quantile);
            assert!((found / seconds - 1.0).abs() < 0.06, "{quantile}: {found}");
        }
        window.observe(Duration::from_secs(7), begin + Duration::from_secs(500));
        assert!(window.quantile(0.5) < 0.1);
        window.forget(begin + Duration::from_secs(601));
        assert!((window.quantile(0.5) / 7.0 - 1.0).abs() < 0.06);
        window.forget(begin + Duration::from_secs(5000));
        assert!(window.quantile(0.5).is_nan());
        assert_eq!(window.count, 101);
        // Values outside the range of the buckets count in the first or last one.
        window.observe(Duration::ZERO, begin);
        window.observe(Duration::from_secs(1 << 40), begin);
    }

    #[test]
    fn the_metric_has_the_samples_of_a_summary() {
        let metrics = tithon_runtime::Metrics::new("0");
        let durations = Durations::new();
        durations.observe(Stage::Evaluate, Duration::from_secs(1));
        metrics.register(|r| r.register_collector(Box::new(durations)));
        let text = metrics.text();
        assert!(
            text.contains("prometheus_engine_query_duration_seconds{slice=\"inner_eval\",quantile=\"0.9\"}"),
            "{text}"
        );
        assert!(
            text.contains("prometheus_engine_query_duration_seconds_count{slice=\"inner_eval\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("prometheus_engine_query_duration_seconds_sum{slice=\"queue_time\"} 0"),
            "{text}"
        );
    }
}
