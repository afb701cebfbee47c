//! The chain rule for floats of two replicas that were never scraped in the same millisecond: their samples by time, without a
//! decision for each.

use tithon_chunks::SampleBatch;

use super::track::Track;

/// Samples of a track that are still to be merged.
type Rest<'a> = (&'a [i64], &'a [f64]);

/// Appends the samples of all tracks by time. The tracks are chunks or whole replicas; at most two of them are open at a time.
///
/// Returns `false`, and leaves `out` unchanged, where this module cannot tell the order: for tracks with histograms, more than two
/// at a time, equal times, and times that do not ascend.
pub(crate) fn merge(tracks: &[Track<'_>], out: &mut SampleBatch) -> bool {
    let Some([a, b]) = sequences(tracks) else { return false };
    let begin = out.len();
    let n = a.iter().chain(&b).map(|(times, _)| times.len()).sum();
    out.timestamps.reserve(n);
    out.values.reserve(n);
    zip([a, b], out);
    let times = &out.timestamps[begin..];
    let ascends =
        times.iter().zip(times.get(1..).unwrap_or_default()).fold(true, |all, (a, b)| all & (a < b));
    if !ascends {
        out.timestamps.truncate(begin);
        out.values.truncate(begin);
    }
    ascends
}

/// The tracks as two sequences, in each of which a track begins after the end of the one before.
fn sequences<'a>(tracks: &[Track<'a>]) -> Option<[Vec<Rest<'a>>; 2]> {
    let mut all = Vec::with_capacity(tracks.len());
    for track in tracks.iter().filter(|track| !track.times().is_empty()) {
        all.push((track.times(), track.all_floats()?));
    }
    all.sort_by_key(|(times, _)| times[0]);
    let (mut sequences, mut ends) = ([Vec::new(), Vec::new()], [None, None]);
    for track in all {
        let first = track.0[0];
        let free = (0..2).find(|i| ends[*i].is_none_or(|end| end < first))?;
        ends[free] = track.0.last().copied();
        sequences[free].push(track);
    }
    Some(sequences)
}

