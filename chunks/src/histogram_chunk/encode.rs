//! Builds chunks of native histograms: decides whether a sample still fits, writes the chunk anew when it brings new
//! buckets, and sets the counter reset header. Prometheus `tsdb/chunkenc/histogram.go`, `AppendHistogram`.

use super::header::{CounterResetHeader, HEADER_BYTES};
use super::layout::Layout;
use super::rows::{Floats, Ints, Kind, Row};
use super::spans::{Reconciled, reconcile, spans_of, spread};
use crate::bits::BitWriter;
use crate::start::StartWriter;
use crate::varbit::write_int;
use crate::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Encoding, HistogramError, STALE_NAN_BITS};

/// Builds one chunk of integer histograms.
pub type HistogramEncoder = Encoder<Ints>;
/// Builds one chunk of float histograms.
pub type FloatHistogramEncoder = Encoder<Floats>;

/// Builds one chunk of native histograms; see [`HistogramEncoder`] and [`FloatHistogramEncoder`].
#[derive(Clone, Debug)]
pub struct Encoder<K: Kind> {
    out: BitWriter,
    kind: K,
    n: u16,
    reset: CounterResetHeader,
    starts: Option<StartWriter>,
    t: i64,
    t_delta: i64,
    layout: Layout,
    /// The last sample; its buckets are laid out as `layout` says.
    last: Option<Row<K::Count, K::Bucket>>,
}

/// What to do with a sample that meets a chunk.
enum Verdict {
    /// Start a new chunk with this counter reset state.
    Cut(CounterResetHeader),
    /// Append, after bringing positive and negative buckets together.
    Append(Reconciled, Reconciled),
}

impl<K: Kind> Encoder<K> {
    /// An empty chunk; `with_starts` for one of the encodings with start timestamps.
    pub fn new(with_starts: bool) -> Encoder<K> {
        Encoder {
            out: BitWriter::after(&[0; HEADER_BYTES]),
            kind: K::default(),
            n: 0,
            reset: CounterResetHeader::Unknown,
            starts: with_starts.then(StartWriter::default),
            t: 0,
            t_delta: 0,
            layout: Layout::default(),
            last: None,
        }
    }

    /// Appends a sample at `t` milliseconds with start timestamp `start` (0 is none, ignored in a chunk without).
    ///
    /// Gives `None` when the sample went into this chunk (which may have been written anew for new buckets), or the
    /// next chunk, begun with this sample, when this one is complete. `previous` is the chunk before this one, if
    /// any: an empty chunk takes its counter reset header from the comparison with it.
    ///
    /// Fails when spans and buckets disagree. Panics beyond the 65,535 (16,383 with start timestamps) samples that a
    /// header can count.
    pub fn push(
        &mut self,
        previous: Option<&Encoder<K>>,
        start: i64,
        t: i64,
        histogram: &K::Histogram,
    ) -> Result<Option<Encoder<K>>, HistogramError> {
        let (mut layout, mut row) = K::split(histogram)?;
        if self.n == 0 {
            self.reset = first_header(previous, &layout, &row);
            self.append(start, t, layout, row);
            return Ok(None);
        }
        let is_gauge = row.hint == CounterResetHint::Gauge;
        let verdict =
            if is_gauge { self.fits_gauge(&layout, &row) } else { self.fits_counter(&layout, &row) };
        let (positive, negative) = match verdict {
            Verdict::Cut(status) => {
                let mut next = Encoder::new(self.starts.is_some());
                next.reset = status;
                next.append(start, t, layout, row);
                return Ok(Some(next));
            }
            Verdict::Append(positive, negative) => (positive, negative),
        };
        let chunk_grows = positive.chunk_grows || negative.chunk_grows;
        if positive.sample_grows || negative.sample_grows {
            let mut target = layout.clone();
            if !chunk_grows && !is_gauge {
                target.positive_spans.clone_from(&self.layout.positive_spans);
                target.negative_spans.clone_from(&self.layout.negative_spans);
            } else {
                for (spans, side) in
                    [(&mut target.positive_spans, &positive), (&mut target.negative_spans, &negative)]
                {
                    if side.sample_grows || (is_gauge && side.chunk_grows) {
                        *spans = spans_of(&side.merged);
                    }
                }
            }
            row = lay_out(&row, &layout, &target);
            layout = target;
        }
        if chunk_grows {
            self.recode(&layout);
        }
        self.append(start, t, layout, row);
        Ok(None)
    }

