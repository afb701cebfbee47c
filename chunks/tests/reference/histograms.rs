//! Chunks of native histograms, one bit at a time.

use tithon_chunks::{
    CounterResetHint, Encoding, FloatHistogram, Histogram, STALE_NAN_BITS, Sample, SampleValue, Span,
    Timestamp,
};

use crate::bits::{Bits, Starts, XorCode};

/// A number coded by the change of its change, as counts and bucket deltas of integer histograms are.
#[derive(Clone, Copy, Default)]
struct Dod {
    value: i64,
    delta: i64,
}

impl Dod {
    fn next(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.delta = self.delta.wrapping_add(bits.varbit_int()?);
        self.value = self.value.wrapping_add(self.delta);
        Some(())
    }
}

/// The fields of a sample behind its time: an integer histogram has `Dod`s, a float one `XorCode`s.
#[derive(Default)]
struct Fields<N> {
    count: N,
    zero_count: N,
    sum: XorCode,
    positive: Vec<N>,
    negative: Vec<N>,
}

/// The samples of a chunk of any of the four encodings, with schemas up to 8.
pub(crate) fn histograms(encoding: Encoding, data: &[u8]) -> Option<Vec<Sample>> {
    let mut bits = Bits::new(data);
    let is_float = matches!(encoding, Encoding::FloatHistogram | Encoding::FloatHistogramSt);
    let (n, reset, mut starts) = match encoding {
        Encoding::HistogramSt | Encoding::FloatHistogramSt => {
            let reset = bits.take(2)?;
            (bits.take(14)?, reset, Starts::new(bits.take(8)?))
        }
        _ => {
            let n = bits.take(16)?;
            let reset = bits.take(2)?;
            bits.take(6)?;
            (n, reset, Starts::new(0))
        }
    };
    if n == 0 {
        return Some(Vec::new());
    }
    let layout = layout(&mut bits)?;
    let (mut ints, mut floats) = (Fields::<Dod>::default(), Fields::<XorCode>::default());
    let mut t = Dod::default();
    let mut out = Vec::new();
    for i in 0..n {
        let before = t.value;
        match i {
            0 => t.value = bits.varbit_int()?,
            _ => t.next(&mut bits)?,
        }
        match (is_float, i) {
            (false, 0) => ints = first_ints(&layout, &mut bits)?,
            (false, _) => next_ints(&mut ints, &mut bits)?,
            (true, 0) => floats = first_floats(&layout, &mut bits)?,
            (true, _) => next_floats(&mut floats, &mut bits)?,
        }
        let st = starts.next(i, t.value, before, &mut bits)?;
        let hint = match (reset, i) {
            (0b11, _) => CounterResetHint::Gauge,
            (_, 0) => CounterResetHint::Unknown,
            _ => CounterResetHint::NotReset,
        };
        let value =
            if is_float { float_value(&layout, &floats, hint) } else { int_value(&layout, &ints, hint) };
        out.push(Sample { t: Timestamp(t.value), st: Timestamp(st), value });
    }
    Some(out)
}

fn layout(bits: &mut Bits<'_>) -> Option<FloatHistogram> {
    let zero_threshold = match bits.take(8)? {
        0 => 0.0,
        255 => f64::from_bits(bits.take(64)?),
        byte => 0.5 * 2f64.powi(byte as i32 - 243),
    };
    let schema = bits.varbit_int()? as i32;
    let positive_spans = spans(bits)?;
    let negative_spans = spans(bits)?;
    let mut custom_values = Vec::new();
    if schema == -53 {
        for _ in 0..bits.varbit_uint()? {
            custom_values.push(match bits.varbit_uint()? {
                0 => f64::from_bits(bits.take(64)?),
                thousandths => (thousandths - 1) as f64 / 1000.0,
            });
        }
    }
    Some(FloatHistogram {
        zero_threshold,
        schema,
        positive_spans,
        negative_spans,
        custom_values,
        ..FloatHistogram::default()
    })
}

fn spans(bits: &mut Bits<'_>) -> Option<Vec<Span>> {
    let n = bits.varbit_uint()?;
    (0..n)
        .map(|_| {
            let length = bits.varbit_uint()? as u32;
            Some(Span { offset: bits.varbit_int()? as i32, length })
        })
        .collect()
}

