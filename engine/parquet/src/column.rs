//! Values of a column, row by row: gathered for a row group, or read from one in batches.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::Type as PhysicalType;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::column::writer::{ColumnWriter, get_typed_column_writer_mut};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError as LibraryError;

use crate::ParquetError;
use crate::schema::Kind;

/// The values that are there, without those that are null.
#[derive(Debug)]
enum Values {
    Long(Vec<i64>),
    Int(Vec<i32>),
    Bool(Vec<bool>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
}

impl Values {
    fn of(physical: PhysicalType) -> Values {
        match physical {
            PhysicalType::INT64 => Values::Long(Vec::new()),
            PhysicalType::INT32 => Values::Int(Vec::new()),
            PhysicalType::BOOLEAN => Values::Bool(Vec::new()),
            PhysicalType::DOUBLE => Values::Double(Vec::new()),
            _ => Values::Bytes(Vec::new()),
        }
    }

    fn clear(&mut self) {
        match self {
            Values::Long(values) => values.clear(),
            Values::Int(values) => values.clear(),
            Values::Bool(values) => values.clear(),
            Values::Double(values) => values.clear(),
            Values::Bytes(values) => values.clear(),
        }
    }
}

/// The values of a row group that is being gathered.
#[derive(Debug)]
pub(crate) struct Gathered {
    is_list: bool,
    values: Values,
    /// 0: null. Of a plain column, 1: a value. Of a list, 1: an empty list, 2: an element.
    definition: Vec<i16>,
    /// Of lists: 0 where a row begins, 1 for a further element.
    repetition: Vec<i16>,
    /// Rows behind those of the levels that are null.
    nulls: usize,
    /// Bytes of strings.
    bytes: usize,
}

impl Gathered {
    pub(crate) fn new(kind: Kind) -> Gathered {
        Gathered {
            is_list: kind.is_list(),
            values: Values::of(kind.physical()),
            definition: Vec::new(),
            repetition: Vec::new(),
            nulls: 0,
            bytes: 0,
        }
    }

    fn level(&mut self, definition: i16, repetition: i16) {
        self.end_nulls();
        self.definition.push(definition);
        if self.is_list {
            self.repetition.push(repetition);
        }
    }

    pub(crate) fn nulls(&mut self, n: usize) {
        self.nulls += n;
    }

    fn end_nulls(&mut self) {
        let n = std::mem::take(&mut self.nulls);
        self.definition.resize(self.definition.len() + n, 0);
        if self.is_list {
            self.repetition.resize(self.repetition.len() + n, 0);
        }
    }

    pub(crate) fn long(&mut self, value: i64) {
        if let Values::Long(values) = &mut self.values {
            values.push(value);
            self.level(1, 0);
        }
    }

    /// Rows with the same value.
    pub(crate) fn longs(&mut self, value: i64, n: usize) {
        if let Values::Long(values) = &mut self.values {
            values.resize(values.len() + n, value);
            self.end_nulls();
            self.definition.resize(self.definition.len() + n, 1);
        }
    }

    pub(crate) fn int(&mut self, value: i32) {
        if let Values::Int(values) = &mut self.values {
            values.push(value);
            self.level(1, 0);
        }
    }

    pub(crate) fn bool(&mut self, value: bool) {
        if let Values::Bool(values) = &mut self.values {
            values.push(value);
            self.level(1, 0);
        }
    }

    pub(crate) fn double(&mut self, value: f64) {
        if let Values::Double(values) = &mut self.values {
            values.push(value);
            self.level(1, 0);
        }
    }

    pub(crate) fn bytes(&mut self, value: impl Into<ByteArray>) {
        if let Values::Bytes(values) = &mut self.values {
            let value = value.into();
            self.bytes += value.len();
            values.push(value);
            self.level(1, 0);
        }
    }

    pub(crate) fn ints(&mut self, list: impl ExactSizeIterator<Item = i32>) {
        let n = list.len();
        if let Values::Int(values) = &mut self.values {
            values.extend(list);
            self.list_levels(n);
        }
    }