/// Appends the samples of two sequences by time.
fn zip(sequences: [Vec<Rest<'_>>; 2], out: &mut SampleBatch) {
    let [mut a, mut b] = sequences.map(|sequence| sequence.into_iter());
    let (mut left, mut right) = (a.next(), b.next());
    while let (Some(l), Some(r)) = (left, right) {
        let (from_l, from_r) = zip_two(l, r, out);
        left = rest(l, from_l).or_else(|| a.next());
        right = rest(r, from_r).or_else(|| b.next());
    }
    for (times, values) in left.into_iter().chain(a).chain(right).chain(b) {
        out.timestamps.extend_from_slice(times);
        out.values.extend_from_slice(values);
    }
}

/// Appends samples of both until one of them has none left; returns how many of each.
fn zip_two(l: Rest<'_>, r: Rest<'_>, out: &mut SampleBatch) -> (usize, usize) {
    let begin = out.len();
    let n = l.0.len() + r.0.len();
    out.timestamps.resize(begin + n, 0);
    out.values.resize(begin + n, 0.0);
    let (times, values) = (&mut out.timestamps[begin..], &mut out.values[begin..]);
    let (mut i, mut j) = (0, 0);
    while i < l.0.len() && j < r.0.len() {
        let turns = in_turn(
            (&l.0[i..], &l.1[i..]),
            (&r.0[j..], &r.1[j..]),
            (&mut times[i + j..], &mut values[i + j..]),
        );
        (i, j) = (i + turns, j + turns);
        for _ in 0..STRETCH {
            let (Some(l_time), Some(r_time)) = (l.0.get(i), r.0.get(j)) else { break };
            let is_left = l_time < r_time;
            times[i + j] = std::hint::select_unpredictable(is_left, *l_time, *r_time);
            values[i + j] = std::hint::select_unpredictable(is_left, l.1[i], r.1[j]);
            (i, j) = (i + usize::from(is_left), j + usize::from(!is_left));
        }
    }
    out.timestamps.truncate(begin + i + j);
    out.values.truncate(begin + i + j);
    (i, j)
}

/// The number of samples of each replica that are looked at together.
const STRETCH: usize = 8;

/// Merges samples as long as the two replicas take turns, as they do where both scrape at the same interval: a stretch of each at
/// a time. Returns how many samples of each were merged.
fn in_turn(l: Rest<'_>, r: Rest<'_>, out: (&mut [i64], &mut [f64])) -> usize {
    match l.0.first() < r.0.first() {
        true => alternate(l, r, out),
        false => alternate(r, l, out),
    }
}

/// [`in_turn`], where the first sample is one of `a`.
fn alternate(a: Rest<'_>, b: Rest<'_>, out: (&mut [i64], &mut [f64])) -> usize {
    let stretches = a.0.chunks_exact(STRETCH).zip(b.0.chunks_exact(STRETCH));
    let places = out.0.chunks_exact_mut(2 * STRETCH).zip(out.1.chunks_exact_mut(2 * STRETCH));
    let mut n = 0;
    for ((a_times, b_times), (times, values)) in stretches.zip(places) {
        let Some(next) = a.0.get(n + 1..=n + STRETCH) else { break };
        let steps = a_times.iter().zip(b_times).zip(next);
        if !steps.fold(true, |all, ((a, b), next)| all & (a < b) & (b < next)) {
            break;
        }
        let (a_values, b_values) = (&a.1[n..n + STRETCH], &b.1[n..n + STRETCH]);
        for k in 0..STRETCH {
            (times[2 * k], times[2 * k + 1]) = (a_times[k], b_times[k]);
            (values[2 * k], values[2 * k + 1]) = (a_values[k], b_values[k]);
        }
        n += STRETCH;
    }
    n
}

fn rest((times, values): Rest<'_>, taken: usize) -> Option<Rest<'_>> {
    (taken < times.len()).then(|| (&times[taken..], &values[taken..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tithon_chunks::Timestamp;

    use super::*;
    use crate::dedup::chain;

    proptest! {
        /// Replicas that mostly take turns: each misses some scrapes.
        #[test]
        fn turns_are_merged_as_by_the_chain_rule(
            scrapes in prop::collection::vec((0i64..5, prop::bool::weighted(0.97)), 0..300),
            first in 0..2i64,
        ) {
            let mut columns = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
            for (i, (late, _)) in scrapes.iter().enumerate().filter(|(_, (_, is_there))| *is_there) {
                let (times, values) = &mut columns[(i as i64 + first) as usize % 2];
                times.push(10 * i as i64 + late);
                values.push(i as f64);
            }
            let tracks = columns.each_ref().map(|(times, values)| Track::floats(times, values));
            let mut out = SampleBatch::default();
            prop_assert!(merge(&tracks, &mut out));
            let picks = chain::merge(&tracks);
            let times: Vec<i64> = picks.iter().map(|pick| columns[pick.track].0[pick.index]).collect();
            let values: Vec<f64> = picks.iter().map(|pick| columns[pick.track].1[pick.index]).collect();
            prop_assert_eq!((out.timestamps, out.values), (times, values));
        }

        #[test]
        fn what_is_merged_is_merged_as_by_the_chain_rule(
            all in prop_oneof![
                prop::collection::vec(prop::collection::vec(0i64..60, 0..6), 0..6),
                prop::collection::vec(prop::collection::vec(0i64..200, 60..120), 1..4),
            ],
            sorted in prop::bool::weighted(0.9),
            spread in any::<bool>(),
        ) {
            let n = all.len() as i64;
            let mut columns: Vec<(Vec<i64>, Vec<f64>)> = Vec::new();
            for (mut times, i) in all.into_iter().zip(0..) {
                if sorted {
                    times.sort_unstable();
                    times.dedup();
                }
                let times: Vec<i64> = times.into_iter().map(|t| if spread { t * n + i } else { t }).collect();
                let values = times.iter().map(|t| (*t * 10 + i) as f64).collect();
                columns.push((times, values));
            }
            let tracks: Vec<Track<'_>> =
                columns.iter().map(|(times, values)| Track::floats(times, values)).collect();
            let mut out = SampleBatch::default();
            out.push(Timestamp(-1), 0.5);
            let merged = merge(&tracks, &mut out);
            prop_assert_eq!(out.timestamps[0], -1);
            if merged {
                let picks = chain::merge(&tracks);
                let times: Vec<i64> = picks.iter().map(|pick| columns[pick.track].0[pick.index]).collect();
                let values: Vec<f64> = picks.iter().map(|pick| columns[pick.track].1[pick.index]).collect();
                prop_assert_eq!((&out.timestamps[1..], &out.values[1..]), (&times[..], &values[..]));
            } else {
                prop_assert_eq!(out.len(), 1);
            }
            prop_assert!(merged || columns.len() > 2 || !spread || !sorted);
        }
    }
}
