//! Values that mostly repeat, as in most series of real blocks.

use tithon_chunks::STALE_NAN_BITS;

use crate::cut::Cutter;
use crate::random::{Random, mix};
use crate::series::{Scrapes, Series};

/// Buckets of a classic histogram, `+Inf` included.
pub(crate) const BUCKETS: u64 = 12;

/// A value that changes at some scrapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// In how many of 1,024 scrapes the value changes.
    changes: u16,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Always this value.
    Constant(f64),
    /// Grows by at most this much per change.
    Counter(u32),
    /// Moves around this value by a tenth of it.
    Gauge(f64),
    /// Counts the observations that fall into this bucket or a lower one.
    Bucket(u64),
    /// Sums the same observations.
    ObservationSum,
}

impl Walk {
    pub(crate) const fn constant(value: f64) -> Walk {
        Walk { changes: 0, kind: Kind::Constant(value) }
    }

    pub(crate) const fn counter(changes: u16, most: u32) -> Walk {
        Walk { changes, kind: Kind::Counter(most) }
    }

    pub(crate) const fn gauge(changes: u16, mean: f64) -> Walk {
        Walk { changes, kind: Kind::Gauge(mean) }
    }

    pub(crate) const fn bucket(changes: u16, number: u64) -> Walk {
        Walk { changes, kind: Kind::Bucket(number) }
    }

    pub(crate) const fn observation_sum(changes: u16) -> Walk {
        Walk { changes, kind: Kind::ObservationSum }
    }

    pub(crate) fn make(&self, series: &Series, scrapes: &Scrapes, out: &mut Cutter) {
        let mut random = Random::new(series.seed);
        let mut value = self.first(series);
        let stale = series.each_scrape(scrapes, |t, takes_part| {
            let bits = random.bits();
            if bits & 1023 < u64::from(self.changes) {
                value = self.next(value, bits >> 10);
            }
            if takes_part {
                out.float(t, value);
            }
        });
        if let Some(t) = stale {
            out.float(t, f64::from_bits(STALE_NAN_BITS));
        }
    }

    /// The first value: a counter of a process that existed before the data is above 0; one of a new process is 0.
    fn first(&self, series: &Series) -> f64 {
        let is_old = series.begin == i64::MIN;
        let random = mix(series.seed ^ 1) % 100_000;
        match self.kind {
            Kind::Constant(value) | Kind::Gauge(value) => value,
            Kind::Counter(most) if is_old => (random * u64::from(most)) as f64,
            // A bucket has at least the count of the buckets below it.
            Kind::Bucket(number) if is_old => (random / BUCKETS * (number + 1)) as f64,
            Kind::ObservationSum if is_old => random as f64 / 8.0,
            _ => 0.0,
        }
    }

    fn next(&self, value: f64, bits: u64) -> f64 {
        // Low buckets get more than high ones.
        let bucket = (bits % BUCKETS).min(bits >> 8 & 15);
        let n = 1 + (bits >> 16 & 7);
        match self.kind {
            Kind::Constant(value) => value,
            Kind::Counter(most) => value + (1 + bits % u64::from(most.max(1))) as f64,
            Kind::Gauge(mean) => (mean * (0.9 + (bits & 0xfff) as f64 * (0.2 / 4096.0))).round(),
            Kind::Bucket(number) if bucket <= number => value + n as f64,
            Kind::Bucket(_) => value,
            Kind::ObservationSum => value + (n << bucket) as f64 / 1024.0,
        }
    }
}