    pub(crate) fn doubles(&mut self, list: impl ExactSizeIterator<Item = f64>) {
        let n = list.len();
        if let Values::Double(values) = &mut self.values {
            values.extend(list);
            self.list_levels(n);
        }
    }

    fn list_levels(&mut self, n: usize) {
        if n == 0 {
            self.level(1, 0);
        }
        for i in 0..n {
            self.level(2, i16::from(i > 0));
        }
    }

    /// About how many bytes of memory the values take.
    pub(crate) fn memory(&self) -> usize {
        let values = match &self.values {
            Values::Long(values) => size_of_val(values.as_slice()),
            Values::Int(values) => size_of_val(values.as_slice()),
            Values::Bool(values) => values.len(),
            Values::Double(values) => size_of_val(values.as_slice()),
            Values::Bytes(values) => size_of_val(values.as_slice()) + self.bytes,
        };
        values + 2 * (self.definition.len() + self.repetition.len() + self.nulls)
    }

    /// Writes the values, and forgets them.
    pub(crate) fn write(&mut self, to: &mut ColumnWriter<'_>) -> Result<(), LibraryError> {
        fn put<T: DataType>(
            to: &mut ColumnWriter<'_>,
            values: &[T::T],
            definition: &[i16],
            repetition: Option<&[i16]>,
        ) -> Result<usize, LibraryError> {
            get_typed_column_writer_mut::<T>(to).write_batch(values, Some(definition), repetition)
        }
        self.end_nulls();
        let definition = self.definition.as_slice();
        let repetition = self.is_list.then_some(self.repetition.as_slice());
        match &self.values {
            Values::Long(values) => put::<Int64Type>(to, values, definition, repetition)?,
            Values::Int(values) => put::<Int32Type>(to, values, definition, repetition)?,
            Values::Bool(values) => put::<BoolType>(to, values, definition, repetition)?,
            Values::Double(values) => put::<DoubleType>(to, values, definition, repetition)?,
            Values::Bytes(values) => put::<ByteArrayType>(to, values, definition, repetition)?,
        };
        self.values.clear();
        self.definition.clear();
        self.repetition.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// How the levels of a column that is read are to be understood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    /// The level of a value; 0 when none can be absent. Of lists, level 0 is an absent list, and 1 an empty one.
    pub(crate) value: i16,
}

/// A column of a row group that is read, a batch of rows at a time, then row by row.
pub(crate) struct Cells {
    name: String,
    levels: Levels,
    from: ColumnReader,
    values: Values,
    definition: Vec<i16>,
    repetition: Vec<i16>,
    at_level: usize,
    at_value: usize,
}

impl Cells {
    pub(crate) fn new(name: String, levels: Levels, physical: PhysicalType, from: ColumnReader) -> Cells {
        Cells {
            name,
            levels,
            from,
            values: Values::of(physical),
            definition: Vec::new(),
            repetition: Vec::new(),
            at_level: 0,
            at_value: 0,
        }
    }

    /// Reads the next rows, replacing those before; returns how many there were.
    pub(crate) fn read(&mut self, n: usize) -> Result<usize, ParquetError> {
        (self.at_level, self.at_value) = (0, 0);
        self.values.clear();
        self.definition.clear();
        self.repetition.clear();
        let name = &self.name;
        let (definition, repetition) = (&mut self.definition, &mut self.repetition);
        let read = || match (&mut self.from, &mut self.values) {
            (ColumnReader::Int64ColumnReader(from), Values::Long(to)) => {
                records(from, n, definition, repetition, to)
            }
            (ColumnReader::Int32ColumnReader(from), Values::Int(to)) => {
                records(from, n, definition, repetition, to)
            }
            (ColumnReader::BoolColumnReader(from), Values::Bool(to)) => {
                records(from, n, definition, repetition, to)
            }
            (ColumnReader::DoubleColumnReader(from), Values::Double(to)) => {
                records(from, n, definition, repetition, to)
            }
            (ColumnReader::ByteArrayColumnReader(from), Values::Bytes(to)) => {
                records(from, n, definition, repetition, to)
            }
            _ => Err(LibraryError::General("another type than the schema says".to_owned())),
        };
        guarded(|| format!("column {name}"), read)
    }

