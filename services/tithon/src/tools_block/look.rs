//! `tools block inspect` and `dump --digest`: show the content of a block.

use std::io::{self, Write};
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use tithon_engine::Block;
use tithon_engine::digest::digests;
use tithon_engine::inspect::{Inspection, inspect};
use tithon_index::Labels;

use super::ToolError;
use crate::cli::Output;

/// Prints a description of the block.
pub fn print_inspection(dir: &Path, output: Output, out: &mut impl Write) -> Result<(), ToolError> {
    let found = inspect(&Block::open(dir)?)?;
    match output {
        Output::Table => writeln!(out, "{}", table(&found))?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&found).map_err(io::Error::from)?)?,
    }
    Ok(())
}

/// Prints a line of digests for each series.
pub fn dump_digests(dir: &Path, out: &mut impl Write) -> Result<(), ToolError> {
    let block = Block::open(dir)?;
    digests(&block, |digest| {
        serde_json::to_writer(&mut *out, &digest).map_err(io::Error::from)?;
        Ok(out.write_all(b"\n")?)
    })
}

/// The last millisecond of the year 9999; later times are not printed as dates.
const LAST_DATE_MS: u64 = 253_402_300_799_999;

/// A time as a date, or in milliseconds if it is not between 1970 and 9999.
fn time(ms: i64) -> String {
    match u64::try_from(ms) {
        Ok(since) if since <= LAST_DATE_MS => {
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(since);
            humantime::format_rfc3339_millis(at).to_string()
        }
        _ => format!("{ms} ms"),
    }
}

fn table(found: &Inspection) -> String {
    let mut head = Table::new();
    head.load_style(presets::NOTHING);
    let labels = Labels::from_pairs(&found.labels);
    let resolution = match found.resolution_ms {
        0 => "raw".to_string(),
        ms => format!("{} m", ms / 60_000),
    };
    for (key, value) in [
        ("block", found.ulid.clone()),
        ("from", time(found.min_time)),
        ("to (excluded)", time(found.max_time)),
        ("level", found.level.to_string()),
        ("resolution", resolution),
        ("external labels", labels.to_string()),
        ("series", found.series.to_string()),
        ("label names", found.label_names.to_string()),
        ("symbols", found.symbols.to_string()),
        ("chunks", found.chunks.to_string()),
        ("samples", found.samples.to_string()),
        ("deletions", found.tombstones.to_string()),
        ("index", format!("{} bytes", found.index_bytes)),
        ("segments", format!("{} with {} bytes", found.segments, found.segment_bytes)),
    ] {
        head.add_row([key, value.as_str()]);
    }
    let mut encodings = Table::new();
    encodings.load_style(presets::ASCII_HORIZONTAL_ONLY);
    encodings.set_header(["encoding", "chunks", "samples", "bytes", "bytes/sample"]);
    for (name, count) in &found.encodings {
        let per_sample = match count.samples {
            0 => "-".to_string(),
            n => format!("{:.2}", count.bytes as f64 / n as f64),
        };
        let numbers = [count.chunks, count.samples, count.bytes].map(|n| n.to_string());
        let [chunks, samples, bytes] = numbers;
        encodings.add_row([name.clone(), chunks, samples, bytes, per_sample]);
    }
    for column in encodings.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut widest = Table::new();
    widest.load_style(presets::ASCII_HORIZONTAL_ONLY);
    widest.set_header(["label", "values"]);
    for (name, values) in &found.widest_labels {
        widest.add_row([name.clone(), values.to_string()]);
    }
    format!("{head}\n\n{encodings}\n\n{widest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_date_are_printed_as_numbers() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "253402300800000 ms"),
            (9_007_199_254_740_992, "9007199254740992 ms"),
            (i64::MAX, "9223372036854775807 ms"),
            (-9_007_199_254_740_992, "-9007199254740992 ms"),
        ] {
            assert_eq!(time(ms), text);
        }
    }
}
