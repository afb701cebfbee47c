//! The mergers against recorded output of Thanos's own iterators for the same samples.

use serde_json::Value;
use tithon_chunks::{CounterResetHint, FloatHistogram, Samples, Span, Timestamp};
use tithon_testdata::json_lines;

use super::track::{Pick, Track};
use super::{chain, counter, penalty};

/// Samples of one input as the recorded text has them.
struct Input {
    samples: Vec<Value>,
    times: Vec<i64>,
    floats: Vec<Option<f64>>,
}

impl Input {
    fn new(samples: &Value) -> Input {
        let samples: Vec<Value> = samples.as_array().unwrap().clone();
        let times = samples.iter().map(|s| s["t"].as_i64().unwrap()).collect();
        let floats = samples.iter().map(|s| s["bits"].as_str().map(float_of)).collect();
        Input { samples, times, floats }
    }
}

fn float_of(bits: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(bits, 16).unwrap())
}

/// Time and content of a sample: the bits of a float, or the histogram without its text form.
fn essence(sample: &Value) -> (i64, String) {
    let what = match sample["bits"].as_str() {
        Some(bits) => bits.to_owned(),
        None => sample["h"].to_string(),
    };
    (sample["t"].as_i64().unwrap(), what)
}

fn picked(inputs: &[Input], pick: &Pick, forget: bool) -> (i64, String) {
    let mut sample = inputs[pick.track].samples[pick.index].clone();
    match pick.float {
        Some(value) => sample["bits"] = format!("{:016x}", value.to_bits()).into(),
        None => {
            if forget && !pick.consecutive && sample["h"]["hint"] != 3 {
                sample["h"]["hint"] = 0.into();
            }
        }
    }
    essence(&sample)
}

