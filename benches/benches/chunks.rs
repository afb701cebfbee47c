//! Decoding and encoding of chunks: `cargo bench -p tithon-benches --bench chunks [-- --json]`.

use std::hint::black_box;

use bytes::Bytes;
use tithon_benches::{Report, medians};
use tithon_chunks::{
    ChunkRecord, DecodePath, EncodedChunk, Encoding, Histogram, HistogramBatch, HistogramEncoder,
    SEGMENT_HEADER_BYTES, SampleBatch, Samples, Span, TimeRange, Timestamp, Xor2Encoder, XorEncoder,
    decode_float_chunks_by, decode_floats, decode_samples,
};

const N_ROUNDS: usize = 9;
/// Samples of a tile that stays in the second-level cache: 16 bytes each.
const TILE_SAMPLES: usize = 32 * 1024;

fn main() {
    let mut report = Report::from_args();
    let sets = [
        ("real-2022", real_block()),
        ("noisy-int", synthetic(noisy_int)),
        ("noisy-float", synthetic(noisy_float)),
        ("noisy-mixed", synthetic(noisy_mixed)),
        ("moves-05", counters(5)),
        ("moves-20", counters(20)),
        ("moves-40", counters(40)),
    ];
    for (name, chunks) in &sets {
        decode(&mut report, name, chunks);
    }
    encode(&mut report);
    decode_others(&mut report);
    report.finish();
}

fn decode(report: &mut Report, name: &str, chunks: &[Bytes]) {
    let tiles = tiles_of(chunks);
    let n_samples = count(chunks);
    let mut batches = [const { None::<SampleBatch> }; 5].map(|_| SampleBatch::default());
    let paths = [
        DecodePath::Scalar,
        DecodePath::ZeroRuns,
        DecodePath::Lanes,
        DecodePath::FourLanes,
        DecodePath::Hybrid,
    ];
    let mut runs: Vec<_> = paths
        .iter()
        .zip(&mut batches)
        .map(|(path, batch)| {
            let tiles = &tiles;
            let mut ends = Vec::new();
            move || {
                for tile in tiles {
                    batch.clear();
                    ends.clear();
                    decode_float_chunks_by(*path, tile, batch, &mut ends).expect("the chunks are sound");
                    black_box(&batch);
                }
            }
        })
        .collect();
    let mut variants: Vec<&mut dyn FnMut()> = runs.iter_mut().map(|run| run as &mut dyn FnMut()).collect();
    let seconds = medians(N_ROUNDS, &mut variants);
    let names = ["scalar", "zero-runs", "lanes", "four-lanes", "hybrid"];
    for (path, time) in names.iter().zip(&seconds) {
        let against = if *path == "scalar" { "" } else { "scalar" };
        report.row(
            &format!("decode/{name}/{path}"),
            "ns/sample",
            time * 1e9 / n_samples,
            against,
            seconds[0] / time,
        );
    }
}

fn encode(report: &mut Report) {
    type Next = fn(&mut Noise, usize) -> f64;
    let kinds: [(&str, Next); 2] = [("counter", noisy_int), ("gauge", gauge)];
    for (name, value) in kinds {
        let mut noise = Noise(11);
        let samples: Vec<(i64, f64)> = (0..120 * 2_000)
            .map(|i| (15_000 * i as i64 + noise.below(3), value(&mut noise, i % 120)))
            .collect();
        let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        let mut single = || {
            for part in samples.chunks(120) {
                let mut encoder = XorEncoder::with_capacity(512);
                part.iter().for_each(|(t, value)| encoder.push(*t, *value));
                black_box(encoder.finish());
            }
        };
        let mut columns = || {
            for (times, values) in times.chunks(120).zip(values.chunks(120)) {
                let mut encoder = XorEncoder::with_capacity(512);
                encoder.extend(times, values);
                black_box(encoder.finish());
            }
        };
        let seconds = medians(N_ROUNDS, &mut [&mut columns, &mut single]);
        let value = seconds[0] * 1e9 / samples.len() as f64;
        report.row(&format!("encode/{name}"), "ns/sample", value, "one by one", seconds[1] / seconds[0]);
    }
}

