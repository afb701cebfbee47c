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
    let ascends = out.timestamps[begin..].windows(2).all(|pair| pair[0] < pair[1]);
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
    let places = out.timestamps[begin..].iter_mut().zip(&mut out.values[begin..]);
    let ((l_times, l_values), (r_times, r_values)) = (l, r);
    let (mut i, mut j) = (0, 0);
    for (time, value) in places {
        let (Some(l_time), Some(r_time)) = (l_times.get(i), r_times.get(j)) else { break };
        // Replicas take turns, or not: nobody can foresee it.
        let is_left = l_time < r_time;
        *time = std::hint::select_unpredictable(is_left, *l_time, *r_time);
        *value = std::hint::select_unpredictable(is_left, l_values[i], r_values[j]);
        (i, j) = (i + usize::from(is_left), j + usize::from(!is_left));
    }
    out.timestamps.truncate(begin + i + j);
    out.values.truncate(begin + i + j);
    (i, j)
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
        #[test]
        fn what_is_merged_is_merged_as_by_the_chain_rule(
            all in prop::collection::vec(prop::collection::vec(0i64..60, 0..6), 0..6),
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
