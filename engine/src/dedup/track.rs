//! The input of the mergers: the times of a sequence of samples, and which of them are floats. Mergers return
//! [`Pick`]s, so that they need not change or copy histograms.

use tithon_chunks::Samples;

/// Times (ascending) and float values of one replica, row or chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Track<'a> {
    times: &'a [i64],
    floats: Floats<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Floats<'a> {
    All(&'a [f64]),
    Mixed(&'a [Option<f64>]),
}

/// One sample of the result: its place, and its value if it is a float (which may be adjusted).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pick {
    /// The index of the track.
    pub(crate) track: usize,
    /// The index of the sample in the track.
    pub(crate) index: usize,
    /// The value of a float sample.
    pub(crate) float: Option<f64>,
    /// The sample directly follows the one before it in the same track, and no other track had a sample at its time.
    pub(crate) consecutive: bool,
}

impl<'a> Track<'a> {
    /// A track of floats; the columns are of equal length.
    pub(crate) fn floats(times: &'a [i64], values: &'a [f64]) -> Track<'a> {
        assert_eq!(times.len(), values.len());
        Track { times, floats: Floats::All(values) }
    }

    /// A track of floats and histograms; a histogram is `None`.
    pub(crate) fn mixed(times: &'a [i64], values: &'a [Option<f64>]) -> Track<'a> {
        assert_eq!(times.len(), values.len());
        Track { times, floats: Floats::Mixed(values) }
    }

    pub(crate) fn times(&self) -> &'a [i64] {
        self.times
    }

    /// The values, if none of the samples is a histogram.
    pub(crate) fn all_floats(&self) -> Option<&'a [f64]> {
        match self.floats {
            Floats::All(values) => Some(values),
            Floats::Mixed(_) => None,
        }
    }

    pub(crate) fn float(&self, index: usize) -> Option<f64> {
        match self.floats {
            Floats::All(values) => Some(values[index]),
            Floats::Mixed(values) => values[index],
        }
    }
}

/// The samples of a [`Samples`] in one sequence by time; of equal times the float comes first.
pub(crate) struct Sequence<'a> {
    samples: &'a Samples,
    mixed: Option<Mixed>,
}

#[derive(Default)]
struct Mixed {
    times: Vec<i64>,
    floats: Vec<Option<f64>>,
    /// Position in the list of floats or of histograms.
    places: Vec<usize>,
}

impl<'a> Sequence<'a> {
    pub(crate) fn new(samples: &'a Samples) -> Sequence<'a> {
        if samples.histograms.timestamps.is_empty() {
            return Sequence { samples, mixed: None };
        }
        let (floats, histograms) = (&samples.floats, &samples.histograms);
        let (mut f, mut h) = (0, 0);
        let mut mixed = Mixed::default();
        while f < floats.len() || h < histograms.timestamps.len() {
            let float_time = floats.timestamps.get(f).copied();
            let histogram_time = histograms.timestamps.get(h).copied();
            match (float_time, histogram_time) {
                (Some(t), other) if other.is_none_or(|o| t <= o) => {
                    mixed.times.push(t);
                    mixed.floats.push(Some(floats.values[f]));
                    mixed.places.push(f);
                    f += 1;
                }
                (_, Some(t)) => {
                    mixed.times.push(t);
                    mixed.floats.push(None);
                    mixed.places.push(h);
                    h += 1;
                }
                (_, None) => unreachable!("one of the two lists has a sample left"),
            }
        }
        Sequence { samples, mixed: Some(mixed) }
    }

    pub(crate) fn track(&self) -> Track<'_> {
        match &self.mixed {
            Some(mixed) => Track::mixed(&mixed.times, &mixed.floats),
            None => Track::floats(&self.samples.floats.timestamps, &self.samples.floats.values),
        }
    }

    /// Appends the picked sample to `out`; a histogram that does not directly follow its predecessor loses its
    /// reset hint where `forget` says so, gauges excepted.
    pub(crate) fn copy(&self, pick: &Pick, forget: bool, out: &mut Samples) {
        let place = self.mixed.as_ref().map_or(pick.index, |m| m.places[pick.index]);
        if let Some(value) = pick.float {
            out.floats.timestamps.push(self.samples.floats.timestamps[place]);
            out.floats.values.push(value);
            let st = self.samples.float_start_timestamps.get(place).copied();
            push_start(&mut out.float_start_timestamps, out.floats.len(), st);
            return;
        }
        let mut histogram = self.samples.histograms.values[place].clone();
        if forget
            && !pick.consecutive
            && histogram.counter_reset_hint != tithon_chunks::CounterResetHint::Gauge
        {
            histogram.counter_reset_hint = tithon_chunks::CounterResetHint::Unknown;
        }
        out.histograms.timestamps.push(self.samples.histograms.timestamps[place]);
        out.histograms.values.push(histogram);
        let st = self.samples.histogram_start_timestamps.get(place).copied();
        push_start(&mut out.histogram_start_timestamps, out.histograms.timestamps.len(), st);
    }
}

/// Keeps a column of start timestamps either empty or as long as its samples, `n` with the newest one.
fn push_start(starts: &mut Vec<i64>, n: usize, start: Option<i64>) {
    match start {
        Some(start) if start != 0 || !starts.is_empty() => {
            starts.resize(n - 1, 0);
            starts.push(start);
        }
        _ if !starts.is_empty() => starts.push(0),
        _ => {}
    }
}
