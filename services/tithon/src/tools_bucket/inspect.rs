//! `tithon tools bucket inspect`.

use std::cmp::Ordering;
use std::error::Error;
use std::io::Write;

use tithon_chunks::calendar::go_duration;
use tithon_engine::BlockMeta;

use super::local_time::local_time;
use super::look::{look, within};
use crate::bucket::open_bucket;
use crate::cli::{InspectColumn, InspectFlags, InspectOutput};
use crate::output::stdout;

/// Milliseconds that a block must span to be downsampled: raw ones, and those of 5m.
const SPAN_OF_RAW_MS: i64 = 40 * 3600 * 1000;
const SPAN_OF_5M_MS: i64 = 10 * 24 * 3600 * 1000;
const RESOLUTION_5M_MS: i64 = 300_000;

const N_COLUMNS: usize = InspectColumn::ALL.len();
/// What is printed of a block, or the heads.
type Row = [String; N_COLUMNS];

/// A cell: its text, and what it is sorted by.
enum Cell {
    Number(i64, String),
    Text(String),
}

impl Cell {
    fn text(&self) -> &str {
        match self {
            Cell::Number(_, text) | Cell::Text(text) => text,
        }
    }

    /// By numbers where both are; else by what is printed, as in Thanos.
    fn order(&self, other: &Cell) -> Ordering {
        match (self, other) {
            (Cell::Number(a, _), Cell::Number(b, _)) => a.cmp(b),
            _ => self.text().cmp(other.text()),
        }
    }
}

/// Prints a table of the blocks.
pub async fn run(flags: &InspectFlags) -> Result<(), Box<dyn Error>> {
    let bucket = open_bucket(&flags.bucket).await?;
    let catalogue = within(flags.timeout, look(&bucket, &[])).await?;
    let has = |meta: &BlockMeta, name: &str, value: &str| {
        meta.thanos.as_ref().and_then(|thanos| thanos.labels.get(name)).is_some_and(|found| found == value)
    };
    let mut metas: Vec<&BlockMeta> = catalogue.metas().map(|meta| &**meta).collect();
    metas.retain(|meta| flags.selector.iter().all(|(name, value)| has(meta, name, value)));
    metas.sort_by(|a, b| {
        let orders = flags.sort_by.iter().map(|column| cell(a, *column).order(&cell(b, *column)));
        orders.fold(Ordering::Equal, Ordering::then).then(a.ulid.cmp(&b.ulid))
    });
    let rows = metas.iter().map(|meta| InspectColumn::ALL.map(|column| cell(meta, column).text().to_owned()));
    let rows: Vec<Row> =
        std::iter::once(InspectColumn::ALL.map(|column| column.name().to_owned())).chain(rows).collect();
    let text = match flags.output {
        InspectOutput::Table => table(&rows),
        InspectOutput::Csv => separated(&rows, ','),
        InspectOutput::Tsv => separated(&rows, '\t'),
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

fn cell(meta: &BlockMeta, column: InspectColumn) -> Cell {
    let span = meta.max_time.saturating_sub(meta.min_time);
    let time = |ms| Cell::Number(ms, local_time(ms));
    let duration = |ms: i64| Cell::Number(ms, go_duration(ms.saturating_mul(1_000_000)));
    let count = |n: u64| Cell::Number(i64::try_from(n).unwrap_or(i64::MAX), with_separators(n));
    match column {
        InspectColumn::Ulid => Cell::Text(meta.ulid.to_string()),
        InspectColumn::From => time(meta.min_time),
        InspectColumn::Until => time(meta.max_time),
        InspectColumn::Range => duration(span),
        InspectColumn::UntilDown => match meta.resolution_ms() {
            0 => duration(SPAN_OF_RAW_MS.saturating_sub(span)),
            RESOLUTION_5M_MS => duration(SPAN_OF_5M_MS.saturating_sub(span)),
            _ => Cell::Text("-".to_owned()),
        },
        InspectColumn::Series => count(meta.stats.num_series),
        InspectColumn::Samples => count(meta.stats.num_samples),
        InspectColumn::Chunks => count(meta.stats.num_chunks),
        InspectColumn::CompLevel => Cell::Number(meta.compaction.level, meta.compaction.level.to_string()),
        InspectColumn::CompFailed => Cell::Text(meta.compaction.failed.to_string()),
        InspectColumn::Labels => {
            let labels = meta.thanos.iter().flat_map(|thanos| &thanos.labels);
            let pairs: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
            Cell::Text(pairs.join(","))
        }
        InspectColumn::Resolution => duration(meta.resolution_ms()),
        InspectColumn::Source => {
            Cell::Text(meta.thanos.as_ref().map_or("", |thanos| thanos.source.as_str()).to_owned())
        }
    }
}

/// A number with a comma before each group of three digits.
fn with_separators(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Columns between bars: heads in the middle, the rest at the left.
fn table(rows: &[Row]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N_COLUMNS] = std::array::from_fn(width);
    let mut out = String::new();
    for (i, row) in rows.iter().enumerate() {
        for (text, width) in row.iter().zip(widths) {
            let before = if i == 0 { (width - text.chars().count()) / 2 } else { 0 };
            out += &format!("| {:before$}{text:rest$} ", "", rest = width - before);
        }
        out += "|\n";
        if i == 0 {
            out.extend(widths.map(|width| format!("|{:-<width$}", "", width = width + 2)));
            out += "|\n";
        }
    }
    out
}

/// Rows with texts quoted where they have to be, as Go's encoding/csv does.
fn separated(rows: &[Row], separator: char) -> String {
    let field = |text: &String| {
        let is_special = |c: char| c == separator || matches!(c, '"' | '\r' | '\n');
        match text.contains(is_special) || text.starts_with(char::is_whitespace) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.clone(),
        }
    };
    let line = |row: &Row| {
        let fields: Vec<String> = row.iter().map(field).collect();
        fields.join(&separator.to_string()) + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(with_separators(n), text);
        }
    }
}
