//! The golden vectors: appends and exact chunk bytes, damaged chunks, AGGR chunks.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::{hex, list, sample};
use tithon_chunks::{
    Aggregate, AggregateChunk, EncodedChunk, Encoder, Encoding, FloatHistogram, FloatHistogramEncoder,
    HistogramBatch, HistogramEncoder, HistogramKind as Kind, Sample, SampleValue, Samples, TimeRange,
    Timestamp, Xor2Encoder, XorEncoder, canonical_bytes, decode_exact, decode_histograms, decode_samples,
    sample_count,
};
use tithon_testdata::json_lines;

fn encoding(line: &Value) -> Encoding {
    Encoding::from_byte(u8::try_from(line["encoding"].as_u64().unwrap()).unwrap())
}

fn samples(list_of: &Value) -> Vec<Sample> {
    list(list_of).iter().map(sample).collect()
}

/// Bytes that are equal exactly when the samples are, NaNs and start timestamps included.
fn bytes_of(samples: &[Sample]) -> Vec<u8> {
    let mut out = Vec::new();
    for sample in samples {
        canonical_bytes(sample, &mut out);
        out.extend_from_slice(&sample.st.0.to_le_bytes());
    }
    out
}

fn check_same(name: &str, got: &[Sample], expected: &[Sample]) {
    assert!(bytes_of(got) == bytes_of(expected), "{name}:\n got {got:?}\n expected {expected:?}");
}

#[test]
fn every_chunk_decodes_to_its_samples() {
    let mut n_chunks = 0;
    for line in json_lines("testdata/vectors/chunks.jsonl.zst") {
        for chunk in list(&line["chunks"]) {
            let data = hex(&chunk["hex"]);
            let mut got = Vec::new();
            decode_exact(encoding(&line), &data, &mut got).unwrap();
            check_same(line["name"].as_str().unwrap(), &got, &samples(&chunk["decoded"]));
            for (sample, expected) in got.iter().zip(list(&chunk["decoded"])) {
                check_text(sample, expected["text"].as_str());
            }
            assert_eq!(
                sample_count(encoding(&line), &data).unwrap() as u64,
                chunk["samples"].as_u64().unwrap()
            );
            n_chunks += 1;
        }
    }
    assert!(n_chunks > 727, "{n_chunks}");
}

/// Columns of histograms hold what one value a sample holds, also of damaged chunks and parts of a range.
#[test]
fn histogram_columns_hold_the_same_samples() {
    let mut n_samples = 0;
    let mut check = |encoding: Encoding, data: &[u8], range: TimeRange| {
        let chunk =
            EncodedChunk { encoding, min_time: range.min, max_time: range.max, data: data.to_vec().into() };
        let (mut rows, mut columns) = (Samples::default(), HistogramBatch::default());
        let first = decode_samples(&chunk, range, &mut rows);
        assert_eq!(decode_histograms(encoding, data, range, &mut columns), first);
        let exact = |t: i64, st: i64, h: FloatHistogram| {
            let value = SampleValue::FloatHistogram(h);
            bytes_of(&[Sample { t: Timestamp(t), st: Timestamp(st), value }])
        };
        let starts = rows.histogram_start_timestamps.iter().copied().chain(std::iter::repeat(0));
        let times = rows.histograms.timestamps.iter().zip(starts);
        let one_each: Vec<_> =
            times.zip(&rows.histograms.values).map(|((t, st), h)| exact(*t, st, h.clone())).collect();
        let flat: Vec<_> =
            columns.rows().map(|row| exact(row.t.0, row.st.0, row.to_float_histogram())).collect();
        assert!(one_each == flat, "{encoding:?}");
        n_samples += flat.len();
    };
    for line in json_lines("testdata/vectors/chunks.jsonl.zst") {
        for chunk in list(&line["chunks"]).iter().filter(|_| encoding(&line).is_histogram()) {
            let data = hex(&chunk["hex"]);
            let times: Vec<i64> = samples(&chunk["decoded"]).iter().map(|sample| sample.t.0).collect();
            check(encoding(&line), &data, TimeRange::ALL);
            check(encoding(&line), &data, TimeRange::new(times[times.len() / 3], times[times.len() / 2]));
        }
    }
    for line in json_lines("testdata/vectors/damaged-chunks.jsonl.zst") {
        if encoding(&line).is_histogram() {
            check(encoding(&line), &hex(&line["hex"]), TimeRange::ALL);
        }
    }
    assert!(n_samples > 5_000, "{n_samples}");
}

