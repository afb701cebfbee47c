//! Encodes samples, in order of time, into chunks. Prometheus `storage/series.go`, `seriesToChunkEncoder`.

use tithon_chunks::{
    ChunkError, EncodedChunk, Encoding, ErrorKind, FloatHistogram, FloatHistogramEncoder, Histogram,
    HistogramEncoder, HistogramError, Sample, SampleValue, TimeRange, Timestamp, Xor2Encoder, XorEncoder,
};

/// The encoding of floats without start timestamps; floats with start timestamps are encoded as XOR2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FloatEncoding {
    /// XOR.
    #[default]
    Xor,
    /// XOR2.
    Xor2,
}

/// Why chunks of one series could not be merged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MergeError {
    /// A chunk cannot be decoded.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A histogram cannot be encoded.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
    /// Overlapping chunks have an encoding that can only be copied.
    #[error("a chunk of encoding {encoding:?} from {} to {} overlaps others and cannot be merged", range.min, range.max)]
    Overlap {
        /// The chunk's encoding.
        encoding: Encoding,
        /// Its range.
        range: TimeRange,
    },
}

impl MergeError {
    /// The kind of the error, which tells callers what to do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            MergeError::Chunk(error) => error.kind(),
            MergeError::Histogram(_) => ErrorKind::Corrupt,
            MergeError::Overlap { .. } => ErrorKind::Unsupported,
        }
    }
}

/// The most samples in a chunk.
pub(super) const CHUNK_SAMPLES: usize = 120;

/// Most chunks of floats take at most this many bytes.
const XOR_BYTES: usize = 512;

/// The data of an XOR chunk of these samples.
pub(super) fn xor_chunk(times: &[i64], values: &[f64]) -> Vec<u8> {
    let mut encoder = XorEncoder::with_capacity(XOR_BYTES);
    encoder.extend(times, values);
    encoder.finish()
}

/// Makes chunks of at most 120 samples, unless told otherwise. A new chunk begins where the kind of samples changes, and where a histogram
/// does not fit the open chunk.
#[derive(Debug)]
pub struct ChunkBuilder {
    float_encoding: FloatEncoding,
    samples_max: usize,
    open: Option<Open>,
    out: Vec<EncodedChunk>,
}

#[derive(Debug)]
struct Open {
    encoder: Encoder,
    min: i64,
    max: i64,
    samples: usize,
}

#[derive(Debug)]
enum Encoder {
    Xor(XorEncoder),
    Xor2(Xor2Encoder),
    Histogram(Box<HistogramEncoder>),
    FloatHistogram(Box<FloatHistogramEncoder>),
}

impl Encoder {
    fn encoding(&self) -> Encoding {
        match self {
            Encoder::Xor(_) => Encoding::Xor,
            Encoder::Xor2(_) => Encoding::Xor2,
            Encoder::Histogram(encoder) => encoder.encoding(),
            Encoder::FloatHistogram(encoder) => encoder.encoding(),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Encoder::Xor(encoder) => encoder.finish(),
            Encoder::Xor2(encoder) => encoder.finish(),
            Encoder::Histogram(encoder) => encoder.finish(),
            Encoder::FloatHistogram(encoder) => encoder.finish(),
        }
    }
}

impl Open {
    fn new(encoder: Encoder, t: i64) -> Open {
        Open { encoder, min: t, max: t, samples: 0 }
    }

    fn count(&mut self, t: i64) {
        self.max = t;
        self.samples += 1;
    }

    fn finish(self) -> EncodedChunk {
        EncodedChunk {
            encoding: self.encoder.encoding(),
            min_time: Timestamp(self.min),
            max_time: Timestamp(self.max),
            data: self.encoder.finish().into(),
        }
    }
}

impl ChunkBuilder {
    /// A builder without chunks.
    pub fn new(float_encoding: FloatEncoding) -> ChunkBuilder {
        ChunkBuilder { float_encoding, samples_max: CHUNK_SAMPLES, open: None, out: Vec::new() }
    }

    /// Ends chunks at this many samples, at most the 16,383 that every encoding can count.
    #[must_use]
    pub fn samples_max(mut self, samples: usize) -> ChunkBuilder {
        self.samples_max = samples.clamp(1, 16_383);
        self
    }