fn decode_others(report: &mut Report) {
    let histograms: Vec<EncodedChunk> = (0..400).map(histogram_chunk).collect();
    let mut out = Samples::default();
    let mut decode_histograms = || {
        for chunk in &histograms {
            out = Samples::default();
            decode_samples(chunk, TimeRange::ALL, &mut out).expect("the chunks are sound");
            black_box(&out);
        }
    };
    let mut columns = HistogramBatch::default();
    let mut decode_columns = || {
        for chunk in &histograms {
            columns.clear();
            tithon_chunks::decode_histograms(chunk.encoding, &chunk.data, TimeRange::ALL, &mut columns)
                .expect("the chunks are sound");
            black_box(&columns);
        }
    };
    let seconds = medians(N_ROUNDS, &mut [&mut decode_histograms, &mut decode_columns]);
    let value = seconds[1] * 1e9 / (400.0 * 100.0);
    report.row("decode/histograms", "ns/histogram", value, "a value each", seconds[0] / seconds[1]);

    let kinds: [(&str, Value); 2] = [("decode/xor2", noisy_mixed), ("decode/xor2-flat", flat)];
    for (bench, value) in kinds {
        let chunks: Vec<(Bytes, Bytes)> = (0..4_000).map(|seed| xor2_and_xor(seed, value)).collect();
        let mut batches = [SampleBatch::default(), SampleBatch::default()];
        let [xor2_batch, xor_batch] = &mut batches;
        let mut xor2 = || chunks.iter().for_each(|(data, _)| decode_one(Encoding::Xor2, data, xor2_batch));
        let mut xor = || chunks.iter().for_each(|(_, data)| decode_one(Encoding::Xor, data, xor_batch));
        let seconds = medians(N_ROUNDS, &mut [&mut xor2, &mut xor]);
        let value = seconds[0] * 1e9 / (4_000.0 * 120.0);
        report.row(bench, "ns/sample", value, "the same samples as XOR", seconds[1] / seconds[0]);
    }
}

fn decode_one(encoding: Encoding, data: &[u8], batch: &mut SampleBatch) {
    batch.clear();
    decode_floats(encoding, data, TimeRange::ALL, batch).expect("the chunks are sound");
    black_box(&batch);
}

/// Every chunk of the real block, in the order of its segment.
fn real_block() -> Vec<Bytes> {
    let mut paths: Vec<_> = std::fs::read_dir(tithon_testdata::shared("testdata/blocks/real-2022/chunks"))
        .expect("the block is there")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    paths.sort();
    let mut out = Vec::new();
    for path in paths {
        let bytes = Bytes::from(std::fs::read(path).expect("the segment can be read"));
        let mut at = SEGMENT_HEADER_BYTES;
        while at < bytes.len() {
            let record = ChunkRecord::parse(&bytes, at).expect("the segment is sound");
            at += record.raw.len();
            out.push(record.data);
        }
    }
    out
}

fn synthetic(value: Value) -> Vec<Bytes> {
    let mut noise = Noise(7);
    (0..8_000)
        .map(|chunk| {
            let mut encoder = XorEncoder::new();
            for i in 0..120 {
                let t = 1_700_000_000_000 + chunk * 1_800_000 + i as i64 * 15_000 + noise.below(40);
                encoder.push(t, value(&mut noise, i));
            }
            Bytes::from(encoder.finish())
        })
        .collect()
}

/// Counters that move by a little at so many of a hundred samples, scraped on time.
fn counters(often: i64) -> Vec<Bytes> {
    let mut noise = Noise(11);
    let chunk = |chunk: i64| {
        let mut encoder = XorEncoder::new();
        let mut value = noise.below(1_000);
        for i in 0..120 {
            if noise.below(100) < often {
                value += noise.below(30);
            }
            encoder.push(1_700_000_000_000 + chunk * 1_800_000 + i * 15_000, value as f64);
        }
        Bytes::from(encoder.finish())
    };
    (0..8_000).map(chunk).collect()
}

