//! The open chunk of a series, and when it is complete. Prometheus `tsdb/head_append.go`, `appendPreprocessor`.

use tithon_chunks::{
    EncodedChunk, Encoding, FloatHistogram, FloatHistogramEncoder, Histogram, HistogramEncoder,
    HistogramError, HistogramKind, Timestamp, XorEncoder,
};

/// Samples that a chunk of floats aims at; none has twice as many.
const SAMPLES: usize = 120;
/// A chunk of floats with more bytes may grow over 1024 with the next sample.
const FLOAT_BYTES_MAX: usize = 1024 - 19;
/// Bytes that a chunk of histograms aims at.
const HISTOGRAM_BYTES: usize = 1024;
/// Samples that a chunk of histograms has at the least, unless its range of time ends.
const HISTOGRAM_SAMPLES_MIN: usize = 10;

/// A chunk that samples are appended to.
#[derive(Debug)]
pub(crate) struct OpenChunk {
    encoder: Encoder,
    min: i64,
    max: i64,
    /// Samples from this time on go into the next chunk.
    end: i64,
    /// Whether `end` was reckoned from the size of a chunk of histograms.
    end_is_known: bool,
}

#[derive(Debug)]
enum Encoder {
    Xor(XorEncoder),
    Histogram(Box<HistogramEncoder>),
    FloatHistogram(Box<FloatHistogramEncoder>),
}

impl Encoder {
    fn as_histogram(&mut self) -> Option<&mut HistogramEncoder> {
        match self {
            Encoder::Histogram(encoder) => Some(encoder),
            _ => None,
        }
    }

    fn as_float_histogram(&mut self) -> Option<&mut FloatHistogramEncoder> {
        match self {
            Encoder::FloatHistogram(encoder) => Some(encoder),
            _ => None,
        }
    }
}

/// The end of the range of time that `t` lies in; chunks never reach over it. Divides downwards: upstream divides towards zero, and
/// the two ranges around the year 1970 are one there.
pub(crate) fn range_end(t: i64, range: i64) -> i64 {
    t.div_euclid(range).saturating_mul(range).saturating_add(range)
}

/// Where a chunk should end that has a share of 1 / `ratio` of what it aims at, so that the chunks up to `end` have equal shares.
fn predicted_end(min: i64, max: i64, end: i64, ratio: f64) -> i64 {
    let span = end.wrapping_sub(min) as f64;
    let n = span / (max.wrapping_sub(min).wrapping_add(1) as f64 * ratio);
    // Far from 1970 the sum is rounded, and must not be beyond the end.
    if n <= 1.0 { end } else { ((min as f64 + span / n.floor()) as i64).min(end) }
}

impl OpenChunk {
    fn new(encoder: Encoder, t: i64, range: i64) -> OpenChunk {
        OpenChunk { encoder, min: t, max: t, end: range_end(t, range), end_is_known: false }
    }

    /// The last time in it.
    pub(crate) fn max(&self) -> i64 {
        self.max
    }

    /// The first time in it.
    pub(crate) fn min(&self) -> i64 {
        self.min
    }

    /// The chunk as it is now.
    pub(crate) fn snapshot(&self) -> EncodedChunk {
        let (encoding, data) = match &self.encoder {
            Encoder::Xor(encoder) => (Encoding::Xor, encoder.clone().finish()),
            Encoder::Histogram(encoder) => (encoder.encoding(), (**encoder).clone().finish()),
            Encoder::FloatHistogram(encoder) => (encoder.encoding(), (**encoder).clone().finish()),
        };
        EncodedChunk {
            encoding,
            min_time: Timestamp(self.min),
            max_time: Timestamp(self.max),
            // What the encoder had room for beyond its bytes is given back.
            data: data.into_boxed_slice().into(),
        }
    }

    /// Appends a float behind the last sample; gives the chunk that became complete, if one did.
    pub(crate) fn push_float(
        open: &mut Option<OpenChunk>,
        t: i64,
        value: f64,
        range: i64,
    ) -> Option<OpenChunk> {
        let complete = match open.as_mut().is_some_and(|chunk| chunk.takes_float(t)) {
            true => None,
            false => open.replace(OpenChunk::new(Encoder::Xor(XorEncoder::new()), t, range)),
        };
        if let Some(OpenChunk { encoder: Encoder::Xor(encoder), max, .. }) = open {
            encoder.push(t, value);
            *max = t;
        }
        complete
    }

