//! Eight XOR chunks folded side by side, without storing a sample.

use std::arch::x86_64::*;

use super::{load, load_array};
use crate::fold::Fold;
use crate::kernel::N_LANES;
use crate::{FloatFold, STALE_NAN_BITS, Timestamp};

/// Folds eight chunks, whose headers promise more than 2 samples each. Answers `false` when one is damaged.
///
/// # Safety
/// The CPU must have AVX-512 F, BW, CD and DQ, LZCNT, BMI1 and BMI2.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,lzcnt,bmi1,bmi2")]
pub(in crate::kernel) unsafe fn fold(
    chunks: &[&[u8]; N_LANES],
    folds: &mut [FloatFold; N_LANES],
    scratch: &mut Vec<u8>,
) -> bool {
    let counts = chunks.map(|data| data.first_chunk::<2>().map_or(0, |n| i64::from(u16::from_be_bytes(*n))));
    let first = |lane: usize, _: usize, t: i64, bits: u64| {
        if bits != STALE_NAN_BITS {
            folds[lane].add(t, f64::from_bits(bits));
        }
    };
    let Some(mut lanes) = load(chunks, first, scratch) else { return false };
    let mut state = State::of(folds);
    let n_max = counts.iter().copied().max().unwrap_or(0);
    let counts = load_array(counts);
    for i in 2..n_max {
        let active = _mm512_cmpgt_epi64_mask(counts, _mm512_set1_epi64(i));
        // SAFETY: as in `decode`: every position is inside the padding, as `advance` answers `false` once an active
        // lane is past its end, and an inactive lane stays where it is.
        if !unsafe { lanes.advance(active, scratch) } {
            return false;
        }
        state.add(active, lanes.t, lanes.bits);
    }
    state.store(folds);
    true
}

/// Eight [`FloatFold`]s, a lane each. Without samples yet, `last` is negative infinity, `min` and `max` are NaN and
/// `sum` is -0, so that the first sample needs nothing special but `first`.
struct State {
    count: __m512i,
    sum: __m512d,
    min: __m512d,
    max: __m512d,
    first_t: __m512i,
    first: __m512d,
    last_t: __m512i,
    last: __m512d,
    lost: __m512d,
}

impl State {
    #[target_feature(enable = "avx512f")]
    fn of(folds: &[FloatFold; N_LANES]) -> State {
        let floats = |of: fn(&FloatFold) -> f64, empty: f64| {
            let column = folds.each_ref().map(|fold| if fold.count == 0 { empty } else { of(fold) });
            _mm512_castsi512_pd(load_array(column.map(|value| value.to_bits() as i64)))
        };
        State {
            count: load_array(folds.each_ref().map(|fold| fold.count as i64)),
            sum: floats(|fold| fold.sum, -0.0),
            min: floats(|fold| fold.min, f64::NAN),
            max: floats(|fold| fold.max, f64::NAN),
            first_t: load_array(folds.each_ref().map(|fold| fold.first_t.0)),
            first: floats(|fold| fold.first, 0.0),
            last_t: load_array(folds.each_ref().map(|fold| fold.last_t.0)),
            last: floats(|fold| fold.last, f64::NEG_INFINITY),
            lost: floats(|fold| fold.lost_at_resets, 0.0),
        }
    }

    /// Adds one sample of each active lane that is not a stale marker.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
    fn add(&mut self, active: __mmask8, t: __m512i, bits: __m512i) {
        let stale = _mm512_set1_epi64(STALE_NAN_BITS as i64);
        let valid = _mm512_mask_cmpneq_epi64_mask(active, bits, stale);
        let value = _mm512_castsi512_pd(bits);
        let opening = _mm512_mask_testn_epi64_mask(valid, self.count, self.count);
        if opening != 0 {
            self.first_t = _mm512_mask_mov_epi64(self.first_t, opening, t);
            self.first = _mm512_mask_mov_pd(self.first, opening, value);
        }
        self.sum = _mm512_mask_add_pd(self.sum, valid, self.sum, value);
        let fell = _mm512_mask_cmp_pd_mask::<_CMP_LT_OQ>(valid, value, self.last);
        self.lost = _mm512_mask_add_pd(self.lost, fell, self.lost, self.last);
        // Unordered or less: the value or what is held may be NaN; of the value that is ruled out.
        let number = _mm512_mask_cmp_pd_mask::<_CMP_ORD_Q>(valid, value, value);
        let below = _mm512_mask_cmp_pd_mask::<_CMP_NGE_UQ>(number, value, self.min);
        let above = _mm512_mask_cmp_pd_mask::<_CMP_NLE_UQ>(number, value, self.max);
        self.min = _mm512_mask_mov_pd(self.min, below, value);
        self.max = _mm512_mask_mov_pd(self.max, above, value);
        self.count = _mm512_mask_add_epi64(self.count, valid, self.count, _mm512_set1_epi64(1));
        self.last_t = _mm512_mask_mov_epi64(self.last_t, valid, t);
        self.last = _mm512_mask_mov_pd(self.last, valid, value);
    }

    #[target_feature(enable = "avx512f")]
    fn store(&self, folds: &mut [FloatFold; N_LANES]) {
        let [count, first_t, last_t] = [self.count, self.first_t, self.last_t].map(|v| store_array(v));
        let columns = [self.sum, self.min, self.max, self.first, self.last, self.lost];
        let [sum, min, max, first, last, lost] =
            columns.map(|v| store_array(_mm512_castpd_si512(v)).map(|bits| f64::from_bits(bits as u64)));
        for (lane, fold) in folds.iter_mut().enumerate().filter(|(lane, _)| count[*lane] != 0) {
            *fold = FloatFold {
                count: count[lane] as u64,
                sum: sum[lane],
                min: min[lane],
                max: max[lane],
                first_t: Timestamp(first_t[lane]),
                first: first[lane],
                last_t: Timestamp(last_t[lane]),
                last: last[lane],
                lost_at_resets: lost[lane],
            };
        }
    }
}

#[target_feature(enable = "avx512f")]
fn store_array(values: __m512i) -> [i64; N_LANES] {
    let mut out = [0; N_LANES];
    // SAFETY: the array is 64 bytes long.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), values) };
    out
}
