//! Converts OpenMetrics text to the text format that Prometheus had before. prometheus/docs:
//! `content/docs/instrumenting/exposition_formats.md`.

/// Converts OpenMetrics text of our own encoder to version 0.0.4 of the text format.
///
/// In `# TYPE` and `# HELP`, counters and infos are named with their suffix; units, exemplars and the end mark are left
/// out.
pub(super) fn from_openmetrics(text: &str) -> String {
    let kinds = kinds(text);
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            out.push_str(without_exemplar(line));
            out.push('\n');
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        let (Some(word @ ("HELP" | "TYPE")), Some(name)) = (words.next(), words.next()) else { continue };
        let (suffix, kind) = match kinds.get(name).copied().unwrap_or_default() {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "unknown" => ("", "untyped"),
            kind => ("", kind),
        };
        let rest = if word == "TYPE" { kind } else { words.next().unwrap_or_default() };
        out.push_str(&format!("# {word} {name}{suffix} {rest}\n"));
    }
    out
}

/// A sample line without its exemplar.
fn without_exemplar(line: &str) -> &str {
    // The value follows the labels, whose quoted values may contain anything.
    let mut in_quotes = false;
    let mut escaped = false;
    let labels_end = line.find(|c: char| {
        in_quotes ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        c == '}' && !in_quotes
    });
    let value = labels_end.unwrap_or_default();
    line[value..].find(" # ").map_or(line, |at| &line[..value + at])
}

/// The types of the metrics, by name.
fn kinds(text: &str) -> std::collections::HashMap<&str, &str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_types_and_exemplars() {
        let open = "# HELP a_b Requests.\n# TYPE a_b counter\n# UNIT a_b seconds\na_b_total{x=\"1 # 2\"} 3 # {trace=\"t\"} 1\n\
                    # HELP build What.\n# TYPE build info\nbuild_info{v=\"1\"} 1\n\
                    # HELP g Now.\n# TYPE g gauge\ng 1.5\n# HELP u ?.\n# TYPE u unknown\nu 1\n# EOF\n";
        let plain = "# HELP a_b_total Requests.\n# TYPE a_b_total counter\na_b_total{x=\"1\n\
                     # HELP build_info What.\n# TYPE build_info gauge\nbuild_info{v=\"1\"} 1\n\
                     # HELP g Now.\n# TYPE g gauge\ng 1.5\n# HELP u ?.\n# TYPE u untyped\nu 1\n";
        // A label value may contain the text that begins an exemplar.
        let plain = plain.replace("a_b_total{x=\"1\n", "a_b_total{x=\"1 # 2\"} 3\n");
        assert_eq!(from_openmetrics(open), plain);
    }
}
