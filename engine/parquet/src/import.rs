//! Reads a Parquet file as a block: rows of one series follow each other, series come in label order.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as PhysicalType};
use parquet::data_type::ByteArray;
use parquet::file::reader::{ChunkReader, FileReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::SchemaDescriptor;
use tithon_chunks::{Aggregate, EncodedChunk};
use tithon_engine::BlockMeta;
use tithon_index::Labels;

use crate::ParquetError;
use crate::column::{Cells, Levels, guarded};
use crate::error::RowPlace;
use crate::rows::{Row, Series};
use crate::schema::{ColumnSpec, HISTOGRAM, Kind, LABEL_PREFIX, Shape, keys};

/// Rows read at once.
const ROWS_AT_ONCE: usize = 4096;
/// The most bytes that a column of a row group may have without compression.
const COLUMN_BYTES_MAX: i64 = 1 << 30;

/// A Parquet file that holds a block.
pub struct ParquetBlock<R: ChunkReader> {
    reader: SerializedFileReader<R>,
    shape: Shape,
    /// For each column of the shape, where it is.
    columns: Vec<Option<Found>>,
    /// Names of labels, and where their values are.
    labels: Vec<(String, Found)>,
    meta: Option<BlockMeta>,
}

/// A column of the file.
#[derive(Clone, Debug)]
struct Found {
    leaf: usize,
    name: String,
    levels: Levels,
    physical: PhysicalType,
    per_ms: i64,
}

impl<R: ChunkReader + 'static> ParquetBlock<R> {
    /// Reads the footer of a file, and finds its columns.
    ///
    /// Fails when the file is damaged, lacks columns, or has others than `docs/parquet.md` describes.
    pub fn open(file: R) -> Result<ParquetBlock<R>, ParquetError> {
        let reader = guarded(|| "footer".to_owned(), || SerializedFileReader::new(file))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let shape = shape_of(schema)?;
        let specs = shape.columns();
        let mut columns: Vec<Option<Found>> = vec![None; specs.len()];
        let mut labels: Vec<(String, Found)> = Vec::new();
        for leaf in 0..schema.num_columns() {
            let name = schema.get_column_root(leaf).name().to_owned();
            let twice = || unknown(&name, "a name that is there twice", "each column once");
            if let Some(label) = name.strip_prefix(LABEL_PREFIX) {
                if label.is_empty() || labels.iter().any(|(known, _)| known == label) {
                    return Err(twice());
                }
                labels.push((
                    label.to_owned(),
                    find(schema, leaf, &ColumnSpec { name: name.clone(), kind: Kind::Text })?,
                ));
                continue;
            }
            let Some(i) = specs.iter().position(|spec| spec.name == name) else {
                let all: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
                let expected = format!("{LABEL_PREFIX}NAME for a label, or one of {}", all.join(", "));
                return Err(unknown(&name, "an unknown name", &expected));
            };
            if columns[i].replace(find(schema, leaf, &specs[i])?).is_some() {
                return Err(twice());
            }
        }
        check_complete(shape, &specs, &columns)?;
        let meta = meta_of(&reader)?;
        Ok(ParquetBlock { reader, shape, columns, labels, meta })
    }

    /// The meta.json of the block that was exported; absent in files of other programs.
    pub fn meta(&self) -> Option<&BlockMeta> {
        self.meta.as_ref()
    }

    /// Number of rows, as the file announces it.
    pub fn n_rows(&self) -> u64 {
        u64::try_from(self.reader.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// Whether the rows are aggregates of a downsampled block; of chunks, only the meta tells.
    pub fn is_downsampled(&self) -> bool {
        match self.shape {
            Shape::Chunks => self.meta.as_ref().is_some_and(|meta| meta.resolution_ms() > 0),
            Shape::Raw => false,
            Shape::Aggregates => true,
        }
    }

    /// Hands all series to `add`, in label order; `each` is told how many more rows were read.
    ///
    /// Fails at the first row that cannot be used or is out of order.
    pub fn read<E: From<ParquetError>>(
        &self,
        mut add: impl FnMut(&Labels, &[EncodedChunk]) -> Result<(), E>,
        mut each: impl FnMut(u64),
    ) -> Result<(), E> {
        let mut open: Option<(Vec<Option<ByteArray>>, Series)> = None;
        let mut end = |series: Series, place: RowPlace| {
            let (labels, chunks) = series.finish(place)?;
            if chunks.is_empty() { Ok(()) } else { add(&labels, &chunks) }
        };
        let mut place = RowPlace::default();
        for row_group in 0..self.reader.num_row_groups() {
            let mut group = self.group(row_group)?;
            let mut row = 0;
            while row < group.n_rows {
                let n = group.read(row_group, row)?;
                for _ in 0..n {
                    place = RowPlace { row_group, row };
                    let mut series = match open.take() {
                        Some((values, series)) if group.has_same_labels(&values) => (values, series),
                        before => {
                            let values = group.label_values();
                            let labels = self.labels_of(&values, place)?;
                            if let Some((_, before)) = before {
                                check_order(&before.labels, &labels, place)?;
                                end(before, place)?;
                            }
                            (values, Series::new(labels, self.shape, self.has_chunk_numbers()))
                        }
                    };
                    group.next_labels();
                    let (cells, per_ms) = (group.cells.as_mut_slice(), group.per_ms.as_slice());
                    series.1.add(Row { place, cells, per_ms })?;
                    open = Some(series);
                    row += 1;
                }
                each(n as u64);
            }
        }
        open.map_or(Ok(()), |(_, series)| end(series, place))
    }

    fn has_chunk_numbers(&self) -> bool {
        self.shape != Shape::Chunks && self.columns.get(1).is_some_and(Option::is_some)
    }

    /// Opens the columns of a row group.
    fn group(&self, row_group: usize) -> Result<Group, ParquetError> {
        let what = || format!("row group {row_group}");
        let metadata = self.reader.metadata().row_group(row_group);
        for column in metadata.columns() {
            let (found, most) = (column.uncompressed_size(), COLUMN_BYTES_MAX);
            if !(0..=most).contains(&found) {
                let column = column.column_path().string();
                return Err(ParquetError::TooLarge { row_group, column, found, most });
            }
        }
        let reader = guarded(what, || self.reader.get_row_group(row_group))?;
        let cells = |found: &Found| {
            let what = || format!("row group {row_group}, column {}", found.name);
            let from = guarded(what, || reader.get_column_reader(found.leaf))?;
            Ok(Cells::new(found.name.clone(), found.levels, found.physical, from))
        };
        let n_rows = u64::try_from(metadata.num_rows()).unwrap_or_default();
        let used = |(i, found): (usize, &Option<Found>)| match found {
            // Numbers of series and counts of samples follow from the other columns.
            Some(found) if i > 0 && !(self.shape == Shape::Chunks && i == 3) => cells(found).map(Some),
            _ => Ok(None),
        };
        let labels = self.labels.iter().map(|(_, found)| cells(found));
        let labels = labels.collect::<Result<Vec<Cells>, ParquetError>>()?;
        let n_labels = labels.len();
        Ok(Group {
            n_rows,
            labels,
            next: vec![None; n_labels],
            cells: self.columns.iter().enumerate().map(used).collect::<Result<_, ParquetError>>()?,
            per_ms: self.columns.iter().map(|found| found.as_ref().map_or(1, |found| found.per_ms)).collect(),
        })
    }

    fn labels_of(&self, values: &[Option<ByteArray>], place: RowPlace) -> Result<Labels, ParquetError> {
        let mut pairs = Vec::with_capacity(values.len());
        for ((name, found), value) in self.labels.iter().zip(values) {
            let Some(value) = value else { continue };
            if std::str::from_utf8(value.data()).is_err() {
                let found_text = String::from_utf8_lossy(value.data()).into_owned();
                let (column, expected) = (found.name.clone(), "UTF-8");
                return Err(ParquetError::Value { place, column, found: found_text, expected });
            }
            pairs.push((name.as_bytes(), value.data()));
        }
        Ok(Labels::from_pairs(pairs))
    }
}

/// A row group that is being read.
struct Group {
    n_rows: u64,
    labels: Vec<Cells>,
    /// The labels of the row that comes next.
    next: Vec<Option<ByteArray>>,
    cells: Vec<Option<Cells>>,
    per_ms: Vec<i64>,
}

impl Group {
    /// Reads the next rows of all columns; returns how many.
    fn read(&mut self, row_group: usize, row: u64) -> Result<usize, ParquetError> {
        let left = self.n_rows - row;
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(ROWS_AT_ONCE);
        for cells in self.labels.iter_mut().chain(self.cells.iter_mut().flatten()) {
            let found = cells.read(n)?;
            if found != n {
                let (column, found) = (cells.name().to_owned(), row + found as u64);
                return Err(ParquetError::RowCount { row_group, column, found, expected: self.n_rows });
            }
        }
        self.next_labels();
        Ok(n)
    }

    /// Takes the labels of the next row out of their columns.
    fn next_labels(&mut self) {
        for (cells, next) in self.labels.iter_mut().zip(&mut self.next) {
            *next = cells.bytes().filter(|value| !value.is_empty()).cloned();
        }
    }

    fn has_same_labels(&self, values: &[Option<ByteArray>]) -> bool {
        self.next == values
    }

    fn label_values(&self) -> Vec<Option<ByteArray>> {
        self.next.clone()
    }
}

fn check_order(before: &Labels, labels: &Labels, place: RowPlace) -> Result<(), ParquetError> {
    if before < labels {
        return Ok(());
    }
    Err(ParquetError::Order { place, what: format!("series {labels} comes behind series {before}") })
}

fn unknown(column: &str, found: &str, expected: &str) -> ParquetError {
    ParquetError::Column { column: column.to_owned(), found: found.to_owned(), expected: expected.to_owned() }
}

/// Tells the shape of a file by its columns.
fn shape_of(schema: &SchemaDescriptor) -> Result<Shape, ParquetError> {
    let has = |name: &str| (0..schema.num_columns()).any(|leaf| schema.get_column_root(leaf).name() == name);
    let has_aggregate = Aggregate::ALL.iter().any(|aggregate| has(aggregate.name()));
    if has("data") {
        Ok(Shape::Chunks)
    } else if has_aggregate || has("sum_histogram_schema") || has("counter_histogram_schema") {
        Ok(Shape::Aggregates)
    } else if has("value") || has("histogram_schema") {
        Ok(Shape::Raw)
    } else {
        let hint = "a file of samples has it, a file of chunks has data, a file of aggregates has count, sum, min, max and counter";
        Err(ParquetError::MissingColumn { column: "value".to_owned(), hint })
    }
}

/// Fails when a column that is needed, or part of a histogram, is missing.
fn check_complete(shape: Shape, specs: &[ColumnSpec], columns: &[Option<Found>]) -> Result<(), ParquetError> {
    let is_there =
        |name: &str| specs.iter().zip(columns).any(|(spec, found)| spec.name == name && found.is_some());
    if let Some(name) = shape.needed().iter().find(|name| !is_there(name)) {
        return Err(ParquetError::MissingColumn { column: (*name).to_owned(), hint: "each row needs it" });
    }
    for prefix in ["", "sum_", "counter_"] {
        let names = HISTOGRAM.map(|(name, _)| format!("{prefix}histogram_{name}"));
        if names.iter().any(|name| is_there(name))
            && let Some(name) = names.iter().find(|name| !is_there(name))
        {
            return Err(ParquetError::MissingColumn {
                column: name.clone(),
                hint: "histograms have all of their columns",
            });
        }
    }
    Ok(())
}

/// Checks the type of a column.
fn find(schema: &SchemaDescriptor, leaf: usize, spec: &ColumnSpec) -> Result<Found, ParquetError> {
    let (column, root) = (schema.column(leaf), schema.get_column_root(leaf));
    let physical = column.physical_type();
    let wrong = |expected: &str| {
        let repetition = if root.is_optional() { "optional" } else { "required or repeated" };
        unknown(&column.path().string(), &format!("{repetition} {physical}"), expected)
    };
    let (definition, repetition) = (column.max_def_level(), column.max_rep_level());
    let is_fit = match spec.kind {
        Kind::Long | Kind::Int | Kind::Time | Kind::Ints => {
            matches!(physical, PhysicalType::INT64 | PhysicalType::INT32)
        }
        kind => physical == kind.physical(),
    };
    let expected = match spec.kind {
        Kind::Long | Kind::Int => "INT64 or INT32",
        Kind::Time => "TIMESTAMP, or INT64 of milliseconds",
        Kind::Bool => "BOOLEAN",
        Kind::Double => "DOUBLE",
        Kind::Text | Kind::Bytes => "BYTE_ARRAY",
        Kind::Ints => "an optional list of INT32 or INT64",
        Kind::Doubles => "an optional list of DOUBLE",
    };
    let has_levels = match spec.kind.is_list() {
        true => repetition == 1 && root.is_optional() && (2..=3).contains(&definition),
        false => repetition == 0 && root.is_primitive() && definition <= 1,
    };
    if !is_fit || !has_levels {
        return Err(wrong(expected));
    }
    let per_ms = match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Timestamp(time)), _) => match time.unit {
            TimeUnit::MILLIS => 1,
            TimeUnit::MICROS => 1_000,
            TimeUnit::NANOS => 1_000_000,
            #[allow(unreachable_patterns, reason = "the library may learn of further units")]
            _ => return Err(wrong(expected)),
        },
        (None, ConvertedType::TIMESTAMP_MICROS) => 1_000,
        _ => 1,
    };
    let levels = Levels { value: definition };
    Ok(Found { leaf, name: spec.name.clone(), levels, physical, per_ms })
}

fn meta_of<R: ChunkReader + 'static>(
    reader: &SerializedFileReader<R>,
) -> Result<Option<BlockMeta>, ParquetError> {
    let entries = reader.metadata().file_metadata().key_value_metadata();
    let entry = entries.and_then(|entries| entries.iter().find(|entry| entry.key == keys::META));
    let Some(text) = entry.and_then(|entry| entry.value.as_deref()) else { return Ok(None) };
    let meta = BlockMeta::parse(text.as_bytes());
    meta.map(Some).map_err(|source| ParquetError::Meta { key: keys::META, source })
}
