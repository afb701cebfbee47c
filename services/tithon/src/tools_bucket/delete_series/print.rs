//! Requests to delete series as tables.

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanBytes;

use super::{Listed, Planned};
use crate::tools_bucket::local_time::local_time;

/// From here on a time is as good as none.
const FAR_MS: i64 = 253_402_300_799_000;

/// What is deleted of each block.
pub(super) fn planned_table(planned: &Planned) -> String {
    let mut table = plain(&[
        "block",
        "from",
        "until",
        "resolution",
        "series",
        "whole",
        "chunks",
        "cut",
        "samples",
        "bytes",
    ]);
    let mut bytes = 0;
    for found in &planned.blocks {
        let cut = found.cut;
        bytes += found.bytes;
        table.add_row([
            found.block.to_string(),
            local_time(found.min_time),
            local_time(found.max_time),
            match found.resolution {
                0 => "raw".to_owned(),
                300_000 => "5m".to_owned(),
                3_600_000 => "1h".to_owned(),
                ms => format!("{ms} ms"),
            },
            cut.series.to_string(),
            cut.whole_series.to_string(),
            cut.chunks.to_string(),
            cut.cut_chunks.to_string(),
            found.samples.to_string(),
            HumanBytes(found.bytes).to_string(),
        ]);
    }
    right(&mut table, 4);
    let n = planned.blocks.len();
    let sum = format!("{n} blocks, about {}", HumanBytes(bytes));
    match (planned.request, n) {
        (Some(request), _) => format!("{table}\n\nrequest {request}: {sum}\n"),
        (None, 0) => "no block has such samples\n".to_owned(),
        (None, _) => format!("{table}\n\n{sum} would go\n"),
    }
}

/// Requests, oldest first.
pub(super) fn listed_table(listed: &[Listed]) -> String {
    let mut table =
        plain(&["request", "state", "blocks left", "from", "until", "match", "author", "details"]);
    for one in listed {
        let time = |ms: i64| if ms.abs() >= FAR_MS { "-".to_owned() } else { local_time(ms) };
        let state = match one.done_ms {
            Some(at) => format!("done {}", local_time(at)),
            None if one.include_later => "in force, later data too".to_owned(),
            None => "in force".to_owned(),
        };
        table.add_row([
            one.request.to_string(),
            state,
            one.blocks_left.to_string(),
            if one.min_time <= -62_167_219_200_000 { "-".to_owned() } else { time(one.min_time) },
            time(one.max_time),
            one.selectors.join(" or "),
            one.author.clone(),
            one.details.clone(),
        ]);
    }
    format!("{table}\n")
}

fn plain(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(heads);
    table
}

/// Numbers stand at the right.
fn right(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
