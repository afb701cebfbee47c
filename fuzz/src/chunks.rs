//! Fuzz bodies of chunks: bytes in, no panic out; appends in, the same samples out.

use arbitrary::Arbitrary;
use bytes::Bytes;
use tithon_chunks::{
    ChunkRecord, DecodePath, Encoding, HistogramBatch, SampleBatch, SegmentReader, TimeRange, Xor2Encoder,
    XorEncoder, decode_exact, decode_float_chunks_by, decode_histograms, sample_count,
};

/// The first byte is the encoding, the rest the chunk: any bytes decode or fail, on all paths alike.
pub fn decode_chunk(input: &[u8]) {
    let Some((first, data)) = input.split_first() else { return };
    let encoding = Encoding::from_byte(*first);
    let mut samples = Vec::new();
    let exact = decode_exact(encoding, data, &mut samples);
    if let (Ok(()), Ok(n)) = (&exact, sample_count(encoding, data)) {
        assert_eq!(samples.len(), n, "a chunk that decodes has as many samples as its header says");
    }
    if encoding.is_float() {
        let chunks = [(encoding, data); 9];
        let mut plain = SampleBatch::default();
        let first = decode_float_chunks_by(DecodePath::Scalar, &chunks, &mut plain, &mut Vec::new());
        assert_eq!(exact.is_ok(), first.is_ok());
        let bits = |batch: &SampleBatch| batch.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        for path in [DecodePath::Lanes, DecodePath::FourLanes] {
            let mut other = SampleBatch::default();
            assert_eq!(first, decode_float_chunks_by(path, &chunks, &mut other, &mut Vec::new()));
            assert_eq!(plain.timestamps, other.timestamps);
            assert_eq!(bits(&plain), bits(&other));
        }
    }
    if encoding.is_histogram() {
        let mut columns = HistogramBatch::default();
        let result = decode_histograms(encoding, data, TimeRange::ALL, &mut columns);
        assert_eq!((result.is_ok(), columns.len()), (exact.is_ok(), samples.len()));
    }
    let _ = sample_count(Encoding::Aggregate, data);
}

/// Any bytes as a segment file, with a record looked for at every offset.
pub fn open_segment(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    for at in 0..input.len() {
        if let Ok(record) = ChunkRecord::parse(&bytes, at) {
            let _ = record.verify(at as u64);
        }
    }
    if let Ok(reader) = SegmentReader::open(bytes) {
        let _ = reader.chunk(8);
    }
}

/// One sample to append.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Append {
    /// Time since the sample before, in milliseconds.
    pub delta: i64,
    /// The value's bits.
    pub bits: u64,
    /// Start timestamp, 0 for none.
    pub start: i64,
}

/// Appends that are written and read back must be the same, in both float encodings.
pub fn round_trip(appends: &[Append]) {
    let (mut xor, mut xor2) = (XorEncoder::new(), Xor2Encoder::new());
    let mut t = 0i64;
    let mut expected = Vec::new();
    for append in appends.iter().take(1_000) {
        t = t.wrapping_add(append.delta);
        let value = f64::from_bits(append.bits);
        xor.push(t, value);
        xor2.push(append.start, t, value);
        expected.push((t, append.bits, append.start));
    }
    let read = |encoding, data: &[u8]| {
        let mut samples = Vec::new();
        decode_exact(encoding, data, &mut samples).expect("what was written is read");
        let each = samples.into_iter().map(|sample| match sample.value {
            tithon_chunks::SampleValue::Float(value) => (sample.t.0, value.to_bits(), sample.st.0),
            other => unreachable!("a float chunk holds {other:?}"),
        });
        each.collect::<Vec<_>>()
    };
    assert_eq!(read(Encoding::Xor2, &xor2.finish()), expected);
    expected.iter_mut().for_each(|sample| sample.2 = 0);
    assert_eq!(read(Encoding::Xor, &xor.finish()), expected);
}
