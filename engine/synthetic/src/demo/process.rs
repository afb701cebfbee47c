//! Generates the values of a demo series: a seeded random process in steps of the scrape interval.

use tithon_chunks::STALE_NAN_BITS;

use crate::cut::Cutter;
use crate::random::{Random, mix};
use crate::series::{Replica, Scrapes, Series};

/// Milliseconds between scrapes.
pub const DEMO_INTERVAL_MS: i64 = 15_000;
const DAY_MS: f64 = 86_400_000.0;

/// The kinds of process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// 1 while the target answers, else 0.
    Up,
    /// The same value always.
    Constant(f64),
    /// Swings over the day around a mean, with noise; `swing` and `noise` are shares of the mean, values are
    /// multiples of `step`.
    Gauge {
        /// Middle value.
        mean: f64,
        /// Daily amplitude.
        swing: f64,
        /// Random part.
        noise: f64,
        /// Granularity.
        step: f64,
    },
    /// Grows by `rate` per second, with the same kind of swing; starts again at 0 when its target restarts.
    Counter {
        /// Middle rate, units per second.
        rate: f64,
        /// Daily amplitude.
        swing: f64,
        /// Random part.
        noise: f64,
        /// Granularity.
        step: f64,
    },
    /// Observations at most `bound` of a classic histogram, with `rate` observations per second around `median`.
    Bucket {
        /// Observations per second.
        rate: f64,
        /// Median, in the unit of `bound`.
        median: f64,
        /// Upper bound; infinite counts all.
        bound: f64,
    },
    /// Sum of the observations of the same histogram.
    ObservationSum {
        /// Observations per second.
        rate: f64,
        /// Median of the observations.
        median: f64,
    },
}

/// Generates all samples of a series.
pub(crate) fn make(series: &Series, shape: &Shape, scrapes: &Scrapes, out: &mut Cutter) {
    let mut state = State::new(series.seed, shape);
    let mut was_up = true;
    series.each_scrape(scrapes, |t, takes_part| {
        let up = !is_down(series.target, t);
        let before = state.value;
        state.step(shape, t, up);
        if takes_part {
            match (shape, up) {
                (Shape::Up, _) => out.float(t, f64::from(u8::from(up))),
                (_, true) => out.float(t, state.scraped(shape, scrapes.replica, before)),
                (_, false) if was_up => out.float(t, f64::from_bits(STALE_NAN_BITS)),
                (_, false) => {}
            }
        }
        was_up = up;
    });
}

/// Whether the target is down: some targets are down for ten minutes now and then.
fn is_down(target: u64, t: i64) -> bool {
    let slot = t.div_euclid(600_000) as u64;
    mix(target ^ slot.wrapping_mul(0x9e37_79b9_7f4a_7c15)).is_multiple_of(600)
}

struct State {
    random: Random,
    phase: f64,
    scale: f64,
    drift: f64,
    value: f64,
    was_up: bool,
}

impl State {
    fn new(seed: u64, shape: &Shape) -> State {
        let mut random = Random::new(seed);
        let phase = random.unit() * 0.2;
        let scale = 0.6 + random.unit() * 0.8;
        let started = random.unit() * 2e5;
        let value = match *shape {
            Shape::Counter { rate, .. } => rate * scale * started,
            Shape::Bucket { rate, median, bound } => rate * scale * started * share(bound, median),
            Shape::ObservationSum { rate, median } => rate * scale * started * median * 1.3,
            _ => 0.0,
        };
        State { random, phase, scale, drift: 0.0, value, was_up: true }
    }

    /// Advances by one scrape interval to `t`.
    fn step(&mut self, shape: &Shape, t: i64, up: bool) {
        let day = (std::f64::consts::TAU * (t as f64 / DAY_MS + self.phase)).sin();
        let noise = self.random.unit() * 2.0 - 1.0;
        self.drift = self.drift * 0.97 + noise * 0.03;
        let seconds = DEMO_INTERVAL_MS as f64 / 1000.0;
        if up && !self.was_up {
            // The target is up again: its counters start at 0.
            self.value = 0.0;
        }
        self.was_up = up;
        let grown = |rate: f64, swing: f64, by: f64| (rate * (1.0 + swing * day + by)).max(0.0) * seconds;
        match *shape {
            Shape::Up | Shape::Constant(_) => {}
            Shape::Gauge { mean, swing, noise: by, .. } => {
                self.value = mean * self.scale * (1.0 + swing * day + by * self.drift * 4.0);
            }
            Shape::Counter { rate, swing, noise: by, .. } => {
                self.value += grown(rate * self.scale, swing, by * noise);
            }
            Shape::Bucket { rate, median, bound } => {
                let median = median * (1.0 + 0.4 * day + 2.0 * self.drift).max(0.1);
                self.value += grown(rate * self.scale, 0.6, 0.3 * noise) * share(bound, median);
            }
            Shape::ObservationSum { rate, median } => {
                let median = median * (1.0 + 0.4 * day + 2.0 * self.drift).max(0.1);
                self.value += grown(rate * self.scale, 0.6, 0.3 * noise) * median * 1.3;
            }
        }
    }

