//! Rules for every answer to `Series`, whatever the request.

use tithon_index::Labels;
use tithon_proto::labels_from_wire;
use tithon_proto::thanos::{AggrChunk, Chunk, Series, SeriesRequest};
use xxhash_rust::xxh64::xxh64;

use crate::answer::SeriesAnswer;
use crate::expect::decode;
use crate::report::Rule;
use crate::rules::Checker;

const LABELS: Rule =
    Rule { name: "labels", says: "labels of a series ascend by name, each name once, no value is empty" };
const ORDER: Rule = Rule {
    name: "order",
    says: "series ascend by labels as they are sent, and none comes back once another has come",
};
const EXTERNAL: Rule =
    Rule { name: "external-labels", says: "every series has one of the label sets that Info tells" };
const CHUNKS: Rule = Rule {
    name: "chunks",
    says: "chunks decode, their samples lie in their times, a hash that is sent is the data's XXH64",
};
const IN_RANGE: Rule = Rule {
    name: "time-range",
    says: "every chunk overlaps the range that was asked for, and every series has such a chunk",
};
const SKIP: Rule = Rule { name: "skip-chunks", says: "no chunk is sent where chunks are not wanted" };
const AGGREGATES: Rule =
    Rule { name: "aggregates", says: "a chunk is raw, or has aggregates that were asked for and no others" };
const WITHOUT: Rule =
    Rule { name: "without-replica-labels", says: "labels that were to be taken away are in no series" };
const BATCHES: Rule = Rule {
    name: "batches",
    says: "no batch is larger than was asked for, and none comes that was not asked for",
};
const LIMIT: Rule = Rule { name: "limit", says: "no more series come than were asked for" };
const FRAMES: Rule = Rule { name: "frames", says: "no frame is empty" };

/// Checks these rules on an answer.
pub(super) fn check(checker: &mut Checker, request: &SeriesRequest, answer: &SeriesAnswer, asked: &str) {
    if !answer.is_ok() {
        return;
    }
    let series = &answer.series;
    checker.rule(&FRAMES, asked, none(answer.empty_frames, "frames are empty"));
    checker.rule(&LABELS, asked, series.iter().try_for_each(labels));
    let sets: Vec<Labels> = series.iter().map(|one| labels_from_wire(&one.labels)).collect();
    checker.rule(&ORDER, asked, order(&sets));
    if request.without_replica_labels.is_empty() && !checker.label_sets.is_empty() {
        let result = external(&sets, &checker.label_sets);
        checker.rule(&EXTERNAL, asked, result);
    }
    checker.rule(&BATCHES, asked, batches(request, answer));
    if request.limit > 0 {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let n = answer.label_sets().len();
        checker.rule(&LIMIT, asked, none(n.saturating_sub(limit), "series over the limit"));
    }
    if !request.without_replica_labels.is_empty() {
        checker.rule(&WITHOUT, asked, without(&sets, &request.without_replica_labels));
    }
    let chunks = || series.iter().flat_map(|one| one.chunks.iter().map(move |chunk| (one, chunk)));
    if request.skip_chunks {
        checker.rule(&SKIP, asked, none(chunks().count(), "chunks were sent"));
        return;
    }
    let in_chunk = |(one, chunk): (&Series, &AggrChunk), result: Result<(), String>| {
        let labels = labels_from_wire(&one.labels);
        result.map_err(|what| format!("{labels} chunk {}..{}: {what}", chunk.min_time, chunk.max_time))
    };
    let all = |check: &dyn Fn(&AggrChunk) -> Result<(), String>| {
        chunks().try_for_each(|(one, chunk)| in_chunk((one, chunk), check(chunk)))
    };
    checker.rule(&CHUNKS, asked, all(&chunk_is_sound));
    checker.rule(&AGGREGATES, asked, all(&|chunk| aggregates(chunk, &request.aggregates)));
    let empty = series.iter().find(|one| one.chunks.is_empty());
    let empty = empty.map_or(Ok(()), |one| Err(format!("{} has no chunk", labels_from_wire(&one.labels))));
    checker.rule(&IN_RANGE, asked, empty.and_then(|()| all(&|chunk| overlaps(chunk, request))));
}

fn none(n: usize, what: &str) -> Result<(), String> {
    if n == 0 { Ok(()) } else { Err(format!("{n} {what}")) }
}

