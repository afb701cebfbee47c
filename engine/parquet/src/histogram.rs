//! Native histograms in columns: counts are absolute, and floats. Integer counts come back as integers, which is exact up to
//! 2^53.

use tithon_chunks::{CounterResetHint, FloatHistogram, Histogram, SampleValue, Span};

use crate::column::{AbsentElement, Cells, Gathered};
use crate::schema::HISTOGRAM;

/// The largest integer up to which all integers are floats, as a float and as an integer.
const EXACT: u64 = 1 << 53;

/// An integer count is too large for a float.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inexact;

/// A value that makes no histogram.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    pub(crate) column: String,
    pub(crate) found: String,
    pub(crate) expected: &'static str,
}

const HINTS: [(CounterResetHint, &str); 4] = [
    (CounterResetHint::Unknown, "unknown"),
    (CounterResetHint::Reset, "reset"),
    (CounterResetHint::NotReset, "not_reset"),
    (CounterResetHint::Gauge, "gauge"),
];

/// Appends a row to the columns of a histogram; null for a float or nothing.
pub(crate) fn put(columns: &mut [Gathered], value: Option<&SampleValue>) -> Result<(), Inexact> {
    let (h, is_float) = match value {
        Some(SampleValue::Histogram(h)) => (&as_floats(h)?, false),
        Some(SampleValue::FloatHistogram(h)) => (h, true),
        Some(SampleValue::Float(_)) | None => {
            columns.iter_mut().for_each(|column| column.nulls(1));
            return Ok(());
        }
    };
    let hint =
        HINTS.iter().find(|(hint, _)| *hint == h.counter_reset_hint).map_or("unknown", |(_, name)| name);
    let [float, of_hint, schema, plain @ .., _, _, _, _, _, _, _] = columns else { return Ok(()) };
    float.bool(is_float);
    of_hint.bytes(hint);
    schema.int(h.schema);
    for (column, value) in plain.iter_mut().zip([h.zero_threshold, h.zero_count, h.count, h.sum]) {
        column.double(value);
    }
    let [
        ..,
        positive_offsets,
        positive_lengths,
        positive,
        negative_offsets,
        negative_lengths,
        negative,
        bounds,
    ] = columns
    else {
        return Ok(());
    };
    for (offsets, lengths, counts, spans, buckets) in [
        (positive_offsets, positive_lengths, positive, &h.positive_spans, &h.positive_buckets),
        (negative_offsets, negative_lengths, negative, &h.negative_spans, &h.negative_buckets),
    ] {
        offsets.ints(spans.iter().map(|span| span.offset));
        lengths.ints(spans.iter().map(|span| span.length.cast_signed()));
        counts.doubles(buckets.iter().copied());
    }
    bounds.doubles(h.custom_values.iter().copied());
    Ok(())
}

fn as_floats(h: &Histogram) -> Result<FloatHistogram, Inexact> {
    let exact = |n: u64| if n <= EXACT { Ok(n as f64) } else { Err(Inexact) };
    let buckets = |deltas: &[i64]| {
        let mut count = 0_i64;
        let absolute = deltas.iter().map(|delta| {
            count = count.wrapping_add(*delta);
            if count.unsigned_abs() <= EXACT { Ok(count as f64) } else { Err(Inexact) }
        });
        absolute.collect::<Result<Vec<f64>, Inexact>>()
    };
    Ok(FloatHistogram {
        counter_reset_hint: h.counter_reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: exact(h.zero_count)?,
        count: exact(h.count)?,
        sum: h.sum,
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        positive_buckets: buckets(&h.positive_buckets)?,
        negative_buckets: buckets(&h.negative_buckets)?,
        custom_values: h.custom_values.clone(),
    })
}

