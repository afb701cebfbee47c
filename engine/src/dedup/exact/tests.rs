//! The contract of `docs/deduplication.md` over random pairs of replicas, and cases that were reported to Thanos.

use tithon_chunks::{STALE_NAN_BITS, SampleBatch, TimeRange};

use super::super::testing::{Random, chunks_of};
use super::super::{ReplicaRule, deduplicate};

/// Number of pairs of replicas: a million in release builds, where that takes seconds.
const PAIRS: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

fn merged(replicas: &[&[(i64, f64)]], function: &str) -> SampleBatch {
    // One chunk each, so that the chunks that overlap are the replicas.
    let mut chunks: Vec<_> = replicas.iter().flat_map(|samples| chunks_of(samples, 100)).collect();
    chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
    let mut out = tithon_chunks::Samples::default();
    deduplicate(&chunks, function, ReplicaRule::Exact, TimeRange::ALL, &mut out).unwrap();
    out.floats
}

/// A simulated counter: it grows by one each `pace` milliseconds, and starts again at 0 at the `resets`.
struct Counter {
    pace: i64,
    resets: Vec<i64>,
}

impl Counter {
    fn read(&self, time: i64) -> f64 {
        let since = self.resets.iter().copied().filter(|reset| *reset <= time).max().unwrap_or(0);
        ((time - since) / self.pace) as f64
    }

    /// The true growth up to a time.
    fn total(&self, time: i64) -> f64 {
        let mut borders: Vec<i64> = self.resets.iter().copied().filter(|reset| *reset <= time).collect();
        borders.insert(0, 0);
        borders.push(time);
        borders.windows(2).map(|pair| ((pair[1] - pair[0]) / self.pace) as f64).sum()
    }
}

/// Times of the scrapes of a replica: about evenly spaced, with gaps and pauses.
fn scrapes(random: &mut Random, interval: i64) -> Vec<i64> {
    let (mut time, jitter) = (random.below(120_000) as i64 + 1, random.pick(&[1, 20, 2_000]));
    let holes = random.pick(&[5, 20, 1_000]);
    let mut times = Vec::new();
    for _ in 0..random.below(50) {
        times.push(time);
        time += interval + random.below(jitter) as i64;
        if random.one_in(holes) {
            time += interval * random.below(10) as i64;
        }
    }
    times
}

#[test]
fn nothing_is_lost_and_nothing_invented() {
    let mut random = Random(2);
    for pair in 0..PAIRS {
        let interval = random.pick(&[1_000, 15_000, 30_000]);
        let other = if random.one_in(4) { random.pick(&[10_000, 60_000]) } else { interval };
        let times = [scrapes(&mut random, interval), scrapes(&mut random, other)];
        let resets = (0..random.below(4)).map(|_| random.below(1_000_000) as i64).collect();
        let counter = Counter { pace: random.pick(&[100, 700, 20_000]), resets };
        let sampled = |times: &Vec<i64>| times.iter().map(|t| (*t, counter.read(*t))).collect::<Vec<_>>();
        let replicas = [sampled(&times[0]), sampled(&times[1])];
        let of = [replicas[0].as_slice(), replicas[1].as_slice()];

        let gauge = merged(&of, "");
        let value = |time: i64| replicas.iter().flatten().find(|(t, _)| *t == time).map(|(_, v)| *v);
        let kept = gauge.timestamps.iter().zip(&gauge.values).all(|(t, v)| value(*t) == Some(*v));
        assert!(kept, "pair {pair}: a sample that no replica has");
        assert!(gauge.timestamps.is_sorted_by(|a, b| a < b), "pair {pair}: out of order");

        let best = if times[1].len() > times[0].len() { 1 } else { 0 };
        let is_there = |t: &i64| gauge.timestamps.binary_search(t).is_ok();
        let overlap = times.iter().all(|t| !t.is_empty())
            && times[0][0] <= times[1][times[1].len() - 1]
            && times[1][0] <= times[0][times[0].len() - 1];
        if !overlap {
            continue;
        }
        if times[0].len() != times[1].len() {
            assert!(times[best].iter().all(is_there), "pair {pair}: a sample of the better replica is lost");
        }
        let usual = super::interval(times[0].iter().copied()).max(super::interval(times[1].iter().copied()));
        for time in times.iter().flatten() {
            let after = gauge.timestamps.partition_point(|t| t < time);
            let near = [after.checked_sub(1), Some(after)].into_iter().flatten();
            let near =
                near.filter_map(|i| gauge.timestamps.get(i)).any(|t| (t - time).abs() <= usual * 3 / 2);
            assert!(near, "pair {pair}: a hole at {time} that a replica could fill");
        }

        let rate = merged(&of, "rate");
        let samples: Vec<(i64, f64)> =
            rate.timestamps.iter().copied().zip(rate.values.iter().copied()).collect();
        for step in samples.windows(2) {
            let truly = counter.total(step[1].0) - counter.total(step[0].0);
            // Between two readings the counter may have been about to grow at each reset.
            let slack = counter.resets.len() as f64;
            let grew = step[1].1 - step[0].1;
            assert!(grew >= 0.0, "pair {pair}: a reset was invented at {}", step[1].0);
            assert!(grew <= truly + slack, "pair {pair}: grew by {grew} instead of {truly} at {}", step[1].0);
        }
    }
}

