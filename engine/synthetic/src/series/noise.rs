//! Values and times that no encoding can compress.

use crate::cut::Cutter;
use crate::random::{Random, join};
use crate::series::{Scrapes, Series};

/// Random values at random times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise;

impl Noise {
    pub(crate) fn make(self, series: &Series, scrapes: &Scrapes, out: &mut Cutter) {
        let mut random = Random::new(join(series.seed, scrapes.replica as u64));
        // The delay of a sample is less than half the interval.
        let latest = (scrapes.interval_ms / 2).max(1) as u64;
        let mut last = i64::MIN;
        series.each_scrape(scrapes, |t, takes_part| {
            let (late, value) = (random.bits() % latest, random.unit() * 1e9);
            let at = t + late as i64;
            if takes_part && at > last && at < scrapes.end {
                out.float(at, value);
                last = at;
            }
        });
    }
}
