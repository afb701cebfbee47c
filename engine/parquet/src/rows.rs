//! The rows of one series, made into chunks.

use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, EncodedChunk, Encoding, Sample, SampleValue, Timestamp,
    decode_exact,
};
use tithon_engine::compact::{ChunkBuilder, FloatEncoding, MergeError};
use tithon_index::Labels;

use crate::ParquetError;
use crate::column::Cells;
use crate::error::RowPlace;
use crate::histogram::{self, Wrong};
use crate::schema::{HISTOGRAM, Shape, encoding_named};

/// The most samples of a chunk where the file does not say where chunks end.
const CHUNK_SAMPLES: usize = 120;
/// The most samples of any chunk: as many as the header of a chunk with start timestamps can count.
const CHUNK_SAMPLES_MAX: usize = 16_383;

/// A series whose rows are being read.
pub(crate) struct Series {
    pub(crate) labels: Labels,
    chunks: Vec<EncodedChunk>,
    open: Open,
    /// The time of the last row or the end of the last chunk.
    last: Option<i64>,
}

/// The chunk that rows are added to.
enum Open {
    /// Rows are chunks.
    None,
    /// Raw samples.
    Samples { number: Option<i64>, builder: ChunkBuilder },
    /// Aggregates of a downsampled block, in the order of [`Aggregate::ALL`].
    Aggregates { number: Option<i64>, samples: Box<[Vec<Sample>; 5]> },
}

/// The cells of a row, in the order of [`Shape::columns`].
pub(crate) struct Row<'c> {
    pub(crate) place: RowPlace,
    pub(crate) cells: &'c mut [Option<Cells>],
    /// Units of each column of times in a millisecond.
    pub(crate) per_ms: &'c [i64],
}

impl Row<'_> {
    fn wrong(&self, i: usize, found: String, expected: &'static str) -> ParquetError {
        let column = self
            .cells
            .get(i)
            .and_then(Option::as_ref)
            .map_or_else(String::new, |cells| cells.name().to_owned());
        ParquetError::Value { place: self.place, column, found, expected }
    }

    fn long(&mut self, i: usize) -> Option<i64> {
        self.cells.get_mut(i)?.as_mut()?.long()
    }

    fn double(&mut self, i: usize) -> Option<f64> {
        self.cells.get_mut(i)?.as_mut()?.double()
    }

    /// A time in milliseconds.
    fn time(&mut self, i: usize) -> Result<Option<i64>, ParquetError> {
        let Some(value) = self.long(i) else { return Ok(None) };
        let per_ms = self.per_ms.get(i).copied().unwrap_or(1).max(1);
        if value % per_ms != 0 {
            return Err(self.wrong(i, value.to_string(), "a time of whole milliseconds"));
        }
        Ok(Some(value / per_ms))
    }

    fn needed_time(&mut self, i: usize) -> Result<i64, ParquetError> {
        self.time(i)?.ok_or_else(|| self.wrong(i, "null".to_owned(), "a time"))
    }

    fn histogram(&mut self, from: usize, prefix: &str) -> Result<Option<SampleValue>, ParquetError> {
        let cells = self.cells.get_mut(from..from + HISTOGRAM.len()).unwrap_or_default();
        histogram::take(cells).map_err(|Wrong { column, found, expected }| {
            let is_whole = column.contains("histogram_");
            let column = if is_whole { column } else { format!("{prefix}histogram_{column}") };
            ParquetError::Value { place: self.place, column, found, expected }
        })
    }
}

