//! Files that other programs have written, and damaged ones: what can be read is read, the rest is refused by column, row group
//! and row.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tithon_chunks::{Sample, SampleValue, decode_exact};
use tithon_engine::{Block, SelectRequest, SelectedSeries};
use tithon_parquet::{Exporter, ParquetBlock, ParquetError, Rows};
use tithon_testdata::shared;

/// A column of a file: all values are there, or null where `None`.
enum Column {
    Long(Vec<i64>),
    Double(Vec<f64>),
    Text(Vec<Option<&'static str>>),
}

/// A file of this schema with one row group.
fn file(schema: &str, columns: &[Column]) -> Bytes {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::new())).unwrap();
    if columns.is_empty() {
        return file.into_inner().unwrap().into();
    }
    let mut group = file.next_row_group().unwrap();
    for column in columns {
        let mut to = group.next_column().unwrap().unwrap();
        match column {
            Column::Long(values) => to.typed::<Int64Type>().write_batch(values, None, None).unwrap(),
            Column::Double(values) => to.typed::<DoubleType>().write_batch(values, None, None).unwrap(),
            Column::Text(values) => {
                let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
                let values: Vec<ByteArray> =
                    values.iter().flatten().map(|value| ByteArray::from(*value)).collect();
                to.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap()
            }
        };
        to.close().unwrap();
    }
    group.close().unwrap();
    file.into_inner().unwrap().into()
}

/// Every sample as text, or the error.
fn read(bytes: Bytes) -> Result<Vec<String>, String> {
    let block = ParquetBlock::open(bytes).map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    let add = |labels: &tithon_index::Labels, chunks: &[tithon_chunks::EncodedChunk]| {
        for chunk in chunks {
            let mut samples = Vec::new();
            decode_exact(chunk.encoding, &chunk.data, &mut samples).unwrap();
            lines.extend(samples.iter().map(|Sample { t, value, .. }| match value {
                SampleValue::Float(value) => format!("{labels} {} {value}", t.0),
                other => format!("{labels} {} {other:?}", t.0),
            }));
        }
        Ok::<_, ParquetError>(())
    };
    block.read(add, |_| {}).map_err(|error| error.to_string())?;
    Ok(lines)
}

const PLAIN: &str = "message m {
    optional binary l_job (STRING);
    optional binary l___name__ (STRING);
    required int64 timestamp (TIMESTAMP_MICROS);
    required double value;
}";

