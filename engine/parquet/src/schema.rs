//! The columns of the three shapes of files, and how they are found again.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::ParquetError as LibraryError;
use parquet::schema::types::{Type, TypePtr};
use tithon_chunks::{Aggregate, Encoding};

/// What a row of an exported file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A chunk, with its bytes as they are in the block.
    Chunks,
    /// A sample; of a downsampled block, the aggregates of one window.
    Samples,
}

/// Keys of the metadata of a file.
pub mod keys {
    /// The meta.json of the block.
    pub const META: &str = "tithon.meta";
    /// The external labels of the block as a JSON object.
    pub const EXTERNAL_LABELS: &str = "tithon.external_labels";
    /// `chunks` or `samples`.
    pub const ROWS: &str = "tithon.rows";
}

/// The prefix of columns of labels; the name of the label follows.
pub(crate) const LABEL_PREFIX: &str = "l_";

/// Which columns a file has besides labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A row a chunk.
    Chunks,
    /// A row a raw sample.
    Raw,
    /// A row a window of a downsampled block.
    Aggregates,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Long,
    Int,
    Bool,
    Double,
    /// Milliseconds since the Unix epoch.
    Time,
    Text,
    Bytes,
    Ints,
    Doubles,
}

impl Kind {
    /// Whether a value is a list.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Kind::Ints | Kind::Doubles)
    }

    /// The stored type of a value or of an element.
    pub(crate) fn physical(self) -> PhysicalType {
        match self {
            Kind::Long | Kind::Time => PhysicalType::INT64,
            Kind::Int | Kind::Ints => PhysicalType::INT32,
            Kind::Bool => PhysicalType::BOOLEAN,
            Kind::Double | Kind::Doubles => PhysicalType::DOUBLE,
            Kind::Text | Kind::Bytes => PhysicalType::BYTE_ARRAY,
        }
    }
}

/// A column by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnSpec {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

fn spec(name: impl Into<String>, kind: Kind) -> ColumnSpec {
    ColumnSpec { name: name.into(), kind }
}

/// The columns of a histogram, in the order of [`crate::histogram`].
pub(crate) const HISTOGRAM: [(&str, Kind); 14] = [
    ("is_float", Kind::Bool),
    ("hint", Kind::Text),
    ("schema", Kind::Int),
    ("zero_threshold", Kind::Double),
    ("zero_count", Kind::Double),
    ("count", Kind::Double),
    ("sum", Kind::Double),
    ("positive_offsets", Kind::Ints),
    ("positive_lengths", Kind::Ints),
    ("positive_counts", Kind::Doubles),
    ("negative_offsets", Kind::Ints),
    ("negative_lengths", Kind::Ints),
    ("negative_counts", Kind::Doubles),
    ("custom_bounds", Kind::Doubles),
];

fn histogram(prefix: &str) -> impl Iterator<Item = ColumnSpec> {
    HISTOGRAM.into_iter().map(move |(name, kind)| spec(format!("{prefix}histogram_{name}"), kind))
}

impl Shape {
    /// The columns besides labels, in their order.
    pub(crate) fn columns(self) -> Vec<ColumnSpec> {
        let mut all = vec![spec("series", Kind::Long)];
        match self {
            Shape::Chunks => all.extend([
                spec("min_time", Kind::Time),
                spec("max_time", Kind::Time),
                spec("samples", Kind::Long),
                spec("encoding", Kind::Text),
                spec("data", Kind::Bytes),
            ]),
            Shape::Raw => {
                all.extend([
                    spec("chunk", Kind::Long),
                    spec("timestamp", Kind::Time),
                    spec("start_timestamp", Kind::Time),
                    spec("value", Kind::Double),
                ]);
                all.extend(histogram(""));
            }
            Shape::Aggregates => {
                all.extend([spec("chunk", Kind::Long), spec("timestamp", Kind::Time)]);
                all.extend(Aggregate::ALL.map(|aggregate| spec(aggregate.name(), Kind::Double)));
                all.extend(histogram("sum_"));
                all.extend(histogram("counter_"));
            }
        }
        all
    }

    /// Columns without which the rows mean nothing.
    pub(crate) fn needed(self) -> &'static [&'static str] {
        match self {
            Shape::Chunks => &["min_time", "max_time", "encoding", "data"],
            Shape::Raw => &["timestamp"],
            // Where a chunk ends, its counter has a sample twice, so that resets between chunks are seen.
            Shape::Aggregates => &["timestamp", "chunk"],
        }
    }
}

/// The schema of a file: the columns of the shape, then one for each label.
pub(crate) fn schema(columns: &[ColumnSpec], labels: &[String]) -> Result<TypePtr, LibraryError> {
    let labels = labels.iter().map(|name| spec(format!("{LABEL_PREFIX}{name}"), Kind::Text));
    let all = columns.iter().cloned().chain(labels);
    let fields = all.map(|column| field(&column)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Type::group_type_builder("block").with_fields(fields).build()?))
}

fn field(column: &ColumnSpec) -> Result<TypePtr, LibraryError> {
    let logical = match column.kind {
        Kind::Time => Some(LogicalType::timestamp(true, TimeUnit::MILLIS)),
        Kind::Text => Some(LogicalType::String),
        _ => None,
    };
    let leaf = |name: &str, repetition| {
        let builder = Type::primitive_type_builder(name, column.kind.physical()).with_repetition(repetition);
        builder.with_logical_type(logical.clone()).build().map(Arc::new)
    };
    if !column.kind.is_list() {
        return leaf(&column.name, Repetition::OPTIONAL);
    }
    let element = leaf("element", Repetition::REQUIRED)?;
    let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
    let list = Arc::new(list.with_fields(vec![element]).build()?);
    let outer = Type::group_type_builder(&column.name).with_repetition(Repetition::OPTIONAL);
    Ok(Arc::new(outer.with_logical_type(Some(LogicalType::List)).with_fields(vec![list]).build()?))
}

/// Names of the encodings of chunks.
const ENCODINGS: [(Encoding, &str); 7] = [
    (Encoding::Xor, "XOR"),
    (Encoding::Histogram, "HISTOGRAM"),
    (Encoding::FloatHistogram, "FLOAT_HISTOGRAM"),
    (Encoding::Xor2, "XOR2"),
    (Encoding::HistogramSt, "HISTOGRAM_ST"),
    (Encoding::FloatHistogramSt, "FLOAT_HISTOGRAM_ST"),
    (Encoding::Aggregate, "AGGR"),
];

/// The name of an encoding; `None` for an unknown one.
pub(crate) fn encoding_name(encoding: Encoding) -> Option<&'static str> {
    ENCODINGS.iter().find(|(known, _)| *known == encoding).map(|(_, name)| *name)
}

/// The encoding of this name.
pub(crate) fn encoding_named(name: &[u8]) -> Option<Encoding> {
    ENCODINGS.iter().find(|(_, known)| known.as_bytes() == name).map(|(encoding, _)| *encoding)
}