    /// Samples so far.
    pub fn len(&self) -> usize {
        usize::from(self.n)
    }

    /// Whether there is no sample yet.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Size of the chunk's data so far, in bytes.
    pub fn byte_len(&self) -> usize {
        self.out.byte_len()
    }

    /// The encoding of the chunk.
    pub fn encoding(&self) -> Encoding {
        K::ENCODINGS[usize::from(self.starts.is_some())]
    }

    /// What the chunk says about a counter reset before it.
    pub fn counter_reset_header(&self) -> CounterResetHeader {
        self.reset
    }

    /// The chunk's data.
    pub fn finish(self) -> Vec<u8> {
        let [high, low] = self.n.to_be_bytes();
        let reset = self.reset.bits() << 6;
        match &self.starts {
            None => self.out.finish(&[high, low, reset]),
            Some(starts) => {
                let header = [reset | high, low, starts.header()];
                self.out.finish(&header)
            }
        }
    }

    fn append(&mut self, start: i64, t: i64, layout: Layout, row: Row<K::Count, K::Bucket>) {
        let max = if self.starts.is_some() { 0x3fff } else { u16::MAX };
        assert!(self.n < max, "a histogram chunk counts at most {max} samples");
        let (layout, row) = if row.is_stale() { (Layout::default(), stale(&row)) } else { (layout, row) };
        let previous_t = self.t;
        if self.n == 0 {
            layout.write(&mut self.out);
            write_int(t, &mut self.out);
            self.kind.write_first(&row, &mut self.out);
            self.layout = layout;
        } else {
            let delta = t.wrapping_sub(self.t);
            write_int(delta.wrapping_sub(self.t_delta), &mut self.out);
            self.t_delta = delta;
            self.kind.write_next(&row, &mut self.out);
        }
        if let Some(starts) = &mut self.starts {
            starts.write(self.n, t, previous_t, start, &mut self.out);
        }
        self.t = t;
        self.last = Some(row);
        self.n += 1;
    }

    /// Writes the chunk anew with the bucket layout `target`, which has all buckets of the present one.
    fn recode(&mut self, target: &Layout) {
        let encoding = self.encoding();
        let reset = self.reset;
        let with_starts = self.starts.is_some();
        let old = std::mem::replace(self, Encoder::new(with_starts));
        let rows = K::read(encoding, &old.finish()).expect("the encoder's own bytes decode");
        for (t, start, layout, row) in rows {
            let row = lay_out(&row, &layout, target);
            self.append(start, t, target.clone(), row);
        }
        self.reset = reset;
    }

    fn fits_counter(&self, layout: &Layout, row: &Row<K::Count, K::Bucket>) -> Verdict {
        match self.compare_counter(layout, row) {
            Err(status) if K::KEEPS_STATUS || status == CounterResetHeader::Reset => Verdict::Cut(status),
            Err(_) => Verdict::Cut(CounterResetHeader::Unknown),
            Ok((positive, negative)) => Verdict::Append(positive, negative),
        }
    }