fn n_buckets(spans: &[Span]) -> u32 {
    spans.iter().map(|span| span.length).sum()
}

fn first_ints(layout: &FloatHistogram, bits: &mut Bits<'_>) -> Option<Fields<Dod>> {
    let int = |value| Dod { value, delta: 0 };
    Some(Fields {
        count: int(bits.varbit_uint()? as i64),
        zero_count: int(bits.varbit_uint()? as i64),
        sum: XorCode::of(bits.take(64)?),
        positive: (0..n_buckets(&layout.positive_spans))
            .map(|_| bits.varbit_int().map(int))
            .collect::<Option<_>>()?,
        negative: (0..n_buckets(&layout.negative_spans))
            .map(|_| bits.varbit_int().map(int))
            .collect::<Option<_>>()?,
    })
}

fn next_ints(fields: &mut Fields<Dod>, bits: &mut Bits<'_>) -> Option<()> {
    fields.count.next(bits)?;
    fields.zero_count.next(bits)?;
    if fields.sum.next(bits)? == STALE_NAN_BITS {
        return Some(());
    }
    fields.positive.iter_mut().chain(&mut fields.negative).try_for_each(|bucket| bucket.next(bits))
}

fn first_floats(layout: &FloatHistogram, bits: &mut Bits<'_>) -> Option<Fields<XorCode>> {
    let mut next = || bits.take(64).map(XorCode::of);
    Some(Fields {
        count: next()?,
        zero_count: next()?,
        sum: next()?,
        positive: (0..n_buckets(&layout.positive_spans)).map(|_| next()).collect::<Option<_>>()?,
        negative: (0..n_buckets(&layout.negative_spans)).map(|_| next()).collect::<Option<_>>()?,
    })
}

fn next_floats(fields: &mut Fields<XorCode>, bits: &mut Bits<'_>) -> Option<()> {
    fields.count.next(bits)?;
    fields.zero_count.next(bits)?;
    if fields.sum.next(bits)? == STALE_NAN_BITS {
        return Some(());
    }
    let mut buckets = fields.positive.iter_mut().chain(&mut fields.negative);
    buckets.try_for_each(|bucket| bucket.next(bits).map(drop))
}

fn int_value(layout: &FloatHistogram, fields: &Fields<Dod>, hint: CounterResetHint) -> SampleValue {
    let sum = f64::from_bits(fields.sum.bits);
    if fields.sum.bits == STALE_NAN_BITS {
        return SampleValue::Histogram(Histogram { sum, ..Histogram::default() });
    }
    SampleValue::Histogram(Histogram {
        counter_reset_hint: hint,
        schema: layout.schema,
        zero_threshold: layout.zero_threshold,
        zero_count: fields.zero_count.value as u64,
        count: fields.count.value as u64,
        sum,
        positive_spans: layout.positive_spans.clone(),
        negative_spans: layout.negative_spans.clone(),
        positive_buckets: fields.positive.iter().map(|bucket| bucket.value).collect(),
        negative_buckets: fields.negative.iter().map(|bucket| bucket.value).collect(),
        custom_values: layout.custom_values.clone(),
    })
}

fn float_value(layout: &FloatHistogram, fields: &Fields<XorCode>, hint: CounterResetHint) -> SampleValue {
    let sum = f64::from_bits(fields.sum.bits);
    if fields.sum.bits == STALE_NAN_BITS {
        return SampleValue::FloatHistogram(FloatHistogram { sum, ..FloatHistogram::default() });
    }
    let values = |buckets: &[XorCode]| buckets.iter().map(|bucket| f64::from_bits(bucket.bits)).collect();
    SampleValue::FloatHistogram(FloatHistogram {
        counter_reset_hint: hint,
        count: f64::from_bits(fields.count.bits),
        zero_count: f64::from_bits(fields.zero_count.bits),
        sum,
        positive_buckets: values(&fields.positive),
        negative_buckets: values(&fields.negative),
        ..layout.clone()
    })
}
