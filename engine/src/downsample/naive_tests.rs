//! Aggregates of random series against sums over a map of windows.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tithon_chunks::{Aggregate, AggregateChunk, SampleBatch, decode_floats};
use tithon_index::Labels;

use super::*;
use crate::compact::{ChunkBuilder, FloatEncoding};
use crate::dedup::{Track, counter};
use crate::{BlockWriter, Compaction, MetaParts, SelectRequest};

/// Count, sum, minimum and maximum of each window, by its number.
type Windows = BTreeMap<i64, [f64; 4]>;

fn add(windows: &mut Windows, window: i64, [count, sum, min, max]: [f64; 4]) {
    let have = windows.entry(window).or_insert([0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY]);
    *have = [have[0] + count, have[1] + sum, have[2].min(min), have[3].max(max)];
}

fn write(parent: &Path, samples: &[(i64, f64)]) -> Block {
    let id = BlockId::from_parts(1, 1);
    let mut writer = BlockWriter::create(parent, id).unwrap();
    let mut builder = ChunkBuilder::new(FloatEncoding::Xor);
    samples.iter().for_each(|(t, value)| builder.push_float(0, *t, *value));
    writer.add_series(&Labels::from_pairs([("a", "b")]), &builder.finish()).unwrap();
    let (min_time, max_time) = (samples[0].0, samples[samples.len() - 1].0 + 1);
    let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
    writer.finish(MetaParts { min_time, max_time, compaction, thanos: None }).unwrap();
    Block::open(parent.join(id.to_string())).unwrap()
}

/// The windows of the only series, and the last value of the counter.
fn read(block: &Block, resolution: i64) -> (Windows, f64) {
    let (mut windows, mut counters) = (Windows::new(), Vec::new());
    let request = SelectRequest::new(vec![], TimeRange::ALL);
    for chunk in block.select(request).flat_map(|batch| batch.unwrap().series).flat_map(|s| s.chunks) {
        let parsed = AggregateChunk::parse(&chunk.data).unwrap();
        let column = |aggregate| {
            let (mut samples, (encoding, data)) = (SampleBatch::default(), parsed.get(aggregate).unwrap());
            decode_floats(encoding, data, TimeRange::ALL, &mut samples).unwrap();
            samples
        };
        let all = [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max].map(column);
        for (i, t) in all[0].timestamps.iter().enumerate() {
            assert!(all.iter().all(|c| c.timestamps[i] == *t));
            add(&mut windows, t / resolution, all.each_ref().map(|c| c.values[i]));
        }
        counters.push(column(Aggregate::Counter));
    }
    let tracks: Vec<Track<'_>> = counters.iter().map(|c| Track::floats(&c.timestamps, &c.values)).collect();
    let total = counter::apply_resets(&tracks).last().and_then(|pick| pick.float).unwrap();
    (windows, total)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn aggregates_are_those_of_a_map(
        start in 0i64..4_000_000,
        samples in prop::collection::vec((1i64..90_000, 0u32..500), 1..1500),
    ) {
        let mut t = start;
        let samples: Vec<(i64, f64)> = samples
            .into_iter()
            .map(|(gap, value)| { t += gap; (t, f64::from(value)) })
            .collect();
        let parent = tempfile::tempdir().unwrap();
        let block = write(parent.path(), &samples);
        let levels = [Resolution::FiveMinutes, Resolution::OneHour];
        let target = |(i, resolution)| Target { resolution, id: BlockId::from_parts(2, i as u128) };
        let targets: Vec<Target> = levels.into_iter().enumerate().map(target).collect();
        downsample(&block, parent.path(), &targets).unwrap();
        let grown = |pair: &[(i64, f64)]| {
            if pair[1].1 >= pair[0].1 { pair[1].1 - pair[0].1 } else { pair[1].1 }
        };
        let total = samples[0].1 + samples.windows(2).map(grown).sum::<f64>();
        for target in targets {
            let resolution = target.resolution.ms();
            let mut expected = Windows::new();
            for (t, value) in &samples {
                add(&mut expected, t / resolution, [1.0, *value, *value, *value]);
            }
            let made = Block::open(parent.path().join(target.id.to_string())).unwrap();
            prop_assert_eq!(read(&made, resolution), (expected, total));
        }
    }
}
