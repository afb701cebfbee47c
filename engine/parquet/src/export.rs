//! Writes a block as a Parquet file, series by series. Rows are gathered for a row group, whose columns are then written one
//! after the other.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding as PageEncoding, ZstdLevel};
use parquet::column::writer::{
    ColumnCloseResult, ColumnWriter, get_column_writer, get_typed_column_writer_mut,
};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError as LibraryError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, ColumnPath};
use rayon::prelude::*;
use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, EncodedChunk, Encoding, Sample, SampleValue, decode_exact,
    sample_count,
};
use tithon_engine::{BlockMeta, SelectedSeries};
use tithon_index::Labels;

use crate::ParquetError;
use crate::column::Gathered;
use crate::error::RowPlace;
use crate::histogram::{self, Inexact};
use crate::schema::{ColumnSpec, HISTOGRAM, Kind, Rows, Shape, encoding_name, keys, schema};

/// A row group ends with the chunk by which its rows take this much memory.
const GROUP_BYTES: usize = 32 << 20;
/// And with the chunk by which it has so many rows.
const GROUP_ROWS: usize = 1 << 20;
/// Labels written at once.
const LABELS_AT_ONCE: usize = 4096;

/// What an exported file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Series.
    pub series: u64,
    /// Chunks of these series in the block.
    pub chunks: u64,
    /// Rows.
    pub rows: u64,
    /// Groups of rows.
    pub row_groups: u64,
}

/// A Parquet file under construction.
pub struct Exporter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    shape: Shape,
    label_names: Vec<String>,
    columns: Vec<Gathered>,
    /// The series of the rows that are gathered, with the number of their rows.
    runs: Vec<(Labels, usize)>,
    rows: usize,
    group_bytes: usize,
    done: Exported,
    samples: Vec<Sample>,
}

impl<W: Write + Send> Exporter<W> {
    /// Begins the file of the block with this meta.json, of whose labels these are the names.
    ///
    /// Fails when a name is not UTF-8, or the file cannot be written.
    pub fn new(
        out: W,
        meta: &BlockMeta,
        label_names: &[&[u8]],
        rows: Rows,
    ) -> Result<Exporter<W>, ParquetError> {
        let shape = match (rows, meta.resolution_ms()) {
            (Rows::Chunks, _) => Shape::Chunks,
            (Rows::Samples, 0) => Shape::Raw,
            (Rows::Samples, _) => Shape::Aggregates,
        };
        let names =
            label_names.iter().filter(|name| !name.is_empty()).map(|name| text(name, "the name of a label"));
        let mut label_names = names.collect::<Result<Vec<String>, _>>()?;
        label_names.sort();
        let columns = shape.columns();
        let written = |source| ParquetError::Parquet { what: "schema".to_owned(), source };
        let schema = schema(&columns, &label_names).map_err(written)?;
        let properties = Arc::new(properties(&columns, meta, rows));
        let file = SerializedFileWriter::new(out, schema, properties).map_err(written)?;
        Ok(Exporter {
            file,
            shape,
            label_names,
            columns: columns.iter().map(|column| Gathered::new(column.kind)).collect(),
            runs: Vec::new(),
            rows: 0,
            group_bytes: GROUP_BYTES,
            done: Exported::default(),
            samples: Vec::new(),
        })
    }

    /// Ends row groups at about so many bytes of memory instead of 32 MiB.
    #[must_use]
    pub fn group_bytes(mut self, bytes: usize) -> Exporter<W> {
        self.group_bytes = bytes;
        self
    }