    /// Whether a counter sample continues this chunk: how its buckets come together, or why not.
    fn compare_counter(
        &self,
        layout: &Layout,
        row: &Row<K::Count, K::Bucket>,
    ) -> Result<(Reconciled, Reconciled), CounterResetHeader> {
        let Some(last) = &self.last else { return Err(CounterResetHeader::Unknown) };
        if self.reset == CounterResetHeader::Gauge {
            return Err(CounterResetHeader::NotReset);
        }
        if row.hint == CounterResetHint::Reset {
            return Err(CounterResetHeader::Reset);
        }
        if row.is_stale() {
            return Ok(Default::default());
        }
        if last.sum == STALE_NAN_BITS {
            return Err(CounterResetHeader::Unknown);
        }
        if row.count < last.count {
            return Err(CounterResetHeader::Reset);
        }
        if layout.schema != self.layout.schema || layout.zero_threshold != self.layout.zero_threshold {
            return Err(CounterResetHeader::Unknown);
        }
        if !bounds_match(layout, &self.layout) || row.zero_count < last.zero_count {
            return Err(CounterResetHeader::Reset);
        }
        let is_reset = |chunk: K::Bucket, sample: Option<K::Bucket>| match sample {
            Some(sample) => chunk > sample,
            None => chunk != K::Bucket::default(),
        };
        let both = |chunk, sample| reconcile(chunk, sample, is_reset).ok_or(CounterResetHeader::Reset);
        Ok((
            both((&self.layout.positive_spans, &last.positive), (&layout.positive_spans, &row.positive))?,
            both((&self.layout.negative_spans, &last.negative), (&layout.negative_spans, &row.negative))?,
        ))
    }

    fn fits_gauge(&self, layout: &Layout, row: &Row<K::Count, K::Bucket>) -> Verdict {
        let cut = Verdict::Cut(CounterResetHeader::Gauge);
        let Some(last) = &self.last else { return cut };
        if self.reset != CounterResetHeader::Gauge {
            return cut;
        }
        if row.is_stale() {
            return Verdict::Append(Reconciled::default(), Reconciled::default());
        }
        if last.is_stale()
            || layout.schema != self.layout.schema
            || layout.zero_threshold != self.layout.zero_threshold
            || !bounds_match(layout, &self.layout)
        {
            return cut;
        }
        let both = |chunk, sample| reconcile(chunk, sample, |_, _| false).unwrap_or_default();
        Verdict::Append(
            both((&self.layout.positive_spans, &last.positive), (&layout.positive_spans, &row.positive)),
            both((&self.layout.negative_spans, &last.negative), (&layout.negative_spans, &row.negative)),
        )
    }
}

/// The counter reset header of a chunk that begins with this sample.
fn first_header<K: Kind>(
    previous: Option<&Encoder<K>>,
    layout: &Layout,
    row: &Row<K::Count, K::Bucket>,
) -> CounterResetHeader {
    match (row.hint, previous.filter(|previous| previous.n > 0)) {
        (CounterResetHint::Gauge, _) => CounterResetHeader::Gauge,
        (CounterResetHint::Reset, _) => CounterResetHeader::Reset,
        (_, None) => CounterResetHeader::Unknown,
        (_, Some(previous)) => match previous.compare_counter(layout, row) {
            Err(status) if K::KEEPS_STATUS || status == CounterResetHeader::Reset => status,
            _ => CounterResetHeader::NotReset,
        },
    }
}

fn bounds_match(a: &Layout, b: &Layout) -> bool {
    a.schema != CUSTOM_BUCKETS_SCHEMA || a.custom_values == b.custom_values
}

/// `row`, laid out by `from`, with the buckets of `to`, new ones empty.
fn lay_out<C: Copy, B: Copy + Default>(row: &Row<C, B>, from: &Layout, to: &Layout) -> Row<C, B> {
    Row {
        positive: spread(&row.positive, &from.positive_spans, &to.positive_spans, B::default()),
        negative: spread(&row.negative, &from.negative_spans, &to.negative_spans, B::default()),
        hint: row.hint,
        count: row.count,
        zero_count: row.zero_count,
        sum: row.sum,
    }
}

/// A stale sample: nothing but the sum.
fn stale<C: Default, B>(row: &Row<C, B>) -> Row<C, B> {
    Row {
        hint: row.hint,
        count: C::default(),
        zero_count: C::default(),
        sum: row.sum,
        positive: Vec::new(),
        negative: Vec::new(),
    }
}
