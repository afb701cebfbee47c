//! Averages of a downsampled chunk: sums divided by counts, sample by sample.

use tithon_chunks::{FloatHistogram, Samples};

use super::ReadError;

/// Divides each sum by the count at the same time, appending to `out`. Counts are floats; sums are floats or
/// histograms. Fails when the times of counts and sums differ.
pub(super) fn divide(counts: &Samples, sums: &Samples, out: &mut Samples) -> Result<(), ReadError> {
    let n_sums = sums.floats.len() + sums.histograms.timestamps.len();
    if counts.floats.len() != n_sums {
        return Err(ReadError::Unaligned { counts: counts.floats.len(), sums: n_sums });
    }
    let (mut f, mut h) = (0, 0);
    for (&time, &count) in counts.floats.timestamps.iter().zip(&counts.floats.values) {
        if sums.floats.timestamps.get(f) == Some(&time) {
            out.floats.timestamps.push(time);
            out.floats.values.push(sums.floats.values[f] / count);
            f += 1;
        } else if sums.histograms.timestamps.get(h) == Some(&time) {
            out.histograms.timestamps.push(time);
            out.histograms.values.push(divided(&sums.histograms.values[h], count));
            h += 1;
        } else {
            return Err(ReadError::UnalignedTime { time });
        }
    }
    Ok(())
}

fn divided(histogram: &FloatHistogram, by: f64) -> FloatHistogram {
    let mut out = histogram.clone();
    out.zero_count /= by;
    out.count /= by;
    out.sum /= by;
    for bucket in out.positive_buckets.iter_mut().chain(&mut out.negative_buckets) {
        *bucket /= by;
    }
    out
}
