//! Files of rules: groups, their rules, and what is wrong with them. Prometheus `model/rulefmt/rulefmt.go`, Thanos
//! `pkg/rules/manager.go`.

mod check;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tithon_index::Labels;
use tithon_promql::{Expr, ParseOptions};

use crate::{Template, TemplateError};

/// A group as its file has it.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The name, unique in its file.
    pub name: String,
    /// The file that the group is written in.
    pub file: PathBuf,
    /// Interval between two evaluations; `None` is the ruler's default.
    pub interval: Option<Duration>,
    /// How far behind its slot a group is evaluated; `None` is the ruler's default.
    pub query_offset: Option<Duration>,
    /// Most alerts or series of a rule; 0 is no limit.
    pub limit: u64,
    /// What happens when a store does not answer.
    pub strategy: Strategy,
    /// The rules in the order of evaluation.
    pub rules: Vec<RuleConfig>,
}

/// What happens to an evaluation when a store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// The evaluation fails.
    #[default]
    Abort,
    /// The evaluation uses the answers of the other stores.
    Warn,
}

impl Strategy {
    /// The word of Thanos's paths and of one of its metrics.
    pub const fn upper(self) -> &'static str {
        match self {
            Strategy::Abort => "ABORT",
            Strategy::Warn => "WARN",
        }
    }

    /// The word of files, APIs and metrics.
    pub const fn lower(self) -> &'static str {
        match self {
            Strategy::Abort => "abort",
            Strategy::Warn => "warn",
        }
    }
}

/// A rule as its file has it.
#[derive(Clone, Debug)]
pub struct RuleConfig {
    /// The metric that it records, or the name of the alert.
    pub name: String,
    /// The expression.
    pub expr: Arc<Expr>,
    /// The expression as queriers are asked for it and as it is shown.
    pub query: Arc<str>,
    /// Labels that are added to its series or alerts, the labels of the group included.
    pub labels: Labels,
    /// Names of labels that are set to nothing, which takes them away.
    pub removed_labels: Vec<String>,
    /// The settings of an alerting rule; `None` for a recording rule.
    pub alert: Option<AlertConfig>,
}

/// The settings that only alerting rules have.
#[derive(Clone, Debug)]
pub struct AlertConfig {
    /// How long the expression must hold before an alert fires.
    pub hold: Duration,
    /// How long an alert keeps firing after the expression has stopped to hold.
    pub keep_firing: Duration,
    /// The annotations as written: templates.
    pub annotations: Labels,
    /// The templates of the labels, by their names.
    pub label_templates: Arc<Templates>,
    /// The templates of the annotations, by their names.
    pub annotation_templates: Arc<Templates>,
}

/// Templates by the names of the labels or annotations that they make.
pub type Templates = BTreeMap<String, Template>;

/// A fault of a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// The file.
    pub file: PathBuf,
    /// Line and column from 1, where they are known.
    pub place: Option<(u64, u64)>,
    /// Group, number of the rule from 1, and its name.
    pub rule: Option<(String, usize, String)>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        if let Some((group, number, name)) = &self.rule {
            write!(f, " group {group:?}, rule {number}, {name:?}:")?;
        }
        write!(f, " {}", self.reason)
    }
}

/// All faults of a file; never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFaults(pub Vec<RuleFault>);

impl fmt::Display for RuleFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleFaults {}

/// Files are no longer than this, bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Reads a file of rules and checks all of it.
pub fn read_rules(path: &Path, options: &ParseOptions) -> Result<Vec<GroupConfig>, RuleFaults> {
    let fault = |reason: String| {
        RuleFaults(vec![RuleFault { file: path.to_owned(), place: None, rule: None, reason }])
    };
    let bytes = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(fault(format!("{bytes} bytes, expected {FILE_BYTES_MAX} at most")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    parse_rules(path, &text, options)
}

/// Parses the text of a file of rules and checks all of it.
pub fn parse_rules(file: &Path, text: &str, options: &ParseOptions) -> Result<Vec<GroupConfig>, RuleFaults> {
    let groups = yaml::parse(text).map_err(|(place, reason)| {
        RuleFaults(vec![RuleFault { file: file.to_owned(), place, rule: None, reason }])
    })?;
    check::checked(file, groups, options)
}

/// The templates of some labels or annotations, and what is wrong with others.
fn templates(alert: &str, texts: &BTreeMap<String, String>) -> (Templates, Vec<(String, TemplateError)>) {
    let (mut parsed, mut faults) = (Templates::new(), Vec::new());
    for (name, text) in texts {
        match Template::of_alert(alert, text) {
            Ok(template) => _ = parsed.insert(name.clone(), template),
            Err(error) => faults.push((name.clone(), error)),
        }
    }
    (parsed, faults)
}

#[cfg(test)]
mod tests;