/// Compares with the whole recorded output, or follows the recorded steps. The text of a histogram is compared unless a
/// step may have found it by a seek: upstream may forget the hint then.
fn check(line: &Value, merge: impl Fn(&[Track<'_>]) -> Vec<Pick>, forget: bool) {
    let name = line["name"].as_str().unwrap();
    let inputs: Vec<Input> = line["input"].as_array().unwrap().iter().map(Input::new).collect();
    let tracks: Vec<Track<'_>> = inputs.iter().map(|i| Track::mixed(&i.times, &i.floats)).collect();
    let ours: Vec<_> = merge(&tracks).iter().map(|p| picked(&inputs, p, forget)).collect();
    let Some(steps) = line["ops"].as_array() else {
        let none = Vec::new();
        let expected: Vec<_> = line["output"].as_array().unwrap_or(&none).iter().map(essence).collect();
        assert_eq!(ours, expected, "{name}");
        return;
    };
    let (mut at, mut started) = (0, false);
    for (i, step) in steps.iter().enumerate() {
        match step["seek"].as_i64() {
            Some(time) => at += ours[at.min(ours.len())..].iter().take_while(|s| s.0 < time).count(),
            None if started => at += 1,
            None => {}
        }
        started = true;
        let expected = (step["type"] != "none").then(|| essence(&step["at"]));
        let found = ours.get(at).cloned();
        if step["type"] == "float" || step["type"] == "none" {
            assert_eq!(found, expected, "{name} step {i}");
        } else {
            assert_eq!(found.map(|f| f.0), expected.map(|e| e.0), "{name} step {i}");
        }
    }
}

#[test]
fn dedup_is_as_recorded() {
    let lines = json_lines("testdata/vectors/dedup.jsonl.zst");
    for line in &lines {
        let function = line["func"].as_str().unwrap();
        match line["algorithm"].as_str().unwrap() {
            "penalty" => check(line, |tracks| penalty::merge(tracks, super::is_counter(function)), false),
            _ => check(line, chain::merge, true),
        }
    }
    assert_eq!(lines.len(), 300);
}

#[test]
fn counter_resets_are_as_recorded() {
    let lines = json_lines("testdata/vectors/counter-resets.jsonl.zst");
    for line in &lines {
        check(line, counter::apply_resets, false);
    }
    assert_eq!(lines.len(), 300);
}

fn histogram_of(h: &Value) -> FloatHistogram {
    let float = |v: &Value| float_of(v.as_str().unwrap());
    let floats = |v: &Value| v.as_array().map(|a| a.iter().map(float).collect()).unwrap_or_default();
    let spans = |v: &Value| -> Vec<Span> {
        let pairs: Vec<(i32, u32)> = serde_json::from_value(v.clone()).unwrap_or_default();
        pairs.into_iter().map(|(offset, length)| Span { offset, length }).collect()
    };
    FloatHistogram {
        schema: h["schema"].as_i64().unwrap_or(0) as i32,
        zero_threshold: float(&h["zero_threshold"]),
        zero_count: float(&h["zero_count"]),
        count: float(&h["count"]),
        sum: float(&h["sum"]),
        positive_spans: spans(&h["pos_spans"]),
        negative_spans: spans(&h["neg_spans"]),
        positive_buckets: floats(&h["pos_buckets"]),
        negative_buckets: floats(&h["neg_buckets"]),
        counter_reset_hint: match h["hint"].as_i64() {
            Some(3) => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        },
        custom_values: floats(&h["custom_values"]),
    }
}

fn samples_of(list: &Value) -> Samples {
    let mut out = Samples::default();
    for sample in list.as_array().unwrap() {
        let time = sample["t"].as_i64().unwrap();
        if let Some(bits) = sample["bits"].as_str() {
            out.floats.push(Timestamp(time), float_of(bits));
        } else {
            out.histograms.timestamps.push(time);
            out.histograms.values.push(histogram_of(&sample["h"]));
        }
    }
    out
}

/// Upstream divides histograms in buffers that it uses again, so that from the second histogram of a chunk on its
/// results are too small: those are not compared.
#[test]
fn averages_are_as_recorded() {
    let lines = json_lines("testdata/vectors/average.jsonl.zst");
    for line in &lines {
        let name = line["name"].as_str().unwrap();
        let (counts, sums) = (samples_of(&line["input"][0]), samples_of(&line["input"][1]));
        let mut ours = Samples::default();
        let result = super::average::divide(&counts, &sums, &mut ours);
        assert_eq!(result.is_err(), line["error"].is_string(), "{name}: {result:?}");
        let expected = line["output"].as_array().map(|_| samples_of(&line["output"])).unwrap_or_default();
        if result.is_ok() {
            assert_eq!(ours.histograms.timestamps, expected.histograms.timestamps, "{name}");
        }
        let bits = |s: &Samples, n: usize| -> Vec<u64> {
            s.floats.values[..n.min(s.floats.len())].iter().map(|v| v.to_bits()).collect()
        };
        let n = if result.is_ok() { ours.floats.len() } else { 0 };
        assert_eq!(bits(&ours, n), bits(&expected, n), "{name}");
        if let (Some(a), Some(b)) = (ours.histograms.values.first(), expected.histograms.values.first()) {
            assert_eq!(a, b, "{name}");
        }
    }
    assert_eq!(lines.len(), 40);
}

/// Bounds apply to rows: the samples read from a row lie inside the range. Where the first sample inside has another
/// type than the first of all, upstream returns the wrong type and no output could be recorded.
#[test]
fn bounded_is_as_recorded() {
    let lines = json_lines("testdata/vectors/bounded.jsonl.zst");
    for line in &lines {
        let (min, max) = (line["mint"].as_i64().unwrap(), line["maxt"].as_i64().unwrap());
        let inside = |tracks: &[Track<'_>]| {
            let mut picks = chain::merge(tracks);
            picks.retain(|p| (min..=max).contains(&tracks[p.track].times()[p.index]));
            picks
        };
        let is_float = |s: &Value| s["bits"].is_string();
        let samples = line["input"][0].as_array().unwrap();
        let first_inside = samples.iter().find(|s| s["t"].as_i64() >= Some(min));
        if first_inside.is_none_or(|s| is_float(s) == is_float(&samples[0])) && line["ops"].is_null() {
            check(line, inside, false);
        }
    }
    assert_eq!(lines.len(), 60);
}
