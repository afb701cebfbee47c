//! `stddev_over_time` and `stdvar_over_time`: four windows at the same time, since each is a long chain of divisions that
//! depend on each other.

use tithon_chunks::kahan_add;

use super::slide::Sliding;
use crate::frame::Column;

const LANES: usize = 4;

/// Welford's running mean and sum of squares, both compensated.
#[derive(Clone, Copy, Default)]
struct Welford {
    mean: (f64, f64),
    squares: (f64, f64),
}

impl Welford {
    #[inline(always)]
    fn add(&mut self, v: f64, n: f64) {
        let delta = v - (self.mean.0 + self.mean.1);
        self.mean = kahan_add(delta / n, self.mean.0, self.mean.1);
        self.squares = kahan_add(delta * (v - (self.mean.0 + self.mean.1)), self.squares.0, self.squares.1);
    }
}

/// `f` of the variance of each window.
#[inline(always)]
pub(super) fn variance(sliding: &mut Sliding<'_>, f: impl Fn(f64) -> f64) -> Column {
    let values = sliding.values;
    let mut windows: Vec<&[f64]> = Vec::with_capacity(sliding.steps.len);
    let mut column = sliding.fill(|slide, _, _| {
        windows.push(&values[slide.from..slide.to]);
        Some(0.0)
    });
    let mut variances: Vec<f64> = Vec::with_capacity(windows.len());
    let (groups, rest) = windows.as_chunks::<LANES>();
    for group in groups {
        if sliding.is_cancelled() {
            break;
        }
        let mut states = [Welford::default(); LANES];
        let shared = group.iter().map(|w| w.len()).min().unwrap_or(0);
        let heads = group.map(|w| &w[..shared]);
        for i in 0..shared {
            let n = (i + 1) as f64;
            for (state, head) in states.iter_mut().zip(heads) {
                state.add(head[i], n);
            }
        }
        for (state, window) in states.into_iter().zip(group) {
            variances.push(finish(state, window, shared));
        }
    }
    variances.extend(rest.iter().map(|window| finish(Welford::default(), window, 0)));
    let mut variances = variances.into_iter();
    column.map_floats(|_, _| variances.next().map(&f));
    column
}

/// Adds the values of a window from index `n` on, and gives its variance.
fn finish(mut state: Welford, window: &[f64], n: usize) -> f64 {
    for (i, v) in window.iter().enumerate().skip(n) {
        state.add(*v, (i + 1) as f64);
    }
    (state.squares.0 + state.squares.1) / window.len() as f64
}