    /// The value that a scrape reads; replica B reads a value between two steps.
    fn scraped(&self, shape: &Shape, replica: Replica, before: f64) -> f64 {
        let value = match replica {
            Replica::B if before <= self.value => before + (self.value - before) * 0.55,
            _ => self.value,
        };
        match *shape {
            Shape::Up => 1.0,
            Shape::Constant(value) => value,
            Shape::Gauge { step, .. } => round(value.max(0.0), step, f64::round),
            Shape::Counter { step, .. } => round(value, step, f64::floor),
            Shape::Bucket { .. } => value.floor(),
            Shape::ObservationSum { .. } => round(value, 1e-9, f64::floor),
        }
    }
}

/// Multiples of `step`; for decimal fractions through their inverse, so that the shortest text is short.
fn round(value: f64, step: f64, towards: impl Fn(f64) -> f64) -> f64 {
    if step >= 1.0 {
        towards(value / step) * step
    } else {
        towards(value * (1.0 / step).round()) / (1.0 / step).round()
    }
}

/// Share of observations at most `bound`: log-logistic around `median`.
fn share(bound: f64, median: f64) -> f64 {
    if bound.is_infinite() { 1.0 } else { 1.0 / (1.0 + (median / bound).powf(2.2)) }
}

#[cfg(test)]
mod tests {
    use tithon_chunks::{SampleBatch, TimeRange, decode_floats};

    use super::super::catalogue::demo_series;
    use super::*;
    use crate::series::Source;

    const START: i64 = 1_700_000_000_000;
    const END: i64 = START + 48 * 3_600_000;

    fn samples(series: &Series, replica: Replica) -> Vec<(i64, f64)> {
        let mut out = Cutter::new(START, END - START);
        let scrapes = Scrapes { start: START, end: END, interval_ms: DEMO_INTERVAL_MS, replica };
        series.make(&scrapes, &mut out).unwrap();
        let mut batch = SampleBatch::default();
        for chunk in out.finish().iter().flat_map(|block| &block.chunks) {
            decode_floats(chunk.encoding, &chunk.data, TimeRange::ALL, &mut batch).unwrap();
        }
        batch.timestamps.into_iter().zip(batch.values).collect()
    }

    fn is_stale(value: f64) -> bool {
        value.to_bits() == STALE_NAN_BITS
    }

    #[test]
    fn counters_only_fall_when_their_target_restarts() {
        let list = demo_series();
        let counters = list.iter().filter(|s| matches!(s.source, Source::Demo(Shape::Counter { .. })));
        for series in counters.step_by(97) {
            let all = samples(series, Replica::A);
            assert!(all.windows(2).all(|w| w[0].0 < w[1].0));
            let falls = all.windows(2).filter(|w| w[1].1 < w[0].1).count();
            let ends = all.iter().filter(|(_, v)| is_stale(*v)).count();
            assert!(falls <= ends, "{}: {falls} resets, {ends} outages", series.labels);
        }
    }

    #[test]
    fn buckets_of_one_histogram_are_cumulative() {
        let all = demo_series();
        let of = |le: &str| {
            let mut found = all.iter().filter(|s| {
                s.labels.metric_name() == Some(b"http_request_duration_seconds_bucket")
                    && s.labels.get("le") == Some(le.as_bytes())
            });
            samples(found.next().expect("a bucket"), Replica::A)
        };
        let (small, large) = (of("0.05"), of("+Inf"));
        assert_eq!(small.len(), large.len());
        assert!(small.iter().zip(&large).all(|(s, l)| s.0 == l.0 && (is_stale(s.1) || s.1 <= l.1)));
    }

    #[test]
    fn replicas_differ_in_time_and_gaps() {
        let all = demo_series();
        let series = all.iter().find(|s| s.replicated).expect("a replicated series");
        let (a, b) = (samples(series, Replica::A), samples(series, Replica::B));
        let gap = |s: &[(i64, f64)]| s.windows(2).map(|w| w[1].0 - w[0].0).max();
        assert!(gap(&a) >= Some(20 * DEMO_INTERVAL_MS) && gap(&b) >= Some(30 * DEMO_INTERVAL_MS));
        assert_ne!(a[0].0, b[0].0);
    }
}