fn xor2_and_xor(seed: u64, value: Value) -> (Bytes, Bytes) {
    let mut noise = Noise(seed + 1);
    let (mut xor2, mut xor) = (Xor2Encoder::new(), XorEncoder::new());
    for i in 0..120 {
        let t = 1_700_000_000_000 + i as i64 * 15_000 + if i % 10 == 0 { noise.below(3) } else { 0 };
        let value = value(&mut noise, i);
        xor2.push(0, t, value);
        xor.push(t, value);
    }
    (xor2.finish().into(), xor.finish().into())
}

fn histogram_chunk(seed: u64) -> EncodedChunk {
    let mut noise = Noise(seed + 1);
    let mut encoder = HistogramEncoder::new(false);
    let mut counts = [0i64; 24];
    for i in 0..100 {
        counts.iter_mut().for_each(|count| *count += noise.below(20));
        let deltas: Vec<i64> =
            counts.iter().scan(0, |last, c| Some(c - std::mem::replace(last, *c))).collect();
        let histogram = Histogram {
            schema: 3,
            count: counts.iter().sum::<i64>() as u64,
            sum: counts.iter().sum::<i64>() as f64 * 1.5,
            positive_spans: vec![Span { offset: -3, length: 14 }, Span { offset: 2, length: 10 }],
            positive_buckets: deltas,
            ..Histogram::default()
        };
        let cut = encoder.push(None, 0, 15_000 * i, &histogram).expect("spans and buckets agree");
        assert!(cut.is_none(), "counters that only rise stay in one chunk");
    }
    EncodedChunk {
        encoding: Encoding::Histogram,
        min_time: Timestamp(0),
        max_time: Timestamp(15_000 * 99),
        data: encoder.finish().into(),
    }
}

fn tiles_of(chunks: &[Bytes]) -> Vec<Vec<(Encoding, &[u8])>> {
    let mut tiles = vec![Vec::new()];
    let mut n = 0;
    for data in chunks {
        n += samples_in(data);
        if n > TILE_SAMPLES {
            tiles.push(Vec::new());
            n = samples_in(data);
        }
        tiles.last_mut().expect("there is always a tile").push((Encoding::Xor, &data[..]));
    }
    tiles
}

fn samples_in(data: &[u8]) -> usize {
    tithon_chunks::sample_count(Encoding::Xor, data).expect("the chunks are sound")
}

fn count(chunks: &[Bytes]) -> f64 {
    chunks.iter().map(|data| samples_in(data)).sum::<usize>() as f64
}

/// Makes the value of a chunk's sample with this index.
type Value = fn(&mut Noise, usize) -> f64;

/// A counter that rises by a different integer each time.
fn noisy_int(noise: &mut Noise, i: usize) -> f64 {
    (i as i64 * 1_000 + noise.below(1_000)) as f64
}

/// All bits of the fraction random.
fn noisy_float(noise: &mut Noise, _i: usize) -> f64 {
    f64::from_bits(0x3ff0_0000_0000_0000 | noise.next() >> 12)
}

/// Half of the samples unchanged.
fn noisy_mixed(noise: &mut Noise, i: usize) -> f64 {
    if noise.below(2) == 0 { 17.0 } else { noisy_int(noise, i) }
}

/// Changes now and then.
fn flat(_noise: &mut Noise, i: usize) -> f64 {
    (i / 25) as f64
}

/// A gauge with two decimals.
fn gauge(noise: &mut Noise, _i: usize) -> f64 {
    noise.below(10_000) as f64 / 100.0
}

/// A small generator of numbers that look random.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> i64 {
        (self.next() % n) as i64
    }
}
