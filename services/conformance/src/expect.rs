//! Expected answers, derived from the sample, and their comparison with answers series by series and sample by sample.

use std::collections::{BTreeMap, BTreeSet};

use tithon_chunks::{EncodedChunk, Encoding, Samples, TimeRange, Timestamp, decode_samples};
use tithon_index::Labels;
use tithon_proto::thanos::{AggrChunk, Chunk, Series};
use tithon_proto::{encoding_from_wire, labels_from_wire};
use xxhash_rust::xxh64::xxh64;

/// The data of series: the samples of each label set.
pub(crate) type Data = BTreeMap<Labels, BTreeSet<Point>>;

/// A sample: its time, and the bits of its float or a hash of its histogram.
pub(crate) type Point = (i64, u64);

/// The samples of series in a range, by label set. Chunks of a series are joined, and equal samples are counted once.
/// An aggregate chunk counts as one point.
pub(crate) fn data(series: &[Series], range: (i64, i64)) -> Data {
    let mut out = Data::new();
    for one in series {
        let points = out.entry(labels_from_wire(&one.labels)).or_default();
        for chunk in &one.chunks {
            match &chunk.raw {
                Some(raw) => points.extend(raw_points(chunk, raw, range)),
                None => _ = points.insert((chunk.min_time, aggregates_hash(chunk))),
            }
        }
    }
    out
}

fn raw_points(chunk: &AggrChunk, raw: &Chunk, (min, max): (i64, i64)) -> Vec<Point> {
    let Ok(samples) = decode(raw, chunk.min_time, chunk.max_time) else { return Vec::new() };
    let floats = samples.floats.timestamps.iter().zip(&samples.floats.values);
    let floats = floats.map(|(time, value)| (*time, value.to_bits()));
    let histograms = samples.histograms.timestamps.iter().zip(&samples.histograms.values);
    let histograms = histograms.map(|(time, value)| (*time, xxh64(value.to_string().as_bytes(), 0)));
    floats.chain(histograms).filter(|(time, _)| (min..=max).contains(time)).collect()
}

fn aggregates_hash(chunk: &AggrChunk) -> u64 {
    let parts = [&chunk.count, &chunk.sum, &chunk.min, &chunk.max, &chunk.counter];
    let hash = |part: &Option<Chunk>| part.as_ref().map_or(0, |part| xxh64(&part.data, 0));
    parts.into_iter().fold(0, |all: u64, part| all.rotate_left(7) ^ hash(part))
}

/// The samples of a chunk.
pub(crate) fn decode(chunk: &Chunk, min_time: i64, max_time: i64) -> Result<Samples, String> {
    let encoding = encoding_from_wire(chunk.r#type).map_err(|error| error.to_string())?;
    let (min_time, max_time) = (Timestamp(min_time), Timestamp(max_time));
    let stored = EncodedChunk { encoding, min_time, max_time, data: chunk.data.clone() };
    let mut samples = Samples::default();
    if !matches!(encoding, Encoding::Aggregate | Encoding::Unknown(_)) {
        decode_samples(&stored, TimeRange::ALL, &mut samples).map_err(|error| error.to_string())?;
    }
    Ok(samples)
}

/// Fails with the first label sets that only one side has.
pub(crate) fn same_sets<'a>(
    found: impl IntoIterator<Item = &'a Labels>,
    want: impl IntoIterator<Item = &'a Labels>,
) -> Result<(), String> {
    let (found, want): (BTreeSet<_>, BTreeSet<_>) = (found.into_iter().collect(), want.into_iter().collect());
    if found == want {
        return Ok(());
    }
    let mut what = format!("found {} series, expected {}", found.len(), want.len());
    if let Some(missing) = want.difference(&found).next() {
        what += &format!("; {missing} is missing");
    }
    if let Some(surplus) = found.difference(&want).next() {
        what += &format!("; {surplus} does not belong there");
    }
    Err(what)
}

/// Fails with the first series or sample that only one side has.
pub(crate) fn same_data(found: &Data, want: &Data) -> Result<(), String> {
    same_sets(found.keys(), want.keys())?;
    for (labels, points) in want {
        let got = &found[labels];
        if let Some((time, _)) = points.symmetric_difference(got).next() {
            let side = if got.iter().any(|(t, _)| t == time) { "another value than" } else { "no" };
            return Err(format!(
                "{labels}: found {} samples, expected {}; {side} sample at {time}",
                got.len(),
                points.len()
            ));
        }
    }
    Ok(())
}

/// Fails with the first texts that only one side has.
pub(crate) fn same_texts(found: &[impl AsRef<[u8]>], want: &BTreeSet<Vec<u8>>) -> Result<(), String> {
    let found: BTreeSet<Vec<u8>> = found.iter().map(|text| text.as_ref().to_vec()).collect();
    if found == *want {
        return Ok(());
    }
    let mut what = format!("found {}, expected {}", found.len(), want.len());
    if let Some(missing) = want.difference(&found).next() {
        what += &format!("; {:?} is missing", String::from_utf8_lossy(missing));
    }
    if let Some(surplus) = found.difference(want).next() {
        what += &format!("; {:?} does not belong there", String::from_utf8_lossy(surplus));
    }
    Err(what)
}

/// Fails unless the texts ascend without duplicates.
pub(crate) fn ascend(texts: &[impl AsRef<[u8]>]) -> Result<(), String> {
    match texts.windows(2).find(|pair| pair[0].as_ref() >= pair[1].as_ref()) {
        None => Ok(()),
        Some(pair) => Err(format!(
            "{:?} comes before {:?}",
            String::from_utf8_lossy(pair[0].as_ref()),
            String::from_utf8_lossy(pair[1].as_ref())
        )),
    }
}