/// Replicas that contradict each other: stale values, different counters.
#[test]
fn counters_never_fall_whatever_replicas_say() {
    let mut random = Random(3);
    for pair in 0..PAIRS / 4 {
        let replica = |random: &mut Random| {
            let interval = random.pick(&[15_000, 30_000]);
            let times = scrapes(random, interval);
            let step = random.pick(&[0.1, 1.0, 1e16]);
            times.iter().map(|t| (*t, random.below(30) as f64 * step)).collect::<Vec<(i64, f64)>>()
        };
        let (a, b) = (replica(&mut random), replica(&mut random));
        let rate = merged(&[&a, &b], "increase");
        assert!(rate.values.is_sorted(), "pair {pair}: {:?}", rate.values);
    }
}

fn every(interval: i64, n: i64, first: i64, value: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
    (0..n).map(|i| first + i * interval).map(|t| (t, value(t))).collect()
}

/// thanos-io/thanos#7364: one replica lacks scrapes, the other has them all; which one comes first does not matter.
#[test]
fn holes_of_one_replica_are_filled() {
    let whole = every(30_000, 40, 1_010_000, |t| t as f64);
    let mut holes = every(30_000, 40, 1_000_000, |t| t as f64);
    holes.drain(10..13);
    holes.drain(20..21);
    for replicas in [[whole.as_slice(), &holes], [&holes, &whole]] {
        let times = merged(&replicas, "").timestamps;
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 45_000), "{times:?}");
        assert!(whole.iter().all(|(t, _)| times.contains(t)));
    }
}

/// thanos-io/thanos#7364: both replicas lack some scrapes, at different times.
#[test]
fn holes_of_both_replicas_are_filled() {
    let mut a = every(30_000, 40, 1_000_000, |t| t as f64);
    let mut b = every(30_000, 40, 1_010_000, |t| t as f64);
    a.drain(10..13);
    b.drain(20..23);
    let times = merged(&[&a, &b], "").timestamps;
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 50_000), "{times:?}");
}

/// thanos-io/thanos#2890: the newest samples come from the other replica, which is a little behind.
#[test]
fn the_newest_samples_bring_no_spike() {
    let read = |t: i64| 1_000_000.0 + (t / 1000) as f64;
    let mut a = every(60_000, 30, 6_000_000, read);
    // This replica scrapes late: its values are a second old.
    let b = every(60_000, 32, 6_001_000, |t| read(t - 2_000));
    a.truncate(27);
    let rate = merged(&[&a, &b], "rate");
    let grew: Vec<f64> = rate.values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(grew.iter().all(|by| (0.0..=62.0).contains(by)), "{grew:?}");
    assert_eq!(rate.timestamps.last(), b.last().map(|(t, _)| t));
}

/// thanos-io/thanos#7341: a rate over two replicas is that of one.
#[test]
fn two_whole_replicas_are_as_one() {
    let a = every(15_000, 80, 3_000_000, |t| (t / 700) as f64);
    let b = every(15_000, 80, 3_006_000, |t| (t / 700) as f64);
    let rate = merged(&[&a, &b], "rate");
    assert_eq!(rate.timestamps, a.iter().map(|s| s.0).collect::<Vec<_>>());
    assert_eq!(rate.values, a.iter().map(|s| s.1).collect::<Vec<_>>());
}

/// thanos-io/thanos#8430: three replicas read a counter within a second of each other, and a later reading is lower.
#[test]
fn a_later_reading_that_is_lower_is_no_reset() {
    let steps =
        [(0, 78_988.0), (20_000, 78_995.0), (40_000, 79_001.0), (60_000, 79_007.0), (80_000, 79_013.0)];
    let shifted = |by: i64, more: f64| steps.map(|(t, v)| (1_719_976_786_600 + t + by, v + more));
    let (a, b, c) = (shifted(0, 0.0), shifted(813, 1.0), shifted(888, 0.0));
    let rate = merged(&[&a, &b, &c], "rate");
    assert_eq!(rate.values.last().zip(rate.values.first()).map(|(last, first)| last - first), Some(25.0));
    // A gap in the first replica is filled by one whose values are a little lower.
    let holed: Vec<(i64, f64)> =
        a.iter().copied().filter(|(_, v)| *v != 79_001.0 && *v != 79_007.0).collect();
    let less = shifted(500, -20.0);
    let rate = merged(&[&holed, &less[1..4]], "rate");
    assert!(rate.values.is_sorted(), "{:?}", rate.values);
    assert!(rate.values.iter().all(|v| (78_960.0..79_100.0).contains(v)), "{:?}", rate.values);
}

/// A replica that restarts writes stale markers, while the other goes on.
#[test]
fn a_stale_marker_does_not_hide_the_other_replica() {
    let stale = f64::from_bits(STALE_NAN_BITS);
    let mut a = every(15_000, 60, 1_000_000, |_| 1.0);
    a.splice(20..30, [(a[19].0 + 1_000, stale)]);
    let b = every(15_000, 40, 1_004_000, |_| 2.0);
    let gauge = merged(&[&a, &b], "");
    assert!(gauge.values.iter().all(|v| !v.is_nan()));
    // If neither replica has later samples, the marker is kept.
    let ended: Vec<(i64, f64)> = a[..21].to_vec();
    let gauge = merged(&[&ended, &b[..18]], "");
    assert_eq!(gauge.values.last().map(|v| v.to_bits()), Some(STALE_NAN_BITS));
}
