//! Warnings and infos of answers.

use tithon_promql::QueryResult;

use crate::options::Dialect;

/// The warnings and infos of an answer, as each dialect shows them.
pub(crate) fn annotations(
    dialect: Dialect,
    result: &mut QueryResult,
    from_sources: Vec<String>,
) -> (Vec<String>, Vec<String>) {
    /// Prometheus shows at most this many warnings, and as many infos.
    const SHOWN_MAX: usize = 10;
    let mut warnings = from_sources;
    warnings.append(&mut result.warnings);
    let mut infos = std::mem::take(&mut result.infos);
    match dialect {
        Dialect::Prometheus => {
            for (list, word) in [(&mut warnings, "warning"), (&mut infos, "info")] {
                if list.len() > SHOWN_MAX {
                    let omitted = list.len() - SHOWN_MAX;
                    list.truncate(SHOWN_MAX);
                    list.push(format!("{omitted} more {word} annotations omitted"));
                }
            }
            (warnings, infos)
        }
        Dialect::Thanos => {
            warnings.append(&mut infos);
            for note in &mut warnings {
                note.truncate(without_position(note).len());
            }
            (warnings, Vec::new())
        }
    }
}

/// A PromQL warning or info without its ` (line:column)` suffix.
fn without_position(note: &str) -> &str {
    let position = |text: &str| {
        let (line, column) = text.strip_suffix(')')?.split_once(':')?;
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        (digits(line) && digits(column)).then_some(())
    };
    match note.rsplit_once(" (") {
        Some((text, rest)) if note.starts_with("PromQL ") && position(rest).is_some() => text,
        _ => note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_cut_off() {
        for (note, expected) in [
            ("PromQL info: x (1:23)", "PromQL info: x"),
            ("PromQL info: x (see y)", "PromQL info: x (see y)"),
            ("PromQL info: x (a:b)", "PromQL info: x (a:b)"),
            ("receive series from x (1:2)", "receive series from x (1:2)"),
        ] {
            assert_eq!(without_position(note), expected);
        }
    }
}
