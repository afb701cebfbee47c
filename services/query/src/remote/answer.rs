//! The answer of a querier to a part of a query, checked: series once each, with samples at the steps that were asked for.

use tithon_chunks::{HistogramError, SampleBatch, Samples};
use tithon_index::Labels;
use tithon_promql::{Series, SeriesData, TimeParams};
use tithon_storeapi::{PromqlPoints, PromqlSeries};

/// Why an answer does not belong to the query.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Malformed {
    /// A series was sent again.
    #[error("series {0} was sent twice")]
    Twice(Labels),
    /// A sample lies between two steps, or before the first or after the last one.
    #[error("series {labels}: a sample at {time_ms} ms, which is no step of the query")]
    NoStep {
        /// The series.
        labels: Labels,
        /// The time of the sample, milliseconds.
        time_ms: i64,
    },
    /// The samples of a series do not ascend by time.
    #[error("series {labels}: the sample at {time_ms} ms does not come after the one before")]
    Unordered {
        /// The series.
        labels: Labels,
        /// The time of the later sample, milliseconds.
        time_ms: i64,
    },
    /// A histogram makes no sense.
    #[error("series {labels}: histogram: {error}")]
    Histogram {
        /// The series.
        labels: Labels,
        /// What is wrong with it.
        error: HistogramError,
    },
    /// A series of the answer to an instant query has another number of samples than one.
    #[error("series {labels}: {samples} samples, expected 1")]
    NotOne {
        /// The series.
        labels: Labels,
        /// The number of its samples.
        samples: usize,
    },
}

/// The series of an answer so far.
pub(super) struct Answer {
    times: TimeParams,
    series: Vec<Series>,
}

impl Answer {
    /// An answer that has samples at these times.
    pub(super) fn new(times: TimeParams) -> Answer {
        Answer { times, series: Vec::new() }
    }

    /// Adds a series. Fails when it has samples at other times, or several at one time.
    pub(super) fn add(&mut self, series: PromqlSeries) -> Result<(), Malformed> {
        let PromqlSeries { labels, points } = series;
        let mut samples = samples(points);
        if let Some(error) = samples.histograms.values.iter().find_map(|h| h.validate_shape().err()) {
            return Err(Malformed::Histogram { labels, error });
        }
        let times = [&mut samples.floats.timestamps, &mut samples.histograms.timestamps];
        if self.times.step_ms == 0 {
            let n = times.iter().map(|times| times.len()).sum();
            if n != 1 {
                return Err(Malformed::NotOne { labels, samples: n });
            }
            // As in Thanos, the sample counts at the time that was asked for, whatever its own is.
            times.into_iter().flatten().for_each(|t| *t = self.times.start.0);
        } else {
            for times in times {
                self.check(&labels, times)?;
            }
        }
        if !samples.is_empty() {
            self.series.push(Series { labels, data: SeriesData::Samples(Box::new(samples)) });
        }
        Ok(())
    }

    /// Fails when the times of samples are no steps, or do not ascend.
    fn check(&self, labels: &Labels, times: &[i64]) -> Result<(), Malformed> {
        let TimeParams { start, end, step_ms } = self.times;
        let mut before = i64::MIN;
        for &time_ms in times {
            let is_step = (start.0..=end.0).contains(&time_ms) && (time_ms - start.0) % step_ms == 0;
            if !is_step {
                return Err(Malformed::NoStep { labels: labels.clone(), time_ms });
            }
            if time_ms <= before {
                return Err(Malformed::Unordered { labels: labels.clone(), time_ms });
            }
            before = time_ms;
        }
        Ok(())
    }

    /// The series, ascending by labels. Fails when one was sent twice.
    pub(super) fn finish(mut self) -> Result<Vec<Series>, Malformed> {
        self.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let mut known: Option<&Labels> = None;
        for Series { labels, .. } in &self.series {
            if known == Some(labels) {
                return Err(Malformed::Twice(labels.clone()));
            }
            known = Some(labels);
        }
        Ok(self.series)
    }
}

