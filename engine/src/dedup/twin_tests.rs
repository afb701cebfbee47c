//! Whole columns against their twin, which goes sample by sample: random pairs of replicas, cut into chunks.

use tithon_chunks::{EncodedChunk, STALE_NAN_BITS, Samples, TimeRange};

use super::penalty::tree;
use super::rows::split_overlaps;
use super::testing::{Random, chunks_of};
use super::track::{Pick, Sequence, Track};
use super::{ReplicaRule, Wanted, chain, deduplicate, gather, is_counter, read};

/// Number of pairs of replicas: a million in release builds, where that takes seconds.
const PAIRS: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

/// Samples of one replica: about evenly spaced, with skew, gaps, resets, stale markers, fractions or whole numbers.
fn replica(random: &mut Random) -> Vec<(i64, f64)> {
    let interval = random.pick(&[1_000, 5_000, 15_000, 15_000, 30_000, 30_000, 60_000]);
    let jitter = random.pick(&[1, 1, 1, 20, 4_000]);
    let (gaps, resets, stale) =
        (random.pick(&[8, 40, 1_000]), random.pick(&[8, 40, 1_000]), random.pick(&[30, 1_000]));
    let step = random.pick(&[1.0, 1.0, 0.1, 1e15]);
    let mut time = random.pick(&[1_000_000_000_000_i64, 1_000_000_000_000, 40_000, 0, -100_000]);
    time += random.below(40_000) as i64;
    let mut value = random.below(3) as f64 * step;
    let mut out = Vec::new();
    for _ in 0..random.below(60) {
        if random.one_in(resets) {
            value = random.pick(&[0.0, -0.0, 1.0, -1.0, f64::INFINITY]);
        }
        let sample = if random.one_in(stale) { f64::from_bits(STALE_NAN_BITS) } else { value };
        out.push((time, sample));
        value += random.below(4) as f64 * step;
        time += interval + random.below(jitter) as i64;
        if random.one_in(gaps) {
            time += interval * random.below(8) as i64;
        }
    }
    out
}

/// The twin: rows are read and merged sample by sample.
fn by_samples(chunks: &[EncodedChunk], function: &str, algorithm: ReplicaRule, range: TimeRange) -> Samples {
    let row = |row: &Vec<&EncodedChunk>| read::row(row, Wanted::by(function), range).unwrap();
    let mut rows: Vec<Samples> = split_overlaps(chunks).iter().map(row).collect();
    if rows.len() < 2 {
        return rows.pop().unwrap_or_default();
    }
    let sequences: Vec<Sequence<'_>> = rows.iter().map(Sequence::new).collect();
    let tracks: Vec<Track<'_>> = sequences.iter().map(Sequence::track).collect();
    let mut picks: Vec<Pick> = Vec::new();
    match algorithm {
        ReplicaRule::Chain => picks = chain::merge(&tracks),
        _ => tree::merge_each(&tracks, |pick| picks.push(pick)),
    }
    if !is_counter(function) {
        picks.iter_mut().for_each(|pick| pick.float = tracks[pick.track].float(pick.index));
    }
    gather(&sequences, &picks, algorithm == ReplicaRule::Chain)
}

fn bits(samples: &Samples) -> Vec<(i64, u64)> {
    let values = samples.floats.values.iter().map(|value| value.to_bits());
    samples.floats.timestamps.iter().copied().zip(values).collect()
}

#[test]
fn columns_are_as_sample_by_sample() {
    let mut random = Random(1);
    for pair in 0..PAIRS {
        let n_replicas = if random.one_in(10) { 3 } else { 2 };
        let mut all: Vec<EncodedChunk> = Vec::new();
        for _ in 0..n_replicas {
            let samples = replica(&mut random);
            all.extend(chunks_of(&samples, random.pick(&[1, 3, 12, 30, 100])));
        }
        all.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
        let function = random.pick(&["", "rate", "increase", "sum", "xrate"]);
        let algorithm = random.pick(&[ReplicaRule::Penalty, ReplicaRule::Penalty, ReplicaRule::Chain]);
        let (first, last) = (all.first().map_or(0, |c| c.min_time.0), all.last().map_or(0, |c| c.max_time.0));
        let range = match random.one_in(2) {
            true => TimeRange::ALL,
            false => {
                let inside = |random: &mut Random| first + random.below((last - first).max(1) as u64) as i64;
                TimeRange::new(inside(&mut random), inside(&mut random))
            }
        };
        let mut columns = Samples::default();
        deduplicate(&all, function, algorithm, range, &mut columns).unwrap();
        let twin = by_samples(&all, function, algorithm, range);
        assert_eq!(bits(&columns), bits(&twin), "pair {pair}: {function:?} {algorithm:?} {range:?}");
    }
}
