//! The YAML of `--selector.relabel-config`: a list of Prometheus relabelling steps, of which `keep`, `drop` and `hashmod`
//! are allowed. Thanos `pkg/block/fetcher.go`.

use serde::Deserialize;
use tithon_engine::plan::{ShardAction, ShardRule};
use tithon_index::{MatchOp, Matcher};
use tithon_runtime::YamlFault;

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
    /// An invalid regular expression.
    #[error("relabel config step {step}: {reason}")]
    Regex {
        /// Number of the step, from 1.
        step: usize,
        /// What is wrong with the expression.
        reason: String,
    },
    /// `hashmod` lacks a modulus or a target label.
    #[error("relabel config step {step}: hashmod needs a modulus above 0 and a target_label")]
    HashMod {
        /// Number of the step, from 1.
        step: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default)]
    source_labels: Vec<String>,
    #[serde(default = "semicolon")]
    separator: String,
    #[serde(default = "anything")]
    regex: String,
    #[serde(default)]
    modulus: u64,
    #[serde(default)]
    target_label: String,
    #[serde(default)]
    #[expect(dead_code, reason = "allowed in the text; of use to `replace` only")]
    replacement: Option<String>,
    #[serde(default = "replace")]
    action: String,
}

fn semicolon() -> String {
    ";".to_owned()
}

fn anything() -> String {
    "(.*)".to_owned()
}

fn replace() -> String {
    "replace".to_owned()
}

/// Parses the list of steps; an empty text, only comments, or `null` are an empty list.
pub fn parse_selector(yaml: &str) -> Result<Vec<ShardRule>, SelectorError> {
    let says_nothing = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    };
    if yaml.lines().all(says_nothing) {
        return Ok(Vec::new());
    }
    let steps: Option<Vec<Step>> =
        serde_saphyr::from_str(yaml).map_err(|e| SelectorError::Yaml(YamlFault::new(yaml, &e)))?;
    let steps = steps.unwrap_or_default();
    let rule = |(i, step): (usize, Step)| {
        let matcher = || {
            let failed =
                |e: &dyn std::fmt::Display| SelectorError::Regex { step: i + 1, reason: e.to_string() };
            Matcher::new(MatchOp::Regex, "", step.regex.as_str()).map_err(|e| failed(&e))
        };
        let action = match step.action.to_lowercase().as_str() {
            "keep" => ShardAction::Keep(matcher()?),
            "drop" => ShardAction::Drop(matcher()?),
            "hashmod" if step.modulus > 0 && !step.target_label.is_empty() => {
                ShardAction::HashMod { modulus: step.modulus, target: step.target_label }
            }
            "hashmod" => return Err(SelectorError::HashMod { step: i + 1 }),
            _ => return Err(SelectorError::Action { step: i + 1, action: step.action }),
        };
        Ok(ShardRule { source_labels: step.source_labels, separator: step.separator, action })
    };
    steps.into_iter().enumerate().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_and_others_refused() {
        let yaml = "- {action: hashmod, source_labels: [cluster, __block_id], modulus: 2, target_label: shard}\n\
                    - {action: keep, source_labels: [shard], regex: '0'}\n";
        let rules = parse_selector(yaml).unwrap();
        assert_eq!(rules.len(), 2);
        assert!(matches!(&rules[0].action, ShardAction::HashMod { modulus: 2, target } if target == "shard"));
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