    fn takes_float(&mut self, t: i64) -> bool {
        let Encoder::Xor(encoder) = &self.encoder else { return false };
        if encoder.byte_len() > FLOAT_BYTES_MAX {
            return false;
        }
        if encoder.len() == SAMPLES / 4 {
            self.end = predicted_end(self.min, self.max, self.end, 4.0);
        }
        t < self.end && encoder.len() < 2 * SAMPLES
    }

    /// Appends an integer histogram, likewise.
    pub(crate) fn push_histogram(
        open: &mut Option<OpenChunk>,
        t: i64,
        histogram: &Histogram,
        range: i64,
    ) -> Result<Option<OpenChunk>, HistogramError> {
        let wrap = |next| Encoder::Histogram(Box::new(next));
        OpenChunk::push_kind(open, t, histogram, range, Encoder::as_histogram, wrap)
    }

    /// Appends a float histogram, likewise.
    pub(crate) fn push_float_histogram(
        open: &mut Option<OpenChunk>,
        t: i64,
        histogram: &FloatHistogram,
        range: i64,
    ) -> Result<Option<OpenChunk>, HistogramError> {
        let wrap = |next| Encoder::FloatHistogram(Box::new(next));
        OpenChunk::push_kind(open, t, histogram, range, Encoder::as_float_histogram, wrap)
    }

    /// Appends a histogram of the kind that `get` finds the encoder of.
    fn push_kind<K: HistogramKind>(
        open: &mut Option<OpenChunk>,
        t: i64,
        histogram: &K::Histogram,
        range: i64,
        get: impl Fn(&mut Encoder) -> Option<&mut tithon_chunks::Encoder<K>>,
        wrap: impl Fn(tithon_chunks::Encoder<K>) -> Encoder,
    ) -> Result<Option<OpenChunk>, HistogramError> {
        let encoder = open.as_mut().and_then(|chunk| get(&mut chunk.encoder));
        let sizes = encoder.map(|encoder| (encoder.len(), encoder.byte_len()));
        if let (Some(chunk), Some((len, bytes))) = (open.as_mut(), sizes)
            && chunk.takes_histogram(t, len, bytes, range)
            && let Some(encoder) = get(&mut chunk.encoder)
        {
            let next = encoder.push(None, 0, t, histogram)?;
            return Ok(OpenChunk::continue_with(open, t, range, next.map(wrap)));
        }
        let mut encoder = tithon_chunks::Encoder::new(false);
        let before = open.as_mut().and_then(|chunk| get(&mut chunk.encoder));
        encoder.push(before.map(|before| &*before), 0, t, histogram)?;
        Ok(open.replace(OpenChunk::new(wrap(encoder), t, range)))
    }

    /// After a sample went into the open chunk, or into `next` because its buckets did not fit.
    fn continue_with(
        open: &mut Option<OpenChunk>,
        t: i64,
        range: i64,
        next: Option<Encoder>,
    ) -> Option<OpenChunk> {
        let Some(chunk) = open else { return None };
        let Some(next) = next else {
            chunk.max = t;
            return None;
        };
        // As upstream, which does not reckon an end for such a chunk if it did for the one before.
        let end_is_known = chunk.end_is_known;
        open.replace(OpenChunk { end_is_known, ..OpenChunk::new(next, t, range) })
    }

    fn takes_histogram(&mut self, t: i64, len: usize, bytes: usize, range: i64) -> bool {
        let range_end = if self.end_is_known { range_end(self.min, range) } else { self.end };
        if !self.end_is_known && bytes >= HISTOGRAM_BYTES / 4 {
            let ratio = HISTOGRAM_BYTES as f64 / bytes as f64;
            self.end = predicted_end(self.min, self.max, self.end, ratio);
            self.end_is_known = true;
        }
        let is_full = t >= self.end || bytes >= 2 * HISTOGRAM_BYTES;
        !(is_full && (len >= HISTOGRAM_SAMPLES_MIN || t >= range_end))
    }
}