    /// Adds a series; series come in label order, with their chunks by time.
    ///
    /// Fails when a chunk is damaged or does not fit the columns, or the file cannot be written.
    pub fn add(&mut self, series: &SelectedSeries) -> Result<(), ParquetError> {
        let labels = &series.labels;
        if series.chunks.is_empty() {
            return Ok(());
        }
        if labels.iter().any(|(_, value)| std::str::from_utf8(value).is_err()) {
            return Err(unfit(labels, "a value of a label is not UTF-8"));
        }
        if self.shape != Shape::Chunks && !series.chunks.is_sorted_by(|a, b| a.max_time < b.min_time) {
            return Err(unfit(labels, "chunks overlap; export them with --rows=chunks"));
        }
        for (number, chunk) in series.chunks.iter().enumerate() {
            let rows = match self.shape {
                Shape::Chunks => self.add_chunk(labels, chunk)?,
                Shape::Raw => self.add_samples(labels, number, chunk)?,
                Shape::Aggregates => self.add_windows(labels, number, chunk)?,
            };
            match self.runs.last_mut().filter(|(last, _)| last == labels) {
                Some((_, n)) => *n += rows,
                None => self.runs.push((labels.clone(), rows)),
            }
            self.rows += rows;
            let bytes: usize = self.columns.iter().map(Gathered::memory).sum();
            if self.rows >= GROUP_ROWS || bytes >= self.group_bytes {
                self.end_group()?;
            }
        }
        self.done.series += 1;
        self.done.chunks += series.chunks.len() as u64;
        Ok(())
    }

    /// Completes the file, and returns what it holds and where it was written.
    pub fn finish(mut self) -> Result<(Exported, W), ParquetError> {
        if self.rows > 0 {
            self.end_group()?;
        }
        let out = self
            .file
            .into_inner()
            .map_err(|source| ParquetError::Parquet { what: "footer".to_owned(), source })?;
        Ok((self.done, out))
    }

    fn number(&self) -> i64 {
        self.done.series.cast_signed()
    }

    /// A row for the chunk as it is.
    fn add_chunk(&mut self, labels: &Labels, chunk: &EncodedChunk) -> Result<usize, ParquetError> {
        let name = encoding_name(chunk.encoding)
            .ok_or_else(|| damaged(labels)(ChunkError::UnsupportedEncoding(chunk.encoding)))?;
        let n = sample_count(chunk.encoding, &chunk.data).map_err(damaged(labels))?;
        let number = self.number();
        if let [series, min, max, samples, encoding, data] = self.columns.as_mut_slice() {
            series.long(number);
            min.long(chunk.min_time.0);
            max.long(chunk.max_time.0);
            samples.long(n as i64);
            encoding.bytes(name);
            data.bytes(chunk.data.clone());
        }
        Ok(1)
    }

    /// A row for each sample.
    fn add_samples(
        &mut self,
        labels: &Labels,
        number: usize,
        chunk: &EncodedChunk,
    ) -> Result<usize, ParquetError> {
        if chunk.encoding == Encoding::Aggregate {
            return Err(unfit(labels, "aggregates in a block of raw samples; export it with --rows=chunks"));
        }
        self.samples.clear();
        decode_exact(chunk.encoding, &chunk.data, &mut self.samples).map_err(damaged(labels))?;
        let series_number = self.number();
        let [series, chunks, time, start, value, of_histogram @ ..] = self.columns.as_mut_slice() else {
            return Ok(0);
        };
        series.longs(series_number, self.samples.len());
        chunks.longs(number as i64, self.samples.len());
        let mut floats = 0;
        for sample in &self.samples {
            time.long(sample.t.0);
            if sample.st.0 == 0 {
                start.nulls(1)
            } else {
                start.long(sample.st.0)
            }
            if let SampleValue::Float(v) = sample.value {
                value.double(v);
                floats += 1;
                continue;
            }
            value.nulls(1);
            of_histogram.iter_mut().for_each(|column| column.nulls(floats));
            floats = 0;
            histogram::put(of_histogram, Some(&sample.value)).map_err(inexact(labels))?;
        }
        of_histogram.iter_mut().for_each(|column| column.nulls(floats));
        Ok(self.samples.len())
    }

