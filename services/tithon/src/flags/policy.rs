//! How long series are kept: a YAML list of rules.

use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;
use tithon_engine::plan::{Retention, RetentionPolicy, RetentionRule};
use tithon_index::Matcher;
use tithon_promql::{ParseOptions, parse_metric_selector};
use tithon_runtime::YamlFault;

use super::{PathOrContentError, parse_duration, path_or_content};

/// An entry of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleYaml {
    r#match: Spanned<String>,
    raw: Option<Spanned<String>>,
    #[serde(rename = "5m")]
    five_minutes: Option<Spanned<String>>,
    #[serde(rename = "1h")]
    one_hour: Option<Spanned<String>>,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The YAML was given twice, or its file cannot be read.
    #[error(transparent)]
    Content(#[from] PathOrContentError),
    /// The YAML is wrong.
    #[error("--{flag}: {fault}")]
    Yaml {
        /// The flag, and the file that it names.
        flag: String,
        /// What is wrong, and where.
        fault: String,
    },
}

/// Reads the pair `flag`-file and `flag`; series that no rule matches are kept as `otherwise` says.
pub fn read_policy(
    flag: &str,
    file: &str,
    inline: &str,
    otherwise: Retention,
) -> Result<RetentionPolicy, PolicyError> {
    let yaml = path_or_content(flag, file, inline, true)?.unwrap_or_default();
    let named = if file.is_empty() { flag.to_owned() } else { format!("{flag}-file={file}") };
    let rules = rules(&yaml, otherwise).map_err(|fault| PolicyError::Yaml { flag: named, fault })?;
    Ok(RetentionPolicy { rules, otherwise })
}

fn rules(yaml: &str, otherwise: Retention) -> Result<Vec<RetentionRule>, String> {
    let says_nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if yaml.lines().all(says_nothing) {
        return Ok(Vec::new());
    }
    let read: Result<Option<Vec<RuleYaml>>, _> = serde_saphyr::from_str(yaml);
    let entries = read.map_err(|error| YamlFault::new(yaml, &error).to_string())?;
    entries.unwrap_or_default().into_iter().map(|entry| entry.rule(otherwise)).collect()
}

impl RuleYaml {
    fn rule(self, otherwise: Retention) -> Result<RetentionRule, String> {
        let kept = |key: &str, given: Option<Spanned<String>>, otherwise: i64| match given {
            None => Ok(otherwise),
            Some(text) => {
                let span: Duration = parse_duration(&text.value).map_err(|error| fault(&text, key, error))?;
                Ok::<_, String>(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
            }
        };
        Ok(RetentionRule {
            matchers: matchers(&self.r#match)?,
            keep: Retention {
                of_raw_blocks_ms: kept("raw", self.raw, otherwise.of_raw_blocks_ms)?,
                of_5m_blocks_ms: kept("5m", self.five_minutes, otherwise.of_5m_blocks_ms)?,
                of_1h_blocks_ms: kept("1h", self.one_hour, otherwise.of_1h_blocks_ms)?,
            },
        })
    }
}

fn matchers(text: &Spanned<String>) -> Result<Vec<Matcher>, String> {
    let matchers = parse_metric_selector(&text.value, &ParseOptions::default());
    let matchers = matchers.map_err(|error| fault(text, "match", error))?;
    match matchers.iter().all(Matcher::matches_empty) {
        true => Err(fault(text, "match", "it selects series without any label, and so all there are")),
        false => Ok(matchers),
    }
}

fn fault<T>(at: &Spanned<T>, key: &str, what: impl std::fmt::Display) -> String {
    let place = &at.referenced;
    format!("line {}, column {}, key {key:?}: {what}", place.line(), place.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn rules_are_read() {
        let otherwise = Retention { of_raw_blocks_ms: 7, of_5m_blocks_ms: 8, of_1h_blocks_ms: 9 };
        let yaml = "# comment\n- match: '{team=\"x\"}'\n  raw: 30d\n  5m: 180d\n  1h: 5y\n\
                    - {match: 'up{a!=\"\"}', raw: 0}\n";
        let rules = rules(yaml, otherwise).unwrap();
        let keep = |days: [i64; 3]| {
            let [of_raw_blocks_ms, of_5m_blocks_ms, of_1h_blocks_ms] = days;
            Retention { of_raw_blocks_ms, of_5m_blocks_ms, of_1h_blocks_ms }
        };
        assert_eq!(rules[0].keep, keep([30 * DAY, 180 * DAY, 5 * 365 * DAY]));
        assert_eq!((rules[1].keep, rules[1].matchers.len()), (keep([0, 8, 9]), 2));
        assert!(super::rules("", otherwise).unwrap().is_empty());
        assert!(super::rules("[]", otherwise).unwrap().is_empty());
    }

    #[test]
    fn mistakes_have_a_place_and_a_key() {
        for (yaml, want) in [
            ("- match: up\n  row: 3d\n", "line 2, column 3, key \"row\": unknown field `row`"),
            ("- raw: 3d\n", "missing field `match`"),
            ("- match: up\n  raw: 3 days\n", "line 2, column 8, key \"raw\": not a valid duration"),
            ("- match: up\n  5m: -3d\n", "line 2, column 7, key \"5m\""),
            ("- match: '{'\n", "line 1, column 10, key \"match\""),
            ("- match: '{a=~\".*\"}'\n", "key \"match\": it selects series without any label"),
            ("- match: '{}'\n", "key \"match\""),
            ("match: up\n", "line 1"),
        ] {
            let error = rules(yaml, Retention::default()).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }
}
