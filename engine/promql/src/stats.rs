//! Means and quantiles, with the rounding of upstream.

mod histogram_mean;
mod mean;
mod quantile;

pub(crate) use histogram_mean::HistogramMean;
pub(crate) use mean::Mean;
pub(crate) use quantile::{has_plain_order, quantile, quantile_of_sorted};