impl Series {
    pub(crate) fn new(labels: Labels, shape: Shape, has_chunk_numbers: bool) -> Series {
        let open = match shape {
            Shape::Chunks => Open::None,
            Shape::Raw => {
                let most = if has_chunk_numbers { CHUNK_SAMPLES_MAX } else { CHUNK_SAMPLES };
                Open::Samples {
                    number: None,
                    builder: ChunkBuilder::new(FloatEncoding::Xor).samples_max(most),
                }
            }
            Shape::Aggregates => Open::Aggregates { number: None, samples: Box::default() },
        };
        Series { labels, chunks: Vec::new(), open, last: None }
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, mut row: Row<'_>) -> Result<(), ParquetError> {
        let place = row.place;
        match &mut self.open {
            Open::None => {
                let chunk = chunk_of(&mut row, &self.labels)?;
                self.advance(chunk.min_time.0, chunk.max_time.0, place)?;
                self.chunks.push(chunk);
            }
            Open::Samples { number, builder } => {
                let (labels, chunk) = (&self.labels, row.long(1));
                if *number != chunk {
                    builder.cut();
                    *number = chunk;
                }
                let (t, st) = (row.needed_time(2)?, row.time(3)?.unwrap_or(0));
                let (value, histogram) = (row.double(4), row.histogram(5, "")?);
                let value = match (value, histogram) {
                    (Some(value), None) => SampleValue::Float(value),
                    (None, Some(histogram)) => histogram,
                    (None, None) => return Err(row.wrong(4, "null".to_owned(), "a value or a histogram")),
                    (Some(value), Some(_)) => {
                        return Err(row.wrong(4, value.to_string(), "null, as there is a histogram"));
                    }
                };
                let sample = Sample { t: Timestamp(t), st: Timestamp(st), value };
                builder.push(&sample).map_err(unencoded(labels, place))?;
                self.advance(t, t, place)?;
            }
            Open::Aggregates { number, .. } => {
                let chunk = row.long(1);
                if chunk.is_none() {
                    return Err(row.wrong(1, "null".to_owned(), "the number of a chunk"));
                }
                if std::mem::replace(number, chunk) != chunk {
                    self.end_aggregates(place)?;
                }
                self.add_window(row)?;
            }
        }
        Ok(())
    }

    fn add_window(&mut self, mut row: Row<'_>) -> Result<(), ParquetError> {
        let Open::Aggregates { samples, .. } = &mut self.open else { return Ok(()) };
        let t = row.needed_time(2)?;
        let plain: [Option<f64>; 5] = std::array::from_fn(|i| row.double(3 + i));
        let of_sum = row.histogram(8, "sum_")?;
        let of_counter = row.histogram(8 + HISTOGRAM.len(), "counter_")?;
        let mut values = plain.map(|value| value.map(SampleValue::Float));
        for (aggregate, histogram) in [(Aggregate::Sum, of_sum), (Aggregate::Counter, of_counter)] {
            let value = &mut values[aggregate as usize];
            if histogram.is_some() && value.is_some() {
                let i = 3 + aggregate as usize;
                return Err(row.wrong(i, "a value beside a histogram".to_owned(), "one of both"));
            }
            *value = value.take().or(histogram);
        }
        for (aggregate, (value, samples)) in values.into_iter().zip(samples.iter_mut()).enumerate() {
            let Some(value) = value else { continue };
            // Only a counter has two samples at one time.
            let is_late = samples.last().is_some_and(|last| match aggregate == Aggregate::Counter as usize {
                true => last.t.0 > t,
                false => last.t.0 >= t,
            });
            if is_late {
                return Err(order(row.place, t, samples.last().map_or(t, |last| last.t.0)));
            }
            samples.push(Sample { t: Timestamp(t), st: Timestamp(0), value });
        }
        Ok(())
    }

    /// Makes a chunk of the aggregates that were read, if there are any.
    fn end_aggregates(&mut self, place: RowPlace) -> Result<(), ParquetError> {
        let Open::Aggregates { samples, .. } = &mut self.open else { return Ok(()) };
        // The range of a chunk is that of its windows; a counter may begin before them.
        let windows = samples.iter().take(4).flatten().map(|sample| sample.t.0);
        let all = samples.iter().flatten().map(|sample| sample.t.0);
        let range = |times: &mut dyn Iterator<Item = i64>| {
            times.fold(None, |range, t| {
                range.map_or(Some((t, t)), |(min, max): (i64, i64)| Some((min.min(t), max.max(t))))
            })
        };
        let found = range(&mut windows.into_iter());
        let Some((min, max)) = found.or_else(|| range(&mut all.into_iter())) else { return Ok(()) };
        let mut parts: [Option<(Encoding, bytes::Bytes)>; 5] = Default::default();
        for (samples, part) in samples.iter_mut().zip(&mut parts) {
            *part = sub_chunk(samples, &self.labels, place)?;
            samples.clear();
        }
        let parts =
            parts.each_ref().map(|part| part.as_ref().map(|(encoding, data)| (*encoding, data.as_ref())));
        let data = AggregateChunk::encode(&parts).into();
        self.advance(min, max, place)?;
        let (min_time, max_time) = (Timestamp(min), Timestamp(max));
        self.chunks.push(EncodedChunk { encoding: Encoding::Aggregate, min_time, max_time, data });
        Ok(())
    }

    /// Notes that rows reach from `min` to `max`, which must lie behind all before.
    fn advance(&mut self, min: i64, max: i64, place: RowPlace) -> Result<(), ParquetError> {
        if let Some(last) = self.last.filter(|last| *last >= min) {
            return Err(order(place, min, last));
        }
        self.last = Some(max);
        Ok(())
    }

