//! The YAML of `--rewrite.to-delete-config` and `--rewrite.to-relabel-config`. Thanos `pkg/block/metadata/meta.go`, Prometheus
//! `model/relabel/relabel.go`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tithon_chunks::TimeRange;
use tithon_engine::plan::matcher_record;
use tithon_engine::relabel::{RelabelConfig, RelabelStep};
use tithon_engine::rewrite::Deletion;
use tithon_engine::{DeletionRequest, Interval, RelabelRecord};
use tithon_promql::{ParseOptions, parse_metric_selector};
use tithon_runtime::YamlFault;

/// An entry of the list of deletions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeletionYaml {
    matchers: String,
    #[serde(default)]
    intervals: Vec<IntervalYaml>,
    #[serde(default)]
    request_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IntervalYaml {
    mint: i64,
    maxt: i64,
}

/// Reads what is to be deleted, and how meta.json tells it.
pub(super) fn deletions(yaml: &str) -> Result<(Vec<Deletion>, Vec<DeletionRequest>), String> {
    let (mut deletions, mut records) = (Vec::new(), Vec::new());
    for (i, entry) in list::<DeletionYaml>(yaml)?.into_iter().enumerate() {
        let at_fault = |what: &dyn std::fmt::Display| format!("deletion {}: {what}", i + 1);
        let matchers = parse_metric_selector(&entry.matchers, &ParseOptions::default())
            .map_err(|e| at_fault(&format!("matchers {:?}: {e}", entry.matchers)))?;
        if matchers.is_empty() {
            return Err(at_fault(&"matchers: there are none, which would delete everything"));
        }
        if let Some(empty) = entry.intervals.iter().find(|interval| interval.mint > interval.maxt) {
            return Err(at_fault(&format!("mint {} is after maxt {}", empty.mint, empty.maxt)));
        }
        let range = |interval: &IntervalYaml| TimeRange::new(interval.mint, interval.maxt);
        let interval = |interval: &IntervalYaml| Interval { mint: interval.mint, maxt: interval.maxt };
        records.push(DeletionRequest {
            matchers: matchers.iter().map(matcher_record).collect(),
            intervals: entry.intervals.iter().map(interval).collect(),
            request_id: entry.request_id,
        });
        deletions.push(Deletion { matchers, intervals: entry.intervals.iter().map(range).collect() });
    }
    Ok((deletions, records))
}

/// Reads relabelling steps, and how meta.json tells them.
pub(super) fn relabels(yaml: &str) -> Result<(Vec<RelabelStep>, Vec<RelabelRecord>), String> {
    let (mut steps, mut records) = (Vec::new(), Vec::new());
    for (i, entry) in list::<RelabelConfig>(yaml)?.into_iter().enumerate() {
        let mut record = entry.record();
        record.action = record.action.to_lowercase();
        steps.push(RelabelStep::new(&record).map_err(|error| format!("step {}: {error}", i + 1))?);
        records.push(record);
    }
    Ok((steps, records))
}

/// A list; an empty text and `null` are an empty one.
fn list<T: DeserializeOwned>(yaml: &str) -> Result<Vec<T>, String> {
    let says_nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if yaml.lines().all(says_nothing) {
        return Ok(Vec::new());
    }
    let read: Result<Option<Vec<T>>, _> = serde_saphyr::from_str(yaml);
    read.map(Option::unwrap_or_default).map_err(|error| YamlFault::new(yaml, &error).to_string())
}

#[cfg(test)]
mod tests {
    use tithon_index::Matcher;

    use super::*;

    #[test]
    fn deletions_are_read() {
        let yaml = "- matchers: '{__name__=\"up\", job=~\"a.*\"}'\n  intervals:\n  - {mint: 1, maxt: 2}\n\
                    - matchers: go_goroutines\n  request_id: x\n";
        let (deletions, records) = deletions(yaml).unwrap();
        let told: Vec<Vec<String>> =
            deletions.iter().map(|d| d.matchers.iter().map(Matcher::to_string).collect()).collect();
        assert_eq!(told, [vec!["__name__=\"up\"", "job=~\"a.*\""], vec!["__name__=\"go_goroutines\""]]);
        assert_eq!(deletions[0].intervals, [TimeRange::new(1, 2)]);
        assert_eq!((records[0].matchers[1].r#type, records[1].request_id.as_str()), (2, "x"));
        assert!(super::deletions("").unwrap().0.is_empty());
        for (yaml, want) in [
            ("- {intervals: []}", "matchers"),
            ("- matchers: '{}'", "there are none"),
            ("- matchers: '{'", "deletion 1: matchers"),
            ("- {matchers: up, intervals: [{mint: 2, maxt: 1}]}", "mint 2 is after maxt 1"),
            ("- {matchers: up, interval: []}", "interval"),
        ] {
            let error = super::deletions(yaml).map(drop).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }

    #[test]
    fn relabels_are_read() {
        let (steps, records) = relabels("- {action: LabelDrop, regex: pod}").unwrap();
        assert_eq!(
            (steps.len(), records[0].action.as_str(), records[0].separator.as_str()),
            (1, "labeldrop", ";")
        );
        for (yaml, want) in [("- {action: x}", "step 1: unknown action"), ("- {regexp: a}", "regexp")] {
            let error = relabels(yaml).map(drop).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }
}
