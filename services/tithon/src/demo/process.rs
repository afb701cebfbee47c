//! How a demo series comes by its values: a seeded random process in steps of the scrape interval.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::catalogue::DemoSeries;

/// Milliseconds between scrapes.
pub const SCRAPE_MS: i64 = 15_000;
/// The second replica scrapes this much later than the first.
const REPLICA_SHIFT_MS: i64 = 6_700;
const DAY_MS: f64 = 86_400_000.0;
/// The bits by which Prometheus marks a series that has ended.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// The kinds of process.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// 1 while the target answers, else 0.
    Up,
    /// The same value for ever.
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
    /// Grows by `rate` a second, swinging likewise; starts again at 0 when its target restarts.
    Counter {
        /// Middle rate, units a second.
        rate: f64,
        /// Daily amplitude.
        swing: f64,
        /// Random part.
        noise: f64,
        /// Granularity.
        step: f64,
    },
    /// Observations at most `bound` of a classic histogram with `rate` observations a second around `median`.
    Bucket {
        /// Observations a second.
        rate: f64,
        /// Median, in the unit of `bound`.
        median: f64,
        /// Upper bound; infinite counts all.
        bound: f64,
    },
    /// Sum of the observations of the same histogram.
    ObservationSum {
        /// Observations a second.
        rate: f64,
        /// Median of the observations.
        median: f64,
    },
}

/// One of the two servers that scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replica {
    /// Scrapes everything.
    A,
    /// Scrapes one job, a little later.
    B,
}

/// The samples that `replica` has of `series` in `[start, end)` ms: `(timestamp, value)`, ascending.
pub fn samples(series: &DemoSeries, replica: Replica, start: i64, end: i64) -> Vec<(i64, f64)> {
    let mut state = State::new(series);
    let mut out = Vec::with_capacity(((end - start) / SCRAPE_MS + 1) as usize);
    let offset = (series.target % SCRAPE_MS as u64) as i64;
    let mut t = start + offset;
    let mut was_up = true;
    while t < end {
        let at = match replica {
            Replica::A => t,
            Replica::B => t + REPLICA_SHIFT_MS,
        };
        let up = !is_down(series.target, t);
        let before = state.value;
        state.step(&series.shape, t, up);
        if at < end && !server_is_down(replica, t, end) {
            match (series.shape, up) {
                (Shape::Up, _) => out.push((at, f64::from(u8::from(up)))),
                (_, true) => out.push((at, state.scraped(&series.shape, replica, before))),
                (_, false) if was_up => out.push((at, STALE)),
                (_, false) => {}
            }
        }
        was_up = up;
        t += SCRAPE_MS;
    }
    out
}

/// Some targets are away for ten minutes now and then.
fn is_down(target: u64, t: i64) -> bool {
    let slot = t.div_euclid(600_000) as u64;
    mix(target ^ slot.wrapping_mul(0x9e37_79b9_7f4a_7c15)).is_multiple_of(600)
}

/// Each replica misses a stretch of its own: deduplication fills the one from the other.
fn server_is_down(replica: Replica, t: i64, end: i64) -> bool {
    let minutes_before_end = (end - t) / 60_000;
    match replica {
        Replica::A => (400..418).contains(&minutes_before_end),
        Replica::B => (900..930).contains(&minutes_before_end),
    }
}

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

struct State {
    rng: SmallRng,
    phase: f64,
    scale: f64,
    drift: f64,
    value: f64,
    was_up: bool,
}

impl State {
    fn new(series: &DemoSeries) -> State {
        let mut rng = SmallRng::seed_from_u64(series.seed);
        let phase = rng.random::<f64>() * 0.2;
        let scale = 0.6 + rng.random::<f64>() * 0.8;
        let started = rng.random::<f64>() * 2e5;
        let value = match series.shape {
            Shape::Counter { rate, .. } => rate * scale * started,
            Shape::Bucket { rate, median, bound } => rate * scale * started * share(bound, median),
            Shape::ObservationSum { rate, median } => rate * scale * started * median * 1.3,
            _ => 0.0,
        };
        State { rng, phase, scale, drift: 0.0, value, was_up: true }
    }

    /// Moves on by one scrape interval to `t`.
    fn step(&mut self, shape: &Shape, t: i64, up: bool) {
        let day = (std::f64::consts::TAU * (t as f64 / DAY_MS + self.phase)).sin();
        let noise = self.rng.random::<f64>() * 2.0 - 1.0;
        self.drift = self.drift * 0.97 + noise * 0.03;
        let seconds = SCRAPE_MS as f64 / 1000.0;
        if up && !self.was_up {
            // The target came back: a restarted process counts from nothing.
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

    /// What a scrape reads; replica B looks in between two steps.
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
    use super::super::catalogue::catalogue;
    use super::*;

    const START: i64 = 1_700_000_000_000;
    const END: i64 = START + 48 * 3_600_000;

    #[test]
    fn counters_only_fall_when_their_target_restarts() {
        for series in catalogue().iter().filter(|s| matches!(s.shape, Shape::Counter { .. })).step_by(97) {
            let all = samples(series, Replica::A, START, END);
            assert!(all.windows(2).all(|w| w[0].0 < w[1].0));
            let falls = all.windows(2).filter(|w| w[1].1 < w[0].1).count();
            let ends = all.iter().filter(|(_, v)| v.to_bits() == STALE.to_bits()).count();
            assert!(falls <= ends, "{}: {falls} resets, {ends} outages", series.labels);
        }
    }

    #[test]
    fn buckets_of_one_histogram_are_cumulative() {
        let all = catalogue();
        let of = |le: &str| {
            let mut found = all.iter().filter(|s| {
                s.labels.metric_name() == Some(b"http_request_duration_seconds_bucket")
                    && s.labels.get("le") == Some(le.as_bytes())
            });
            samples(found.next().expect("a bucket"), Replica::A, START, END)
        };
        let (small, large) = (of("0.05"), of("+Inf"));
        assert_eq!(small.len(), large.len());
        let live = |v: f64| v.to_bits() != STALE.to_bits();
        assert!(small.iter().zip(&large).all(|(s, l)| s.0 == l.0 && (!live(s.1) || s.1 <= l.1)));
    }

    #[test]
    fn replicas_differ_in_time_and_gaps() {
        let all = catalogue();
        let series = all.iter().find(|s| s.replicated).expect("a replicated series");
        let (a, b) = (samples(series, Replica::A, START, END), samples(series, Replica::B, START, END));
        let gap = |s: &[(i64, f64)]| s.windows(2).map(|w| w[1].0 - w[0].0).max();
        assert!(gap(&a) >= Some(18 * 60_000) && gap(&b) >= Some(30 * 60_000));
        assert_ne!(a[0].0, b[0].0);
    }
}
