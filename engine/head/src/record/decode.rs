//! Reads records.

use tithon_chunks::{ChunkError, Reader};
use tithon_index::Labels;

use super::histogram::{float_histogram, histogram};
use super::{
    CUSTOM_FLOAT_HISTOGRAMS, CUSTOM_HISTOGRAMS, FLOAT_HISTOGRAMS, FLOAT_HISTOGRAMS_V2, HISTOGRAMS,
    HISTOGRAMS_V2, Record, RefSample, SAMPLES, SAMPLES_V2, SERIES, TOMBSTONES, Tombstone,
};
use crate::WalDamage;

impl Record {
    /// Decodes a record. Fails with [`WalDamage::Content`] when it makes no sense; an empty one and types that are not read are
    /// [`Record::Other`].
    pub fn decode(bytes: &[u8]) -> Result<Record, WalDamage> {
        let mut reader = Reader::new(bytes);
        let Ok(kind) = reader.u8("record type") else { return Ok(Record::Other(0)) };
        let reader = &mut reader;
        let (kind, decoded) = match kind {
            SERIES => ("series", series(reader).map(Record::Series)),
            SAMPLES => ("sample", samples(reader, float).map(Record::Samples)),
            SAMPLES_V2 => ("sample", samples_v2(reader, float).map(Record::Samples)),
            TOMBSTONES => ("tombstone", tombstones(reader).map(Record::Tombstones)),
            HISTOGRAMS | CUSTOM_HISTOGRAMS => {
                ("histogram", samples(reader, histogram).map(Record::Histograms))
            }
            HISTOGRAMS_V2 => ("histogram", samples_v2(reader, histogram).map(Record::Histograms)),
            FLOAT_HISTOGRAMS | CUSTOM_FLOAT_HISTOGRAMS => {
                ("float histogram", samples(reader, float_histogram).map(Record::FloatHistograms))
            }
            FLOAT_HISTOGRAMS_V2 => {
                ("float histogram", samples_v2(reader, float_histogram).map(Record::FloatHistograms))
            }
            other => return Ok(Record::Other(other)),
        };
        decoded.map_err(|source| WalDamage::Content { kind, source })
    }
}

fn series(reader: &mut Reader<'_>) -> Result<Vec<(u64, Labels)>, ChunkError> {
    let mut out = Vec::new();
    while !reader.is_empty() {
        let id = reader.u64_be("series number")?;
        let n_labels = reader.uvarint("number of labels")?;
        let mut pairs = Vec::new();
        for _ in 0..n_labels {
            pairs.push((text(reader, "label name")?, text(reader, "label value")?));
        }
        let is_sorted = pairs.is_sorted_by(|a, b| a.0 < b.0) && pairs.iter().all(|pair| !pair.1.is_empty());
        let labels = if is_sorted { Labels::from_sorted(pairs) } else { Labels::from_pairs(pairs) };
        out.push((id, labels));
    }
    Ok(out)
}

fn text<'a>(reader: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], ChunkError> {
    let len = reader.uvarint(what)?;
    reader.take_u64(len, what)
}

fn tombstones(reader: &mut Reader<'_>) -> Result<Vec<Tombstone>, ChunkError> {
    let mut out = Vec::new();
    while !reader.is_empty() {
        out.push(Tombstone {
            series: reader.u64_be("series number")?,
            min: reader.varint("first time")?,
            max: reader.varint("last time")?,
        });
    }
    Ok(out)
}

fn float(reader: &mut Reader<'_>) -> Result<f64, ChunkError> {
    reader.u64_be("value").map(f64::from_bits)
}

type ValueReader<V> = fn(&mut Reader<'_>) -> Result<V, ChunkError>;

fn samples<V>(reader: &mut Reader<'_>, value: ValueReader<V>) -> Result<Vec<RefSample<V>>, ChunkError> {
    let mut out = Vec::new();
    if reader.is_empty() {
        return Ok(out);
    }
    let (series, t) = (reader.u64_be("first series number")?, reader.u64_be("first time")? as i64);
    while !reader.is_empty() {
        out.push(RefSample {
            series: series.wrapping_add_signed(reader.varint("series number")?),
            t: t.wrapping_add(reader.varint("time")?),
            value: value(reader)?,
        });
    }
    Ok(out)
}

/// Samples with start timestamps, which are left out: chunks of the head have none.
fn samples_v2<V>(reader: &mut Reader<'_>, value: ValueReader<V>) -> Result<Vec<RefSample<V>>, ChunkError> {
    let mut out: Vec<RefSample<V>> = Vec::new();
    while !reader.is_empty() {
        let (mut series, mut t) = (reader.varint("series number")?, reader.varint("time")?);
        match (out.first(), out.last()) {
            (Some(first), Some(last)) => {
                series = series.wrapping_add(last.series as i64);
                t = t.wrapping_add(first.t);
                // 0 is none, 1 the start of the sample before.
                if reader.u8("start marker")? > 1 {
                    reader.varint("start")?;
                }
            }
            _ => _ = reader.varint("start")?,
        }
        out.push(RefSample { series: series as u64, t, value: value(reader)? });
    }
    Ok(out)
}
