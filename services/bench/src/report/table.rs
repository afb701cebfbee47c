//! The results as a table. Columns without numbers are left out.

use std::io::{self, IsTerminal, Write, stdout};

use comfy_table::{Cell, CellAlignment, Color, LineStyle, Table, presets};

use super::{COLUMNS, CaseReport, Column, Head, notes, ratio, seconds};
use crate::run::{Measured, Verdict};

/// Prints the head, the table and the notes.
pub(super) fn print(head: &Head, cases: &[CaseReport]) -> io::Result<()> {
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| is_used(column, cases)).collect();
    let has_first = cases.iter().flat_map(|case| &case.measured).any(|measured| measured.first.is_some());
    let has_rate = cases.iter().any(|case| case.samples.is_some());
    let mut table = Table::new();
    table.load_style(presets::ASCII_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    let mut names = vec!["case", "subject", "time", "range", ""];
    names.extend(has_rate.then_some("M samples/s"));
    names.extend(has_first.then_some("first"));
    for column in &columns {
        names.push(column.name);
        names.extend(column.ratio_from.map(|_| ""));
    }
    names.push("answer is");
    table.set_header(names);
    for case in cases {
        for measured in &case.measured {
            table.add_row(row(case, measured, &columns, has_first, has_rate));
        }
    }
    let mut out = stdout().lock();
    writeln!(out, "tithon tools bench {}: {}; {}", head.command, head.machine, head.sizes)?;
    for version in &head.versions {
        writeln!(out, "{}: {}", version.subject, version.version)?;
    }
    writeln!(out, "{table}")?;
    print_notes(cases, &mut out)
}

fn is_used(column: &Column, cases: &[CaseReport]) -> bool {
    cases.iter().flat_map(|case| &case.measured).any(|measured| measured.median(column.of).is_some())
}

fn row(
    case: &CaseReport,
    measured: &Measured,
    columns: &[&Column],
    has_first: bool,
    has_rate: bool,
) -> Vec<Cell> {
    let is_first = case.measured.first().is_some_and(|first| std::ptr::eq(first, measured));
    let number =
        |text: Option<String>| Cell::new(text.unwrap_or_default()).set_alignment(CellAlignment::Right);
    let times = |ratio: Option<f64>| number(ratio.map(|ratio| format!("{ratio:.2}x")));
    let mut cells =
        vec![Cell::new(if is_first { case.name.as_str() } else { "" }), Cell::new(&measured.subject)];
    let wall = measured.median(|run| Some(run.wall));
    cells.push(number(wall.map(seconds)));
    let range = measured.wall_range().filter(|_| measured.runs.len() > 1);
    cells.push(number(range.map(|(low, high)| format!("{} to {}", seconds(low), seconds(high)))));
    cells.push(times(ratio(case, measured, |run| Some(run.wall), 0.0)));
    if has_rate {
        let rate = case.samples.zip(wall).map(|(samples, wall)| format!("{:.1}", samples / wall / 1e6));
        cells.push(number(rate));
    }
    if has_first {
        cells.push(number(measured.first.map(|run| seconds(run.wall))));
    }
    for column in columns {
        cells.push(number(measured.median(column.of).map(column.print)));
        if let Some(from) = column.ratio_from {
            cells.push(times(ratio(case, measured, column.of, from)));
        }
    }
    cells.push(verdict(measured));
    cells
}

fn verdict(measured: &Measured) -> Cell {
    let colour = |cell: Cell, colour| if stdout().is_terminal() { cell.fg(colour) } else { cell };
    match (&measured.failure, &measured.answer) {
        (Some(_), _) => colour(Cell::new("missing"), Color::Red),
        (None, Verdict::Alone) => Cell::new(""),
        (None, Verdict::Same) => Cell::new("the same"),
        (None, Verdict::Differs(_)) => colour(Cell::new("different"), Color::Red),
    }
}

/// Prints the notes, which do not fit into the table.
fn print_notes(cases: &[CaseReport], out: &mut impl Write) -> io::Result<()> {
    let (red, end) = if stdout().is_terminal() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    for case in cases {
        for measured in &case.measured {
            for note in notes(measured) {
                let (red, end) = if note.starts_with("beside") { ("", "") } else { (red, end) };
                writeln!(out, "{red}{}, {}: {note}{end}", case.name, measured.subject)?;
            }
        }
    }
    Ok(())
}