    /// A row for each time at which there are aggregates. The last sample of a chunk's counter, which has the time of the one
    /// before it, makes a row of its own.
    fn add_windows(
        &mut self,
        labels: &Labels,
        number: usize,
        chunk: &EncodedChunk,
    ) -> Result<usize, ParquetError> {
        if chunk.encoding != Encoding::Aggregate {
            return Err(unfit(labels, "raw chunks in a downsampled block; export it with --rows=chunks"));
        }
        let parts = AggregateChunk::parse(&chunk.data).map_err(damaged(labels))?;
        let mut aggregates: [Vec<Sample>; 5] = Default::default();
        for (aggregate, samples) in Aggregate::ALL.into_iter().zip(&mut aggregates) {
            if let Some((encoding, data)) = parts.get(aggregate) {
                decode_exact(encoding, data, samples).map_err(damaged(labels))?;
            }
        }
        let (series_number, mut rows) = (self.number(), 0);
        let mut heads = [0; 5];
        let [series, chunks, time, columns @ ..] = self.columns.as_mut_slice() else { return Ok(0) };
        let (plain, histograms) = columns.split_at_mut(Aggregate::ALL.len());
        let (of_sum, of_counter) = histograms.split_at_mut(HISTOGRAM.len());
        while let Some(t) = (0..5).filter_map(|i| aggregates[i].get(heads[i])).map(|sample| sample.t).min() {
            series.long(series_number);
            chunks.long(number as i64);
            time.long(t.0);
            for (i, aggregate) in Aggregate::ALL.into_iter().enumerate() {
                let sample = aggregates[i].get(heads[i]).filter(|sample| sample.t == t);
                heads[i] += usize::from(sample.is_some());
                let value = sample.map(|sample| &sample.value);
                match value {
                    Some(SampleValue::Float(v)) => plain[i].double(*v),
                    _ => plain[i].nulls(1),
                }
                match aggregate {
                    Aggregate::Sum => histogram::put(of_sum, value).map_err(inexact(labels))?,
                    Aggregate::Counter => histogram::put(of_counter, value).map_err(inexact(labels))?,
                    _ if matches!(value, None | Some(SampleValue::Float(_))) => {}
                    _ => {
                        return Err(unfit(
                            labels,
                            "count, min or max is a histogram; export it with --rows=chunks",
                        ));
                    }
                }
            }
            rows += 1;
        }
        Ok(rows)
    }

    /// Writes the gathered rows. Columns are encoded side by side.
    fn end_group(&mut self) -> Result<(), ParquetError> {
        let row_group = self.done.row_groups;
        let Exporter { file, columns, runs, label_names, .. } = self;
        let mut write = || -> Result<(), LibraryError> {
            let (n, all, properties) =
                (columns.len(), file.schema_descr().columns().to_vec(), file.properties());
            let place = |i: usize| (Arc::clone(&all[i]), Arc::clone(properties));
            let whole = |(i, column): (usize, &mut Gathered)| encoded(place(i), |to| column.write(to));
            let of_rows = columns.par_iter_mut().enumerate().map(whole);
            let mut done = of_rows.collect::<Result<Vec<_>, _>>()?;
            let label = |(i, name): (usize, &String)| encoded(place(n + i), |to| write_label(name, runs, to));
            done.extend(label_names.par_iter().enumerate().map(label).collect::<Result<Vec<_>, _>>()?);
            let mut group = file.next_row_group()?;
            for (bytes, close) in done {
                group.append_column(&bytes, close)?;
            }
            group.close().map(drop)
        };
        write().map_err(|source| ParquetError::Parquet { what: format!("row group {row_group}"), source })?;
        self.runs.clear();
        self.done.rows += self.rows as u64;
        self.done.row_groups += 1;
        self.rows = 0;
        Ok(())
    }
}

