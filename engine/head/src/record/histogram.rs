//! Histograms in records: counts and buckets as they are, no deltas to other samples.

use tithon_chunks::{
    CUSTOM_BUCKETS_SCHEMA, ChunkError, CounterResetHint, FloatHistogram, Histogram, Reader, Span,
    put_uvarint, put_varint,
};

/// Appends `u8 hint, varint schema, f64 zero threshold, uvarint zero count, uvarint count, f64 sum`, spans and buckets.
pub(super) fn put_histogram(h: &Histogram, out: &mut Vec<u8>) {
    out.push(h.counter_reset_hint as u8);
    put_varint(i64::from(h.schema), out);
    put_f64(h.zero_threshold, out);
    put_uvarint(h.zero_count, out);
    put_uvarint(h.count, out);
    put_f64(h.sum, out);
    put_spans(&h.positive_spans, out);
    put_spans(&h.negative_spans, out);
    for buckets in [&h.positive_buckets, &h.negative_buckets] {
        put_uvarint(buckets.len() as u64, out);
        buckets.iter().for_each(|bucket| put_varint(*bucket, out));
    }
    put_custom(h.schema, &h.custom_values, out);
}

/// The same with counts and buckets as floats.
pub(super) fn put_float_histogram(h: &FloatHistogram, out: &mut Vec<u8>) {
    out.push(h.counter_reset_hint as u8);
    put_varint(i64::from(h.schema), out);
    put_f64(h.zero_threshold, out);
    put_f64(h.zero_count, out);
    put_f64(h.count, out);
    put_f64(h.sum, out);
    put_spans(&h.positive_spans, out);
    put_spans(&h.negative_spans, out);
    put_floats(&h.positive_buckets, out);
    put_floats(&h.negative_buckets, out);
    put_custom(h.schema, &h.custom_values, out);
}

fn put_f64(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

fn put_spans(spans: &[Span], out: &mut Vec<u8>) {
    put_uvarint(spans.len() as u64, out);
    for span in spans {
        put_varint(i64::from(span.offset), out);
        put_uvarint(u64::from(span.length), out);
    }
}

fn put_floats(values: &[f64], out: &mut Vec<u8>) {
    put_uvarint(values.len() as u64, out);
    values.iter().for_each(|value| put_f64(*value, out));
}

fn put_custom(schema: i32, values: &[f64], out: &mut Vec<u8>) {
    if schema == CUSTOM_BUCKETS_SCHEMA {
        put_floats(values, out);
    }
}

pub(super) fn histogram(reader: &mut Reader<'_>) -> Result<Histogram, ChunkError> {
    let counter_reset_hint = hint(reader)?;
    let schema = schema(reader)?;
    let mut h = Histogram {
        counter_reset_hint,
        schema,
        zero_threshold: f64(reader, "zero threshold")?,
        zero_count: reader.uvarint("zero count")?,
        count: reader.uvarint("count")?,
        sum: f64(reader, "sum")?,
        positive_spans: list(reader, "positive spans", span)?,
        negative_spans: list(reader, "negative spans", span)?,
        positive_buckets: list(reader, "positive buckets", |reader| reader.varint("bucket"))?,
        negative_buckets: list(reader, "negative buckets", |reader| reader.varint("bucket"))?,
        custom_values: Vec::new(),
    };
    h.custom_values = custom_values(reader, schema)?;
    Ok(h)
}

pub(super) fn float_histogram(reader: &mut Reader<'_>) -> Result<FloatHistogram, ChunkError> {
    let counter_reset_hint = hint(reader)?;
    let schema = schema(reader)?;
    let mut h = FloatHistogram {
        counter_reset_hint,
        schema,
        zero_threshold: f64(reader, "zero threshold")?,
        zero_count: f64(reader, "zero count")?,
        count: f64(reader, "count")?,
        sum: f64(reader, "sum")?,
        positive_spans: list(reader, "positive spans", span)?,
        negative_spans: list(reader, "negative spans", span)?,
        positive_buckets: list(reader, "positive buckets", |reader| f64(reader, "bucket"))?,
        negative_buckets: list(reader, "negative buckets", |reader| f64(reader, "bucket"))?,
        custom_values: Vec::new(),
    };
    h.custom_values = custom_values(reader, schema)?;
    Ok(h)
}

fn hint(reader: &mut Reader<'_>) -> Result<CounterResetHint, ChunkError> {
    let offset = reader.offset();
    Ok(match reader.u8("counter reset hint")? {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        found => {
            let (what, found) = ("counter reset hint", u64::from(found));
            return Err(ChunkError::Invalid { what, offset, found, expected: "0 to 3" });
        }
    })
}

fn schema(reader: &mut Reader<'_>) -> Result<i32, ChunkError> {
    let offset = reader.offset();
    let schema = reader.varint("schema")?;
    i32::try_from(schema).map_err(|_| ChunkError::Invalid {
        what: "schema",
        offset,
        found: schema as u64,
        expected: "32 bits",
    })
}

fn f64(reader: &mut Reader<'_>, what: &'static str) -> Result<f64, ChunkError> {
    reader.u64_be(what).map(f64::from_bits)
}

fn span(reader: &mut Reader<'_>) -> Result<Span, ChunkError> {
    let at = reader.offset();
    let (offset, length) = (reader.varint("offset of a span")?, reader.uvarint("length of a span")?);
    let wrong = |what, found| ChunkError::Invalid { what, offset: at, found, expected: "32 bits" };
    Ok(Span {
        offset: i32::try_from(offset).map_err(|_| wrong("offset of a span", offset as u64))?,
        length: u32::try_from(length).map_err(|_| wrong("length of a span", length))?,
    })
}

fn custom_values(reader: &mut Reader<'_>, schema: i32) -> Result<Vec<f64>, ChunkError> {
    match schema {
        CUSTOM_BUCKETS_SCHEMA => list(reader, "custom values", |reader| f64(reader, "custom value")),
        _ => Ok(Vec::new()),
    }
}

/// A counted list. Every item takes a byte at the least, so that a count beyond what is left cannot be right.
fn list<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, ChunkError>,
) -> Result<Vec<T>, ChunkError> {
    let offset = reader.offset();
    let found = reader.uvarint(what)?;
    if found > reader.left() as u64 {
        return Err(ChunkError::Invalid { what, offset, found, expected: "no more than there are bytes" });
    }
    (0..found).map(|_| item(reader)).collect()
}