    /// The labels and chunks; `place` is that of the last row.
    pub(crate) fn finish(mut self, place: RowPlace) -> Result<(Labels, Vec<EncodedChunk>), ParquetError> {
        self.end_aggregates(place)?;
        if let Open::Samples { builder, .. } = self.open {
            self.chunks = builder.finish();
        }
        Ok((self.labels, self.chunks))
    }
}

fn order(place: RowPlace, t: i64, last: i64) -> ParquetError {
    ParquetError::Order { place, what: format!("time {t} comes behind time {last} of the same series") }
}

/// The chunk that a row holds, decoded once to see that it can be.
fn chunk_of(row: &mut Row<'_>, labels: &Labels) -> Result<EncodedChunk, ParquetError> {
    let (min, max) = (row.needed_time(1)?, row.needed_time(2)?);
    let bytes = |row: &mut Row<'_>, i: usize| {
        let value = row.cells.get_mut(i).and_then(|cells| cells.as_mut()?.bytes().cloned());
        value.ok_or_else(|| row.wrong(i, "null".to_owned(), "bytes"))
    };
    let (name, data) = (bytes(row, 4)?, bytes(row, 5)?);
    let Some(encoding) = encoding_named(name.data()) else {
        let found = String::from_utf8_lossy(name.data()).into_owned();
        return Err(row.wrong(
            4,
            found,
            "XOR, HISTOGRAM, FLOAT_HISTOGRAM, XOR2, HISTOGRAM_ST, FLOAT_HISTOGRAM_ST or AGGR",
        ));
    };
    let data = bytes::Bytes::copy_from_slice(data.data());
    let times = times_of(encoding, &data);
    let times =
        times.map_err(|source| ParquetError::Chunk { place: row.place, labels: labels.clone(), source })?;
    if times.is_empty() || min > max {
        return Err(row.wrong(
            1,
            format!("a chunk of {} samples from {min} to {max}", times.len()),
            "samples in time",
        ));
    }
    // The counter of a downsampled chunk may begin before its first window.
    let is_inside = encoding == Encoding::Aggregate || times.iter().all(|t| (min..=max).contains(t));
    if !is_inside || !times.is_sorted() {
        let found = format!("samples from {} to {}", times[0], times[times.len() - 1]);
        return Err(row.wrong(1, found, "samples from min_time to max_time, in order"));
    }
    Ok(EncodedChunk { encoding, min_time: Timestamp(min), max_time: Timestamp(max), data })
}

/// The times of the samples of a chunk; of aggregates, those of the first one that is there.
fn times_of(encoding: Encoding, data: &[u8]) -> Result<Vec<i64>, ChunkError> {
    let times = |encoding, data| {
        let mut samples = Vec::new();
        decode_exact(encoding, data, &mut samples)?;
        Ok(samples.iter().map(|sample: &Sample| sample.t.0).collect::<Vec<i64>>())
    };
    if encoding != Encoding::Aggregate {
        return times(encoding, data);
    }
    let parts = AggregateChunk::parse(data)?;
    let mut found = Vec::new();
    for (encoding, data) in Aggregate::ALL.into_iter().filter_map(|aggregate| parts.get(aggregate)) {
        if encoding == Encoding::Aggregate {
            return Err(ChunkError::UnsupportedEncoding(encoding));
        }
        let times = times(encoding, data)?;
        if found.is_empty() {
            found = times;
        }
    }
    Ok(found)
}

/// The one chunk of the samples of an aggregate; `None` if there are none.
fn sub_chunk(
    samples: &[Sample],
    labels: &Labels,
    place: RowPlace,
) -> Result<Option<(Encoding, bytes::Bytes)>, ParquetError> {
    let mut builder = ChunkBuilder::new(FloatEncoding::Xor).samples_max(CHUNK_SAMPLES_MAX);
    for sample in samples {
        builder.push(sample).map_err(unencoded(labels, place))?;
    }
    let mut made = builder.finish().into_iter();
    let (first, second) = (made.next(), made.next());
    if second.is_some() {
        let found = format!("{} aggregates that do not fit one chunk", samples.len());
        let expected = "aggregates of one kind, few enough for a chunk";
        return Err(ParquetError::Value { place, column: "chunk".to_owned(), found, expected });
    }
    Ok(first.map(|chunk| (chunk.encoding, chunk.data)))
}

fn unencoded(labels: &Labels, place: RowPlace) -> impl FnOnce(MergeError) -> ParquetError {
    move |source| ParquetError::Encode { place, labels: labels.clone(), source }
}