/// The bytes of a column of a row group.
fn encoded(
    (column, properties): (ColumnDescPtr, WriterPropertiesPtr),
    write: impl FnOnce(&mut ColumnWriter<'_>) -> Result<(), LibraryError>,
) -> Result<(Bytes, ColumnCloseResult), LibraryError> {
    let mut out = TrackedWrite::new(Vec::new());
    let pages = Box::new(SerializedPageWriter::new(&mut out));
    let mut to = get_column_writer(column, properties, pages);
    write(&mut to)?;
    let close = to.close()?;
    Ok((out.into_inner()?.into(), close))
}

/// Writes the values that a label has in runs of rows.
fn write_label(name: &str, runs: &[(Labels, usize)], to: &mut ColumnWriter<'_>) -> Result<(), LibraryError> {
    let to = get_typed_column_writer_mut::<ByteArrayType>(to);
    let (mut values, mut levels) = (Vec::with_capacity(LABELS_AT_ONCE), Vec::with_capacity(LABELS_AT_ONCE));
    for equal in runs.chunk_by(|(a, _), (b, _)| a.get(name) == b.get(name)) {
        let value = equal[0].0.get(name).map(|value| ByteArray::from(value.to_vec()));
        let mut left: usize = equal.iter().map(|(_, n)| n).sum();
        // Batches of one value alone are made once.
        if left >= 2 * LABELS_AT_ONCE {
            to.write_batch(&values, Some(&levels), None)?;
            values.clear();
            levels.clear();
            levels.resize(LABELS_AT_ONCE, i16::from(value.is_some()));
            values.extend(value.iter().flat_map(|value| std::iter::repeat_n(value.clone(), LABELS_AT_ONCE)));
            while left >= LABELS_AT_ONCE {
                to.write_batch(&values, Some(&levels), None)?;
                left -= LABELS_AT_ONCE;
            }
            values.truncate(left);
            levels.truncate(left);
            continue;
        }
        while left > 0 {
            let n = left.min(LABELS_AT_ONCE - levels.len());
            levels.resize(levels.len() + n, i16::from(value.is_some()));
            values.extend(value.iter().flat_map(|value| std::iter::repeat_n(value.clone(), n)));
            left -= n;
            if levels.len() == LABELS_AT_ONCE {
                to.write_batch(&values, Some(&levels), None)?;
                values.clear();
                levels.clear();
            }
        }
    }
    to.write_batch(&values, Some(&levels), None).map(drop)
}

fn properties(columns: &[ColumnSpec], meta: &BlockMeta, rows: Rows) -> WriterProperties {
    let labels = meta.thanos.as_ref().map(|thanos| &thanos.labels);
    let labels = serde_json::to_string(&labels.cloned().unwrap_or_default()).unwrap_or_default();
    let of_rows = match rows {
        Rows::Chunks => "chunks",
        Rows::Samples => "samples",
    };
    let entries = [
        (keys::META, String::from_utf8_lossy(&meta.to_json()).into_owned()),
        (keys::EXTERNAL_LABELS, labels),
        (keys::ROWS, of_rows.to_owned()),
    ];
    let entries = entries.map(|(key, value)| KeyValue::new(key.to_owned(), value)).to_vec();
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("tithon ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(entries));
    for ColumnSpec { name, kind } in columns {
        let path = match kind.is_list() {
            true => vec![name.clone(), "list".to_owned(), "element".to_owned()],
            false => vec![name.clone()],
        };
        let path = ColumnPath::new(path);
        builder = match kind {
            Kind::Time | Kind::Long => builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, PageEncoding::DELTA_BINARY_PACKED),
            Kind::Double => builder.set_column_dictionary_enabled(path, false),
            Kind::Bytes => builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
            Kind::Ints | Kind::Doubles => {
                builder.set_column_statistics_enabled(path, EnabledStatistics::None)
            }
            Kind::Int | Kind::Bool | Kind::Text => builder,
        };
    }
    builder.build()
}

fn text(bytes: &[u8], what: &str) -> Result<String, ParquetError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ParquetError::Column {
        column: String::from_utf8_lossy(bytes).into_owned(),
        found: "bytes that are not UTF-8".to_owned(),
        expected: what.to_owned(),
    })
}

fn unfit(labels: &Labels, what: &'static str) -> ParquetError {
    ParquetError::Series { labels: labels.clone(), what }
}

fn inexact(labels: &Labels) -> impl Fn(Inexact) -> ParquetError {
    |Inexact| unfit(labels, "a count of a histogram is above 2^53; export it with --rows=chunks")
}

fn damaged(labels: &Labels) -> impl Fn(ChunkError) -> ParquetError {
    |source| ParquetError::Chunk { place: RowPlace::default(), labels: labels.clone(), source }
}