fn samples(points: PromqlPoints) -> Samples {
    let mut samples = Samples::default();
    match points {
        PromqlPoints::Float(t, v) => {
            samples.floats = SampleBatch { timestamps: vec![t], values: vec![v] };
        }
        PromqlPoints::Histogram(t, h) => {
            samples.histograms.timestamps.push(t);
            samples.histograms.values.push(h.as_ref().clone());
        }
        PromqlPoints::Many(many) => samples = many,
    }
    samples
}

/// Memory of a series, bytes.
pub(super) fn bytes_of(series: &PromqlSeries) -> u64 {
    let points = match &series.points {
        PromqlPoints::Float(..) => 16,
        PromqlPoints::Histogram(_, h) => h.size_bytes(),
        PromqlPoints::Many(samples) => {
            let histograms: usize = samples.histograms.values.iter().map(|h| 8 + h.size_bytes()).sum();
            16 * samples.floats.len() + histograms
        }
    };
    (size_of::<Series>() + size_of::<Samples>() + series.labels.bytes() + points) as u64
}

#[cfg(test)]
mod tests {
    use tithon_chunks::Timestamp;

    use super::*;

    fn series(job: &str, points: &[(i64, f64)]) -> PromqlSeries {
        let mut samples = Samples::default();
        points.iter().for_each(|(t, v)| samples.floats.push(Timestamp(*t), *v));
        PromqlSeries { labels: Labels::from_pairs([("job", job)]), points: PromqlPoints::Many(samples) }
    }

    /// The jobs of the series of an answer, or why it is refused.
    fn check(times: TimeParams, all: Vec<PromqlSeries>) -> Result<Vec<String>, String> {
        let mut answer = Answer::new(times);
        let text = |error: Malformed| error.to_string();
        for one in all {
            answer.add(one).map_err(text)?;
        }
        let series = answer.finish().map_err(text)?;
        Ok(series.iter().map(|one| one.labels.to_string()).collect())
    }

    #[test]
    fn samples_at_other_times_are_refused() {
        let times = TimeParams { start: Timestamp(1000), end: Timestamp(3500), step_ms: 1000 };
        let of = |points: &[(i64, f64)]| check(times, vec![series("a", points)]);
        assert_eq!(of(&[(1000, 1.0), (3000, 2.0)]), Ok(vec![r#"{job="a"}"#.to_owned()]));
        assert_eq!(of(&[]), Ok(vec![]));
        for (points, expected) in [
            (&[(0, 1.0)][..], "a sample at 0 ms, which is no step of the query"),
            (&[(4000, 1.0)], "a sample at 4000 ms, which is no step of the query"),
            (&[(1500, 1.0)], "a sample at 1500 ms, which is no step of the query"),
            (&[(i64::MIN, 1.0)], "a sample at -9223372036854775808 ms, which is no step of the query"),
            (&[(2000, 1.0), (2000, 1.0)], "the sample at 2000 ms does not come after the one before"),
            (&[(2000, 1.0), (1000, 1.0)], "the sample at 1000 ms does not come after the one before"),
        ] {
            assert_eq!(of(points), Err(format!(r#"series {{job="a"}}: {expected}"#)));
        }
    }

    #[test]
    fn an_instant_answer_has_one_sample_per_series() {
        let times = TimeParams::instant(Timestamp(5000));
        let of = |points: &[(i64, f64)]| check(times, vec![series("a", points)]);
        assert_eq!(of(&[(1, 1.0)]), Ok(vec![r#"{job="a"}"#.to_owned()]));
        assert_eq!(of(&[]), Err(r#"series {job="a"}: 0 samples, expected 1"#.to_owned()));
        let two = of(&[(1, 1.0), (2, 1.0)]);
        assert_eq!(two, Err(r#"series {job="a"}: 2 samples, expected 1"#.to_owned()));
    }

    #[test]
    fn series_come_in_any_order_but_once() {
        let times = TimeParams::instant(Timestamp(0));
        let all = |jobs: &[&str]| check(times, jobs.iter().map(|job| series(job, &[(0, 1.0)])).collect());
        let sorted = ["a", "b", "c"].map(|job| format!("{{job=\"{job}\"}}"));
        assert_eq!(all(&["c", "a", "b"]), Ok(sorted.to_vec()));
        assert_eq!(all(&["a", "b", "a"]), Err(r#"series {job="a"} was sent twice"#.to_owned()));
    }
}