/// Takes the next row of the columns of a histogram, which are in the order of [`HISTOGRAM`]; `None` where `schema` is null.
pub(crate) fn take(cells: &mut [Option<Cells>]) -> Result<Option<SampleValue>, Wrong> {
    let [
        Some(is_float),
        Some(hint),
        Some(schema),
        Some(zero_threshold),
        Some(zero_count),
        Some(count),
        Some(sum),
        lists @ ..,
    ] = cells
    else {
        return Ok(None);
    };
    let row = (is_float.bool(), hint_of(hint)?, schema.long());
    let plain = [zero_threshold, zero_count, count, sum].map(Cells::double);
    let [Some(po), Some(pl), Some(pc), Some(no), Some(nl), Some(nc), Some(bounds)] = lists else {
        return Ok(None);
    };
    let (positive_spans, positive_buckets) = (spans(po, pl)?, doubles(pc)?);
    let (negative_spans, negative_buckets) = (spans(no, nl)?, doubles(nc)?);
    let custom_values = doubles(bounds)?;
    let (is_float, counter_reset_hint, Some(schema)) = row else { return Ok(None) };
    let wrong =
        |i: usize, found: String, expected| Wrong { column: HISTOGRAM[i].0.to_owned(), found, expected };
    let absent = |i: usize| wrong(i, "null".to_owned(), "a number");
    let [Some(zero_threshold), Some(zero_count), Some(count), Some(sum)] = plain else {
        let i = plain.iter().position(Option::is_none).unwrap_or_default();
        return Err(absent(3 + i));
    };
    let schema = i32::try_from(schema).map_err(|_| wrong(2, schema.to_string(), "a number of 32 bits"))?;
    let h = FloatHistogram {
        counter_reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values,
    };
    match is_float {
        Some(true) => Ok(Some(SampleValue::FloatHistogram(h))),
        Some(false) => as_integers(h).map(|h| Some(SampleValue::Histogram(h))),
        None => Err(wrong(0, "null".to_owned(), "true or false")),
    }
}

fn hint_of(cells: &mut Cells) -> Result<CounterResetHint, Wrong> {
    let Some(text) = cells.bytes() else { return Ok(CounterResetHint::Unknown) };
    match HINTS.iter().find(|(_, name)| name.as_bytes() == text.data()) {
        Some((hint, _)) => Ok(*hint),
        None => {
            let found = String::from_utf8_lossy(text.data()).into_owned();
            let expected = "unknown, reset, not_reset or gauge";
            Err(Wrong { column: cells.name().to_owned(), found, expected })
        }
    }
}

fn spans(offsets: &mut Cells, lengths: &mut Cells) -> Result<Vec<Span>, Wrong> {
    let whole = |cells: &mut Cells| match cells.ints() {
        None => Ok(Vec::new()),
        Some(Ok(list)) => Ok(list),
        Some(Err(AbsentElement)) => Err(absent_element(cells)),
    };
    let (starts, sizes) = (whole(offsets)?, whole(lengths)?);
    if starts.len() != sizes.len() {
        let found = format!("{} lengths for {} offsets", sizes.len(), starts.len());
        return Err(Wrong {
            column: lengths.name().to_owned(),
            found,
            expected: "as many lengths as offsets",
        });
    }
    let span = |(offset, length): (&i64, &i64)| {
        let found = || format!("a span of offset {offset} and length {length}");
        let wrong =
            || Wrong { column: lengths.name().to_owned(), found: found(), expected: "numbers of 32 bits" };
        match (i32::try_from(*offset), u32::try_from(*length)) {
            (Ok(offset), Ok(length)) => Ok(Span { offset, length }),
            _ => Err(wrong()),
        }
    };
    starts.iter().zip(&sizes).map(span).collect()
}

fn doubles(cells: &mut Cells) -> Result<Vec<f64>, Wrong> {
    match cells.doubles() {
        None => Ok(Vec::new()),
        Some(Ok(list)) => Ok(list),
        Some(Err(AbsentElement)) => Err(absent_element(cells)),
    }
}

fn absent_element(cells: &Cells) -> Wrong {
    let expected = "a list of numbers";
    Wrong { column: cells.name().to_owned(), found: "a list with null".to_owned(), expected }
}

fn as_integers(h: FloatHistogram) -> Result<Histogram, Wrong> {
    let wrong = |i: usize, found: f64| Wrong {
        column: HISTOGRAM[i].0.to_owned(),
        found: found.to_string(),
        expected: "a whole number up to 2^53, as is_float is false",
    };
    let whole = |i: usize, value: f64| {
        let is_exact = value.fract() == 0.0 && value.abs() <= EXACT as f64;
        if is_exact { Ok(value as i64) } else { Err(wrong(i, value)) }
    };
    let unsigned = |i: usize, value: f64| whole(i, value)?.try_into().map_err(|_| wrong(i, value));
    let deltas = |i: usize, counts: &[f64]| {
        let mut before = 0_i64;
        let delta = |count: &f64| {
            let count = whole(i, *count)?;
            let delta = count - before;
            before = count;
            Ok(delta)
        };
        counts.iter().map(delta).collect::<Result<Vec<i64>, Wrong>>()
    };
    Ok(Histogram {
        counter_reset_hint: h.counter_reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: unsigned(4, h.zero_count)?,
        count: unsigned(5, h.count)?,
        sum: h.sum,
        positive_buckets: deltas(9, &h.positive_buckets)?,
        negative_buckets: deltas(12, &h.negative_buckets)?,
        positive_spans: h.positive_spans,
        negative_spans: h.negative_spans,
        custom_values: h.custom_values,
    })
}
