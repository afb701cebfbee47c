//! One synthetic series: its labels, and how its samples are generated.

mod native;
mod noise;
mod walk;

use tithon_engine::compact::MergeError;
use tithon_index::Labels;

pub(crate) use self::native::Native;
pub(crate) use self::noise::Noise;
pub(crate) use self::walk::{BUCKETS, Walk};
use crate::cut::Cutter;
use crate::demo::Shape;
use crate::random::mix;

/// The delay of the second replica's scrapes, as a share of the interval.
const REPLICA_SHIFT: f64 = 0.45;
/// How many of 1,024 scrapes are a few milliseconds late. Each changes the step three times, so that about 96 % of the
/// samples repeat the step, as in a real block.
const LATE: u64 = 14;

/// A series to generate.
#[derive(Clone, Debug)]
pub struct Series {
    /// The labels inside the block, without external ones.
    pub(crate) labels: Labels,
    /// How the values are generated.
    pub(crate) source: Source,
    /// Seed of the values; shared by series that must agree, such as the buckets of a histogram.
    pub(crate) seed: u64,
    /// Seed of the scrape times; shared by all series of one target.
    pub(crate) target: u64,
    /// The first millisecond at which the series exists.
    pub(crate) begin: i64,
    /// The first millisecond at which the series no longer exists; a stale marker is written there.
    pub(crate) end: i64,
    /// Whether the second replica scrapes the series too.
    pub(crate) replicated: bool,
}

/// The kinds of series.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// A counter, gauge or bucket that mostly repeats its value.
    Walk(Walk),
    /// A native histogram.
    Native(Native),
    /// Values that no encoding can compress.
    Noise(Noise),
    /// A series of the demo, with a daily rhythm.
    Demo(Shape),
}

/// One of the two servers that scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replica {
    /// Scrapes everything.
    A,
    /// Scrapes a little later, and only the replicated series.
    B,
}

impl Replica {
    /// The value of the external label `replica`.
    pub const fn name(self) -> &'static str {
        match self {
            Replica::A => "a",
            Replica::B => "b",
        }
    }
}

/// The times of scrapes.
#[derive(Clone, Copy, Debug)]
pub struct Scrapes {
    /// The first millisecond of the data.
    pub start: i64,
    /// The first millisecond after the data.
    pub end: i64,
    /// Interval between scrapes, milliseconds.
    pub interval_ms: i64,
    /// The server that scrapes.
    pub replica: Replica,
}

impl Series {
    /// Generates all samples and passes them to `out`. Fails only if a generated histogram is inconsistent.
    pub(crate) fn make(&self, scrapes: &Scrapes, out: &mut Cutter) -> Result<(), MergeError> {
        match &self.source {
            Source::Walk(walk) => walk.make(self, scrapes, out),
            Source::Native(native) => return native.make(self, scrapes, out),
            Source::Noise(noise) => noise.make(self, scrapes, out),
            Source::Demo(shape) => crate::demo::make(self, shape, scrapes, out),
        }
        Ok(())
    }

    /// Calls `scrape` with the time of each scrape at which the series exists, and whether the replica took part.
    /// Returns the time of a stale marker if the series ends before the data.
    pub(crate) fn each_scrape(&self, scrapes: &Scrapes, mut scrape: impl FnMut(i64, bool)) -> Option<i64> {
        let step = scrapes.interval_ms;
        let offset = (self.target % step as u64) as i64;
        let shift = match scrapes.replica {
            Replica::A => 0,
            Replica::B => (step as f64 * REPLICA_SHIFT) as i64,
        };
        let first = (self.begin.max(scrapes.start) - scrapes.start + step - 1 - offset).max(0) / step;
        let (mut number, mut t) = (first, scrapes.start + first * step + offset);
        let end = self.end.min(scrapes.end);
        while t < end {
            let random = mix(self.target ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let late = if random & 1023 < LATE { 1 + (random >> 10 & 3) as i64 } else { 0 };
            let at = t + shift + late;
            scrape(at, at < end && !is_away(scrapes, number));
            number += 1;
            t += step;
        }
        (self.end < scrapes.end && t + shift < scrapes.end).then_some(t + shift)
    }
}

/// Whether the replica misses the scrape: each replica misses some scrapes of its own now and then, which deduplication
/// takes from the other.
fn is_away(scrapes: &Scrapes, number: i64) -> bool {
    match scrapes.replica {
        Replica::A => number % 1_500 >= 1_460 && number % 1_500 < 1_480,
        Replica::B => number % 1_300 >= 700 && number % 1_300 < 730,
    }
}
