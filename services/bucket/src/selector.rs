//! The YAML of `--selector.relabel-config`: a list of Prometheus relabelling steps, of which `keep`, `drop` and `hashmod`
//! are allowed. Thanos `pkg/block/fetcher.go`.

use tithon_engine::relabel::{RelabelConfig, RelabelError, RelabelStep};
use tithon_runtime::YamlFault;

/// The actions that choose blocks.
const ACTIONS: [&str; 3] = ["keep", "drop", "hashmod"];

/// Why a selector configuration is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not YAML, an unknown key, or a value of the wrong type.
    #[error("relabel config: {0}")]
    Yaml(YamlFault),
    /// An action that does not choose blocks.
    #[error("relabel config step {step}: action {action:?} is not supported, use keep, drop or hashmod")]
    Action {
        /// Number of the step, from 1.
        step: usize,
        /// The action.
        action: String,
    },
    /// A step that lacks something or has an invalid regular expression.
    #[error("relabel config step {step}: {source}")]
    Step {
        /// Number of the step, from 1.
        step: usize,
        /// What is wrong with it.
        source: RelabelError,
    },
}

/// Parses the list of steps; an empty text, only comments, or `null` are an empty list.
pub fn parse_selector(yaml: &str) -> Result<Vec<RelabelStep>, SelectorError> {
    let says_nothing = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    };
    if yaml.lines().all(says_nothing) {
        return Ok(Vec::new());
    }
    let steps: Option<Vec<RelabelConfig>> =
        serde_saphyr::from_str(yaml).map_err(|e| SelectorError::Yaml(YamlFault::new(yaml, &e)))?;
    let step = |(i, step): (usize, RelabelConfig)| {
        let (record, step) = (step.record(), i + 1);
        if !ACTIONS.contains(&record.action.to_lowercase().as_str()) {
            return Err(SelectorError::Action { step, action: record.action });
        }
        RelabelStep::new(&record).map_err(|source| SelectorError::Step { step, source })
    };
    steps.unwrap_or_default().into_iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    use tithon_engine::relabel::keeps;
    use tithon_index::Labels;

    use super::*;

    #[test]
    fn steps_are_read_and_others_refused() {
        let yaml = "- {action: hashmod, source_labels: [cluster, __block_id], modulus: 2, target_label: shard}\n\
                    - {action: keep, source_labels: [shard], regex: '0'}\n";
        let rules = parse_selector(yaml).unwrap();
        // MD5 of "a;1" ends in a31b (md5sum).
        let labels = Labels::from_pairs([("cluster", "a"), ("__block_id", "1")]);
        assert_eq!((rules.len(), keeps(&labels, &rules)), (2, false));
        for nothing in ["", "null", "~", "[]", "# a comment\n", "---\nnull\n", "---\n# none\n"] {
            assert!(parse_selector(nothing).unwrap().is_empty(), "{nothing:?}");
        }
        let check = |yaml: &str, want: &str| {
            let error = parse_selector(yaml).unwrap_err().to_string();
            assert!(error.contains(want), "{yaml}: {error}");
        };
        check("- {source_labels: [a], target_label: b}", "step 1: action \"replace\"");
        check("- {action: keep, regex: '('}", "step 1: ");
        check("- {action: hashmod}", "modulus above 0");
        check("- {actoin: keep}", "actoin");
    }
}