/// The text of a histogram, and of an integer one after conversion, is upstream's.
fn check_text(sample: &Sample, expected: Option<&str>) {
    let text = match &sample.value {
        SampleValue::Float(_) => return,
        SampleValue::Histogram(histogram) => histogram.to_string(),
        SampleValue::FloatHistogram(histogram) => histogram.to_string(),
    };
    assert_eq!(Some(text.as_str()), expected);
}

#[test]
fn float_appends_give_the_same_bytes() {
    let mut n_chunks = 0;
    for line in json_lines("testdata/vectors/chunks.jsonl.zst") {
        let encoding = encoding(&line);
        if !encoding.is_float() {
            continue;
        }
        let input = samples(&line["input"]);
        let cut_every = line["cut_every"].as_u64().unwrap_or(u64::MAX) as usize;
        let got: Vec<Vec<u8>> =
            input.chunks(cut_every.min(1 << 20)).map(|part| encode_floats(encoding, part)).collect();
        let expected: Vec<Vec<u8>> = list(&line["chunks"]).iter().map(|chunk| hex(&chunk["hex"])).collect();
        assert_eq!(got, expected, "{} {encoding:?}", line["name"]);
        n_chunks += got.len();
    }
    assert!(n_chunks > 100, "{n_chunks}");
}

fn encode_floats(encoding: Encoding, samples: &[Sample]) -> Vec<u8> {
    let mut xor = XorEncoder::new();
    let mut xor2 = Xor2Encoder::new();
    for sample in samples {
        let SampleValue::Float(value) = sample.value else { panic!("not a float") };
        if encoding == Encoding::Xor {
            xor.push(sample.t.0, value);
        } else {
            xor2.push(sample.st.0, sample.t.0, value);
        }
    }
    if encoding == Encoding::Xor { xor.finish() } else { xor2.finish() }
}

#[test]
fn histogram_appends_give_the_same_bytes() {
    let mut n_chunks = 0;
    for line in json_lines("testdata/vectors/chunks.jsonl.zst") {
        let encoding = encoding(&line);
        let expected: Vec<Vec<u8>> = list(&line["chunks"]).iter().map(|chunk| hex(&chunk["hex"])).collect();
        let input = samples(&line["input"]);
        let cut_every = line["cut_every"].as_u64().unwrap_or(u64::MAX) as usize;
        let with_starts = matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt);
        let got = match encoding {
            Encoding::Histogram | Encoding::HistogramSt => {
                let each = input.iter().map(|sample| {
                    let SampleValue::Histogram(histogram) = &sample.value else {
                        panic!("not an integer histogram")
                    };
                    (sample, histogram)
                });
                encode_histograms(HistogramEncoder::new(with_starts), cut_every, each)
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                let each = input.iter().map(|sample| {
                    let SampleValue::FloatHistogram(histogram) = &sample.value else {
                        panic!("not a float histogram")
                    };
                    (sample, histogram)
                });
                encode_histograms(FloatHistogramEncoder::new(with_starts), cut_every, each)
            }
            _ => continue,
        };
        assert_eq!(got, expected, "{} {encoding:?}", line["name"]);
        n_chunks += got.len();
    }
    assert!(n_chunks == 665, "{n_chunks}");
}