fn labels(series: &Series) -> Result<(), String> {
    let refuse = |what: &str| Err(format!("{}: {what}", labels_from_wire(&series.labels)));
    if series.labels.iter().any(|label| label.value.is_empty() || label.name.is_empty()) {
        return refuse("an empty name or value");
    }
    if series.labels.windows(2).any(|pair| pair[0].name >= pair[1].name) {
        return refuse("names do not ascend");
    }
    Ok(())
}

/// Consecutive frames may have the same series.
fn order(sets: &[Labels]) -> Result<(), String> {
    match sets.windows(2).find(|pair| pair[0] > pair[1]) {
        None => Ok(()),
        Some(pair) => Err(format!("{} comes before {}", pair[0], pair[1])),
    }
}

fn external(sets: &[Labels], external: &[Labels]) -> Result<(), String> {
    let has = |labels: &Labels, set: &Labels| set.iter().all(|(name, value)| labels.get(name) == Some(value));
    match sets.iter().find(|labels| !external.iter().any(|set| has(labels, set))) {
        None => Ok(()),
        Some(labels) => Err(format!("{labels} has none of the {} label sets", external.len())),
    }
}

fn batches(request: &SeriesRequest, answer: &SeriesAnswer) -> Result<(), String> {
    let largest = answer.batches.iter().copied().max().unwrap_or(0);
    let most = usize::try_from(request.response_batch_size).unwrap_or(0);
    match (largest, most) {
        (0, _) => Ok(()),
        (n, 0 | 1) => Err(format!("a batch of {n}")),
        (n, most) if n > most => Err(format!("a batch of {n}, at most {most} were asked for")),
        _ => Ok(()),
    }
}

fn without(sets: &[Labels], names: &[String]) -> Result<(), String> {
    match sets.iter().find(|labels| names.iter().any(|name| labels.get(name).is_some())) {
        None => Ok(()),
        Some(labels) => Err(format!("found {labels}")),
    }
}

fn parts(chunk: &AggrChunk) -> [(&'static str, i32, &Option<Chunk>); 6] {
    [
        ("raw", 0, &chunk.raw),
        ("count", 1, &chunk.count),
        ("sum", 2, &chunk.sum),
        ("min", 3, &chunk.min),
        ("max", 4, &chunk.max),
        ("counter", 5, &chunk.counter),
    ]
}

fn chunk_is_sound(chunk: &AggrChunk) -> Result<(), String> {
    for (name, _, part) in parts(chunk) {
        let Some(part) = part else { continue };
        let (samples, hash) = (decode(part, chunk.min_time, chunk.max_time), xxh64(&part.data, 0));
        let samples = samples.map_err(|error| format!("{name}: {error}"))?;
        let times = samples.floats.timestamps.iter().chain(&samples.histograms.timestamps);
        // The first sample of a counter chunk is the raw series' first value, which may be older than the end of the
        // first window.
        let first = if name == "counter" { i64::MIN } else { chunk.min_time };
        if let Some(time) = times.clone().find(|time| !(first..=chunk.max_time).contains(*time)) {
            return Err(format!("{name}: a sample at {time}"));
        }
        if part.hash != 0 && part.hash != hash {
            return Err(format!("{name}: found hash {}, expected {hash}", part.hash));
        }
    }
    Ok(())
}

fn aggregates(chunk: &AggrChunk, wanted: &[i32]) -> Result<(), String> {
    let mut found = parts(chunk).into_iter().filter(|(_, _, part)| part.is_some()).peekable();
    if found.peek().is_none() {
        return Err("it has no data at all".to_owned());
    }
    if chunk.raw.is_some() {
        let others = found.filter(|(name, _, _)| *name != "raw").count();
        return none(others, "aggregates beside raw data");
    }
    match found.find(|(_, number, _)| !wanted.contains(number)) {
        None => Ok(()),
        Some((name, _, _)) => Err(format!("{name} was not asked for")),
    }
}

fn overlaps(chunk: &AggrChunk, request: &SeriesRequest) -> Result<(), String> {
    if chunk.max_time >= request.min_time && chunk.min_time <= request.max_time {
        Ok(())
    } else {
        Err("outside the range".to_owned())
    }
}