    /// Moves behind the next value of a plain column; its position among the values, `None` for null.
    fn next(&mut self) -> Option<usize> {
        if self.levels.value > 0 {
            let level = self.definition.get(self.at_level).copied().unwrap_or_default();
            self.at_level += 1;
            if level < self.levels.value {
                return None;
            }
        }
        self.at_value += 1;
        Some(self.at_value - 1)
    }

    pub(crate) fn long(&mut self) -> Option<i64> {
        let at = self.next()?;
        match &self.values {
            Values::Long(values) => values.get(at).copied(),
            Values::Int(values) => values.get(at).copied().map(i64::from),
            _ => None,
        }
    }

    pub(crate) fn bool(&mut self) -> Option<bool> {
        let at = self.next()?;
        match &self.values {
            Values::Bool(values) => values.get(at).copied(),
            _ => None,
        }
    }

    pub(crate) fn double(&mut self) -> Option<f64> {
        let at = self.next()?;
        match &self.values {
            Values::Double(values) => values.get(at).copied(),
            _ => None,
        }
    }

    pub(crate) fn bytes(&mut self) -> Option<&ByteArray> {
        let at = self.next()?;
        match &self.values {
            Values::Bytes(values) => values.get(at),
            _ => None,
        }
    }

    /// The positions of the elements of the next list; `None` for an absent list. An absent element is an error of the caller's
    /// file, told by `Some(Err(..))`.
    fn next_list(&mut self) -> Option<Result<std::ops::Range<usize>, AbsentElement>> {
        let first = self.definition.get(self.at_level).copied().unwrap_or_default();
        let begin = self.at_value;
        let mut is_whole = true;
        loop {
            let level = self.definition.get(self.at_level).copied().unwrap_or_default();
            self.at_level += 1;
            if level >= self.levels.value {
                self.at_value += 1;
            } else if level > 1 {
                is_whole = false;
            }
            if self.repetition.get(self.at_level).is_none_or(|level| *level == 0) {
                break;
            }
        }
        match (first, is_whole) {
            (0, _) => None,
            (_, true) => Some(Ok(begin..self.at_value)),
            (_, false) => Some(Err(AbsentElement)),
        }
    }

    pub(crate) fn ints(&mut self) -> Option<Result<Vec<i64>, AbsentElement>> {
        let range = self.next_list()?;
        Some(range.map(|range| match &self.values {
            Values::Int(values) => {
                values.get(range).unwrap_or_default().iter().copied().map(i64::from).collect()
            }
            Values::Long(values) => values.get(range).unwrap_or_default().to_vec(),
            _ => Vec::new(),
        }))
    }

    pub(crate) fn doubles(&mut self) -> Option<Result<Vec<f64>, AbsentElement>> {
        let range = self.next_list()?;
        Some(range.map(|range| match &self.values {
            Values::Double(values) => values.get(range).unwrap_or_default().to_vec(),
            _ => Vec::new(),
        }))
    }

    /// The name of the column.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// A list has an element that is null.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AbsentElement;

fn records<T: DataType>(
    from: &mut ColumnReaderImpl<T>,
    n: usize,
    definition: &mut Vec<i16>,
    repetition: &mut Vec<i16>,
    to: &mut Vec<T::T>,
) -> Result<usize, LibraryError> {
    Ok(from.read_records(n, Some(definition), Some(repetition), to)?.0)
}

/// Runs code of the library over bytes from outside: where these take it by surprise, it panics.
pub(crate) fn guarded<T>(
    what: impl Fn() -> String,
    work: impl FnOnce() -> Result<T, LibraryError>,
) -> Result<T, ParquetError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|source| ParquetError::Parquet { what: what(), source }),
        Err(_) => Err(ParquetError::Damaged { what: what() }),
    }
}
