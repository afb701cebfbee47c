//! Native histograms: schema 2 with eight buckets in use, some observations between two scrapes.

use tithon_chunks::{CounterResetHint, Histogram, STALE_NAN_BITS, Span};
use tithon_engine::compact::MergeError;

use crate::cut::Cutter;
use crate::random::Random;
use crate::series::{Scrapes, Series};

const BUCKETS: usize = 8;

/// A native histogram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Native;

impl Native {
    pub(crate) fn make(self, series: &Series, scrapes: &Scrapes, out: &mut Cutter) -> Result<(), MergeError> {
        let mut random = Random::new(series.seed);
        let mut counts = [0i64; BUCKETS];
        let mut histogram = Histogram {
            counter_reset_hint: CounterResetHint::Unknown,
            schema: 2,
            zero_threshold: 1e-128,
            positive_spans: vec![Span { offset: -20, length: BUCKETS as u32 }],
            ..Histogram::default()
        };
        let mut pushed = Ok(());
        let stale = series.each_scrape(scrapes, |t, takes_part| {
            let bits = random.bits();
            // Half of the scrapes have no new observations; low buckets get more than high ones.
            if bits & 1 == 1 {
                let bucket = ((bits >> 8 & 7).min(bits >> 16 & 7)) as usize;
                let n = (bits >> 24 & 15) as i64;
                counts[bucket] += n;
                histogram.sum += n as f64 * 0.01 * (bucket + 1) as f64;
            }
            if takes_part && pushed.is_ok() {
                histogram.count = counts.iter().sum::<i64>() as u64;
                histogram.positive_buckets.clear();
                histogram.positive_buckets.push(counts[0]);
                histogram.positive_buckets.extend(counts.windows(2).map(|pair| pair[1] - pair[0]));
                pushed = out.histogram(t, &histogram);
            }
        });
        pushed?;
        match stale {
            Some(t) => {
                let sum = f64::from_bits(STALE_NAN_BITS);
                out.histogram(t, &Histogram { sum, ..Histogram::default() })
            }
            None => Ok(()),
        }
    }
}