fn encode_histograms<'a, K: Kind>(
    first: Encoder<K>,
    cut_every: usize,
    samples: impl Iterator<Item = (&'a Sample, &'a K::Histogram)>,
) -> Vec<Vec<u8>>
where
    K::Histogram: 'a,
{
    let with_starts = matches!(first.encoding(), Encoding::HistogramSt | Encoding::FloatHistogramSt);
    let mut done: Vec<Encoder<K>> = Vec::new();
    let mut current = first;
    for (sample, histogram) in samples {
        if current.len() >= cut_every {
            done.push(std::mem::replace(&mut current, Encoder::new(with_starts)));
        }
        if let Some(next) = current.push(done.last(), sample.st.0, sample.t.0, histogram).unwrap() {
            done.push(std::mem::replace(&mut current, next));
        }
    }
    done.push(current);
    done.into_iter().map(Encoder::finish).collect()
}

#[test]
fn damaged_chunks_give_what_is_whole_and_an_error() {
    let mut n_stricter = 0;
    for line in json_lines("testdata/vectors/damaged-chunks.jsonl.zst") {
        let name = line["name"].as_str().unwrap();
        let mut got = Vec::new();
        let result = decode_exact(encoding(&line), &hex(&line["hex"]), &mut got);
        let expected = samples(&line["decoded"]);
        let error = line["error"].as_str().unwrap() != "";
        assert!(!error || result.is_err(), "{name}");
        if got.len() == expected.len() && error == result.is_err() {
            check_same(name, &got, &expected);
            continue;
        }
        // Upstream's bit counter wraps round in a cut field and zeros follow; here the cut is an error.
        assert!(!name.contains("appended") && !name.starts_with("count-too-low"), "{name}: {result:?}");
        assert!(result.is_err() && got.len() <= expected.len(), "{name}: {result:?}");
        check_same(name, &got, &expected[..got.len()]);
        n_stricter += 1;
    }
    assert!(n_stricter <= 40, "{n_stricter}");
}

#[test]
fn aggregates_are_found_and_written() {
    let mut n_whole = 0;
    for line in json_lines("testdata/vectors/aggr-chunks.jsonl.zst") {
        let data = hex(&line["hex"]);
        let Some(parts) = line.get("parts").filter(|parts| !parts.is_null()) else {
            check_truncated(&line, &data);
            continue;
        };
        let parts = Aggregate::ALL.map(|aggregate| {
            let part = &parts[aggregate.name()];
            part["present"].as_bool().unwrap_or(false).then(|| (encoding(part), hex(&part["hex"])))
        });
        let slices =
            [0, 1, 2, 3, 4].map(|i| parts[i].as_ref().map(|(encoding, data)| (*encoding, &data[..])));
        assert_eq!(AggregateChunk::encode(&slices), data, "{}", line["name"]);
        let chunk = AggregateChunk::parse(&data).unwrap();
        assert_eq!(
            sample_count(Encoding::Aggregate, &data).unwrap() as u64,
            line["num_samples"].as_u64().unwrap()
        );
        for aggregate in Aggregate::ALL {
            let expected = &line["get"][aggregate.name()];
            let Some((encoding, data)) = chunk.get(aggregate) else {
                assert!(!expected["present"].as_bool().unwrap());
                continue;
            };
            let mut got = Vec::new();
            decode_exact(encoding, data, &mut got).unwrap();
            check_same(aggregate.name(), &got, &samples(&expected["decoded"]));
        }
        n_whole += 1;
    }
    assert!(n_whole > 20, "{n_whole}");
}

/// A cut AGGR chunk: an error, unless upstream too finds all five parts.
fn check_truncated(line: &Value, data: &[u8]) {
    let all = Aggregate::ALL.iter().all(|a| line["get"][a.name()]["present"].as_bool().unwrap());
    let parsed = AggregateChunk::parse(data);
    assert_eq!(parsed.is_ok(), all, "{}", line["name"]);
}