    /// Appends any sample.
    pub fn push(&mut self, sample: &Sample) -> Result<(), MergeError> {
        match &sample.value {
            SampleValue::Float(value) => {
                self.push_float(sample.st.0, sample.t.0, *value);
                Ok(())
            }
            SampleValue::Histogram(h) => self.push_histogram(sample.st.0, sample.t.0, h),
            SampleValue::FloatHistogram(h) => self.push_float_histogram(sample.st.0, sample.t.0, h),
        }
    }

    /// Appends a float; `start` is its start timestamp (0 if there is none), `t` its time.
    pub fn push_float(&mut self, start: i64, t: i64, value: f64) {
        let fits = match self.open_unless_full() {
            Some(Encoder::Xor(_)) => start == 0,
            Some(Encoder::Xor2(_)) => true,
            _ => false,
        };
        if !fits {
            self.cut();
        }
        let wanted = if start != 0 { FloatEncoding::Xor2 } else { self.float_encoding };
        let open = self.open.get_or_insert_with(|| {
            let encoder = match wanted {
                FloatEncoding::Xor => Encoder::Xor(XorEncoder::new()),
                FloatEncoding::Xor2 => Encoder::Xor2(Xor2Encoder::new()),
            };
            Open::new(encoder, t)
        });
        match &mut open.encoder {
            Encoder::Xor(encoder) => encoder.push(t, value),
            Encoder::Xor2(encoder) => encoder.push(start, t, value),
            Encoder::Histogram(_) | Encoder::FloatHistogram(_) => unreachable!("a chunk of floats is open"),
        }
        open.count(t);
    }

    /// Appends an integer histogram.
    pub fn push_histogram(&mut self, start: i64, t: i64, histogram: &Histogram) -> Result<(), MergeError> {
        let wanted = if start != 0 { Encoding::HistogramSt } else { Encoding::Histogram };
        if self.open_unless_full().is_none_or(|e| e.encoding() != wanted) {
            self.cut();
        }
        let open = self.open.get_or_insert_with(|| {
            Open::new(Encoder::Histogram(Box::new(HistogramEncoder::new(start != 0))), t)
        });
        let Encoder::Histogram(encoder) = &mut open.encoder else { unreachable!("just made or checked") };
        if let Some(next) = encoder.push(None, start, t, histogram)? {
            self.cut();
            self.open = Some(Open::new(Encoder::Histogram(Box::new(next)), t));
        }
        self.count(t);
        Ok(())
    }

    /// Appends a float histogram.
    pub fn push_float_histogram(
        &mut self,
        start: i64,
        t: i64,
        histogram: &FloatHistogram,
    ) -> Result<(), MergeError> {
        let wanted = if start != 0 { Encoding::FloatHistogramSt } else { Encoding::FloatHistogram };
        if self.open_unless_full().is_none_or(|e| e.encoding() != wanted) {
            self.cut();
        }
        let open = self.open.get_or_insert_with(|| {
            Open::new(Encoder::FloatHistogram(Box::new(FloatHistogramEncoder::new(start != 0))), t)
        });
        let Encoder::FloatHistogram(encoder) = &mut open.encoder else {
            unreachable!("just made or checked")
        };
        if let Some(next) = encoder.push(None, start, t, histogram)? {
            self.cut();
            self.open = Some(Open::new(Encoder::FloatHistogram(Box::new(next)), t));
        }
        self.count(t);
        Ok(())
    }

    /// The chunks, in order of time.
    pub fn finish(mut self) -> Vec<EncodedChunk> {
        self.cut();
        self.out
    }

    fn open_unless_full(&self) -> Option<&Encoder> {
        self.open.as_ref().filter(|open| open.samples < self.samples_max).map(|open| &open.encoder)
    }

    /// Ends the open chunk, so that the next sample begins another.
    pub fn cut(&mut self) {
        self.out.extend(self.open.take().map(Open::finish));
    }

    fn count(&mut self, t: i64) {
        if let Some(open) = &mut self.open {
            open.count(t);
        }
    }
}
