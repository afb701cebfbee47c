//! `sum_over_time` and `avg_over_time` over sliding windows.
//!
//! Sums of integers are exact in any order as long as they stay below 2^53: then a window's sum is the difference of two
//! running sums, and the compensation of upstream's sums is zero. Other values are added up window by window.

use tithon_chunks::kahan_add;

use super::slide::Sliding;
use crate::frame::Column;
use crate::stats::Mean;

/// `sum_over_time`
pub(super) fn sum(sliding: &mut Sliding<'_>) -> Column {
    if let Some(sums) = running_sums(sliding.values) {
        return sliding.fill(|slide, _, _| Some(sums[slide.to] - sums[slide.from]));
    }
    sliding.fill(|slide, _, values| {
        let window = &values[slide.from..slide.to];
        let (sum, c) = window.iter().fold((0.0, 0.0), |(sum, c), v| kahan_add(*v, sum, c));
        Some(if sum.is_infinite() { sum } else { sum + c })
    })
}

/// `avg_over_time`
pub(super) fn avg(sliding: &mut Sliding<'_>) -> Column {
    if let Some(sums) = running_sums(sliding.values) {
        return sliding
            .fill(|slide, _, _| Some((sums[slide.to] - sums[slide.from]) / (slide.to - slide.from) as f64));
    }
    sliding.fill(|slide, _, values| {
        let mut mean = Mean::of(values[slide.from]);
        values[slide.from + 1..slide.to].iter().for_each(|v| mean.add(*v));
        Some(mean.value())
    })
}

/// The sums of the first 0, 1, 2, … values, if all of them and all differences are exact.
fn running_sums(values: &[f64]) -> Option<Vec<f64>> {
    // Adding and subtracting 1.5 * 2^52 rounds numbers below 2^51 to integers.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LIMIT: f64 = 2_251_799_813_685_248.0;
    let mut lanes = [0.0; 4];
    let mut all_integers = true;
    let (fours, rest) = values.as_chunks::<4>();
    for four in fours {
        for (lane, v) in lanes.iter_mut().zip(four) {
            *lane += v.abs();
            all_integers &= (v + ROUND) - ROUND == *v;
        }
    }
    for v in rest {
        lanes[0] += v.abs();
        all_integers &= (v + ROUND) - ROUND == *v;
    }
    // A NaN anywhere makes the comparison false.
    let is_small = lanes.iter().sum::<f64>() < LIMIT;
    if !all_integers || !is_small {
        return None;
    }
    let mut sums = Vec::with_capacity(values.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    sums.extend(values.iter().map(|v| {
        sum += v;
        sum
    }));
    Some(sums)
}
