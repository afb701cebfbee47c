//! `tools block dump`: prints every sample of a block as text.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, EncodedChunk, Encoding, Samples, TimeRange, decode_samples,
};
use tithon_engine::{Block, SelectRequest};
use tithon_index::Labels;
use tithon_promql::format;

use super::ToolError;

/// Unreadable chunks by the error: their number, and the series of the first.
#[derive(Default)]
struct LeftOut(BTreeMap<String, (u64, Labels)>);

impl LeftOut {
    fn add(&mut self, labels: &Labels, error: &ChunkError) {
        self.0.entry(error.to_string()).or_insert_with(|| (0, labels.clone())).0 += 1;
    }

    fn warn(&self) {
        for (error, (chunks, first)) in &self.0 {
            tracing::warn!(chunks, error, first = %first, "left out chunks that cannot be read");
        }
    }
}

/// Prints every sample that a query would see, with deletions applied; for downsampled chunks, the given aggregates or
/// all. Unreadable chunks are left out, with one warning for each kind of error.
pub fn run(dir: &Path, aggregates: &[Aggregate], out: &mut impl Write) -> Result<(), ToolError> {
    let (block, mut left_out) = (Block::open(dir)?, LeftOut::default());
    let wanted = |aggregate: &Aggregate| aggregates.is_empty() || aggregates.contains(aggregate);
    for batch in block.select(SelectRequest::new(Vec::new(), TimeRange::ALL)) {
        for series in batch?.series {
            for chunk in &series.chunks {
                let parts = match chunk.encoding {
                    Encoding::Aggregate => parts(chunk, wanted),
                    _ => Ok(vec![("", chunk.clone())]),
                };
                let dumped = parts.and_then(|parts| {
                    parts
                        .iter()
                        .map(|(name, part)| Ok((*name, decoded(part)?)))
                        .collect::<Result<Vec<_>, _>>()
                });
                match dumped {
                    Ok(parts) => parts
                        .iter()
                        .try_for_each(|(name, samples)| print(&series.labels, name, samples, out))?,
                    Err(error) => left_out.add(&series.labels, &error),
                }
            }
        }
    }
    left_out.warn();
    Ok(())
}

/// The aggregates of a downsampled chunk, each as a chunk with the name that marks its lines.
fn parts(
    chunk: &EncodedChunk,
    wanted: impl Fn(&Aggregate) -> bool,
) -> Result<Vec<(&'static str, EncodedChunk)>, ChunkError> {
    let parsed = AggregateChunk::parse(&chunk.data)?;
    let part = |aggregate: Aggregate| {
        let (encoding, data) = parsed.get(aggregate)?;
        let data = chunk.data.slice_ref(data);
        Some((aggregate.name(), EncodedChunk { encoding, data, ..chunk.clone() }))
    };
    Ok(Aggregate::ALL.into_iter().filter(wanted).filter_map(part).collect())
}

fn decoded(chunk: &EncodedChunk) -> Result<Samples, ChunkError> {
    let mut samples = Samples::default();
    decode_samples(chunk, TimeRange::ALL, &mut samples)?;
    Ok(samples)
}

fn print(labels: &Labels, aggregate: &str, samples: &Samples, out: &mut impl Write) -> Result<(), ToolError> {
    let space = if aggregate.is_empty() { "" } else { " " };
    for (t, value) in samples.floats.timestamps.iter().zip(&samples.floats.values) {
        writeln!(out, "{labels}{space}{aggregate} {} {t}", format::general(*value))?;
    }
    for (t, histogram) in samples.histograms.timestamps.iter().zip(&samples.histograms.values) {
        writeln!(out, "{labels}{space}{aggregate} {histogram} {t}")?;
    }
    Ok(())
}