fn plain(job: [Option<&'static str>; 3], times: [i64; 3]) -> Bytes {
    file(
        PLAIN,
        &[
            Column::Text(job.to_vec()),
            Column::Text(vec![Some("up"); 3]),
            Column::Long(times.to_vec()),
            Column::Double(vec![1.0, 2.0, -0.0]),
        ],
    )
}

#[test]
fn a_table_of_another_program_is_read() {
    let lines = read(plain([None, Some("a"), Some("a")], [5_000, 6_000, 7_000])).unwrap();
    assert_eq!(
        lines,
        ["{__name__=\"up\"} 5 1", "{__name__=\"up\", job=\"a\"} 6 2", "{__name__=\"up\", job=\"a\"} 7 -0"]
    );
}

#[test]
fn rows_out_of_order_are_named() {
    let error = read(plain([Some("a"), None, None], [5_000, 6_000, 7_000])).unwrap_err();
    assert!(
        error.starts_with("row group 0 row 1: series {__name__=\"up\"} comes behind series {__name__=\"up\", job=\"a\"}; sort"),
        "{error}"
    );
    let error = read(plain([None; 3], [5_000, 5_000, 7_000])).unwrap_err();
    assert!(error.starts_with("row group 0 row 1: time 5 comes behind time 5"), "{error}");
    let error = read(plain([None; 3], [5_000, 5_001, 7_000])).unwrap_err();
    assert_eq!(
        error,
        "row group 0 row 1, column timestamp: found 5001, expected a time of whole milliseconds"
    );
}

#[test]
fn columns_that_cannot_be_used_are_named() {
    for (schema, says) in [
        ("message m { required int64 timestamp; }", "column value is missing"),
        ("message m { required double value; }", "column timestamp is missing"),
        (
            "message m { required int64 timestamp; required double value; required double job; }",
            "column job: found an unknown name, expected l_NAME",
        ),
        (
            "message m { required int64 timestamp; required float value; }",
            "column value: found required or repeated FLOAT, expected DOUBLE",
        ),
        (
            "message m { required int64 timestamp; required double value; required int64 l_job; }",
            "column l_job",
        ),
        ("message m { required int64 timestamp; repeated double value; }", "column value"),
        (
            "message m { required int64 timestamp; optional group value { required double x; } }",
            "column value.x",
        ),
        (
            "message m { required int64 timestamp; required double value; required double value; }",
            "found a name that is there twice",
        ),
        (
            "message m { required int64 timestamp; required double value; optional int32 histogram_schema; }",
            "column histogram_is_float is missing",
        ),
        ("message m { required int64 timestamp; required double sum; }", "column chunk is missing"),
    ] {
        let error = read(file(schema, &[])).unwrap_err();
        assert!(error.contains(says), "{schema}: {error}");
    }
}

#[test]
fn chunks_that_cannot_be_decoded_are_named() {
    let schema = "message m {
        optional binary encoding (STRING);
        optional binary data (STRING);
        required int64 min_time;
        required int64 max_time;
    }";
    let chunk = |encoding, data, times: (i64, i64)| {
        let columns = [encoding, data]
            .map(|text| Column::Text(vec![Some(text)]))
            .into_iter()
            .chain([Column::Long(vec![times.0]), Column::Long(vec![times.1])]);
        file(schema, &columns.collect::<Vec<_>>())
    };
    let error = read(chunk("ROX", "x", (0, 1))).unwrap_err();
    assert!(error.starts_with("row group 0 row 0, column encoding: found ROX, expected XOR"), "{error}");
    let error = read(chunk("XOR", "\0\u{1}x", (0, 1))).unwrap_err();
    assert!(error.starts_with("row group 0 row 0: series {}"), "{error}");
    let error = read(chunk("XOR", "\0\0", (0, 1))).unwrap_err();
    assert!(error.contains("a chunk of 0 samples"), "{error}");
    // One sample at time 10 with value 0.
    let one = "\0\u{1}\u{14}\0\0\0\0\0\0\0\0";
    assert_eq!(read(chunk("XOR", one, (10, 10))).unwrap(), ["{} 10 0"]);
    let error = read(chunk("XOR", one, (0, 9))).unwrap_err();
    assert!(
        error.contains("found samples from 10 to 10, expected samples from min_time to max_time"),
        "{error}"
    );
}

fn golden(rows: Rows) -> Vec<u8> {
    let block = Block::open(shared("testdata/blocks/histograms")).unwrap();
    let names = block.header().label_names().unwrap();
    let mut exporter = Exporter::new(Vec::new(), block.meta(), &names, rows).unwrap();
    for batch in block.select(SelectRequest::new(Vec::new(), tithon_chunks::TimeRange::ALL)) {
        batch.unwrap().series.iter().take(3).for_each(|series| {
            let chunks = series.chunks.iter().take(2).cloned().collect();
            exporter.add(&SelectedSeries { chunks, ..series.clone() }).unwrap();
        });
    }
    exporter.finish().unwrap().1
}

/// Flipped bits and cut ends: an error or other samples, never a panic, and never a block that cannot be written.
#[test]
fn damage_anywhere_is_no_panic() {
    for rows in [Rows::Chunks, Rows::Samples] {
        let whole = golden(rows);
        read(whole.clone().into()).unwrap();
        for i in 0..200 {
            let mut damaged = whole.clone();
            // Spread over the file; the footer, which is at its end, gets its share.
            let at = if i % 2 == 0 {
                i * whole.len() / 200
            } else {
                whole.len() - 1 - i * 7 % whole.len().min(3000)
            };
            damaged[at] ^= 1 << (i % 8);
            drop(read(damaged.into()));
        }
        for end in (0..whole.len()).step_by(whole.len() / 40 + 1) {
            assert!(read(whole[..end].to_vec().into()).is_err(), "{end}");
        }
    }
}
