//! What a file of rules must keep to. Prometheus `model/rulefmt/rulefmt.go`, `Validate`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_saphyr::Spanned;
use tithon_index::{Labels, METRIC_NAME};
use tithon_promql::{Expr, ParseOptions, parse};

use super::yaml::{Group, Rule, Texts, place};
use super::{AlertConfig, GroupConfig, RuleConfig, RuleFault, RuleFaults, Strategy, Templates, templates};
use crate::TemplateError;
use crate::yaml::Span;

type Place = Option<(u64, u64)>;

/// Checks all groups of a file.
pub(super) fn checked(
    file: &Path,
    groups: Vec<(Place, Group)>,
    options: &ParseOptions,
) -> Result<Vec<GroupConfig>, RuleFaults> {
    let mut check = Check { file, options, faults: Vec::new() };
    let (mut out, mut names) = (Vec::new(), BTreeSet::new());
    for (at, group) in groups {
        if group.name.is_empty() {
            check.fault(at, None, "Groupname must not be empty");
        } else if !names.insert(group.name.clone()) {
            check.fault(at, None, format!("groupname: {:?} is repeated in the same file", group.name));
        }
        out.extend(check.group(at, group));
    }
    if check.faults.is_empty() { Ok(out) } else { Err(RuleFaults(check.faults)) }
}

struct Check<'a> {
    file: &'a Path,
    options: &'a ParseOptions,
    faults: Vec<RuleFault>,
}

/// Which rule a fault belongs to: group, number, name.
type Whose = (String, usize, String);

impl Check<'_> {
    fn fault(&mut self, place: Place, rule: Option<Whose>, reason: impl Into<String>) {
        self.faults.push(RuleFault { file: self.file.to_owned(), place, rule, reason: reason.into() });
    }

    fn group(&mut self, at: Place, group: Group) -> Option<GroupConfig> {
        let labels = texts(group.labels);
        self.label_names(at, None, &labels);
        let strategy = self.strategy(group.partial_response_strategy.as_ref())?;
        let Ok(limit) = u64::try_from(group.limit) else {
            self.fault(at, None, format!("group {:?}: limit {} is negative", group.name, group.limit));
            return None;
        };
        let mut rules = Vec::new();
        for (i, rule) in group.rules.unwrap_or_default().into_iter().enumerate() {
            rules.extend(self.rule(&group.name, i + 1, rule, &labels));
        }
        let span = |span: Option<Span>| span.map(|span| span.0);
        Some(GroupConfig {
            name: group.name,
            file: self.file.to_owned(),
            interval: span(group.interval).filter(|interval| !interval.is_zero()),
            query_offset: span(group.query_offset),
            limit,
            strategy,
            rules,
        })
    }

    fn strategy(&mut self, given: Option<&Spanned<String>>) -> Option<Strategy> {
        let Some(given) = given else { return Some(Strategy::default()) };
        match given.value.to_ascii_lowercase().as_str() {
            "" | "abort" => Some(Strategy::Abort),
            "warn" => Some(Strategy::Warn),
            _ => {
                let found = &given.value;
                let reason = format!("partial_response_strategy: expected warn or abort, found {found:?}");
                self.fault(place(given), None, reason);
                None
            }
        }
    }

    fn rule(
        &mut self,
        group: &str,
        number: usize,
        rule: Spanned<Rule>,
        group_labels: &BTreeMap<String, String>,
    ) -> Option<RuleConfig> {
        let before = self.faults.len();
        let at = place(&rule);
        let rule = rule.value;
        let given = |text: &Option<Spanned<String>>| {
            text.as_ref().filter(|text| !text.value.is_empty()).map(|text| (place(text), text.value.clone()))
        };
        let (record, alert) = (given(&rule.record), given(&rule.alert));
        let name = alert.as_ref().or(record.as_ref()).map(|(_, name)| name.clone()).unwrap_or_default();
        let whose = || Some((group.to_owned(), number, name.clone()));
        match (&record, &alert) {
            (Some((at, _)), Some(_)) => {
                self.fault(*at, whose(), "only one of 'record' and 'alert' must be set");
            }
            (None, None) => self.fault(at, whose(), "one of 'record' or 'alert' must be set"),
            _ => {}
        }
        let expr = self.expression(at, whose(), given(&rule.expr));
        let (labels, annotations) = (texts(rule.labels), texts(rule.annotations));
        let span = |span: Option<Span>| span.map_or(Duration::ZERO, |span| span.0);
        let (hold, keep_firing) = (span(rule.r#for), span(rule.keep_firing_for));
        if let Some((at, record)) = &record {
            let fields = [
                ("annotations", !annotations.is_empty()),
                ("for", !hold.is_zero()),
                ("keep_firing_for", !keep_firing.is_zero()),
            ];
            for (field, _) in fields.into_iter().filter(|(_, is_given)| *is_given) {
                self.fault(*at, whose(), format!("invalid field '{field}' in recording rule"));
            }
            if record.contains(['{', '}']) {
                let reason = "braces present in the recording rule name; should it be in expr?";
                self.fault(*at, whose(), format!("{reason}: {record}"));
            }
        }
        self.label_names(at, whose(), &labels);
        for name in annotations.keys().filter(|name| name.is_empty()) {
            self.fault(at, whose(), format!("invalid annotation name: {name}"));
        }
        let alert = alert.map(|(_, alert)| AlertConfig {
            hold,
            keep_firing,
            label_templates: self.templates(at, whose(), &alert, "label", &merged(group_labels, &labels)),
            annotation_templates: self.templates(at, whose(), &alert, "annotation", &annotations),
            annotations: Labels::from_pairs(&annotations),
        });
        if self.faults.len() > before {
            return None;
        }
        let (given, removed): (BTreeMap<_, _>, BTreeMap<_, _>) =
            merged(group_labels, &labels).into_iter().partition(|(_, value)| !value.is_empty());
        let (labels, removed_labels) = (Labels::from_pairs(given), removed.into_keys().collect());
        let expr = Arc::new(expr?);
        let query = expr.to_string().into();
        Some(RuleConfig { name, expr, query, labels, removed_labels, alert })
    }

    /// Parses the expression of a rule.
    fn expression(
        &mut self,
        at: Place,
        whose: Option<Whose>,
        given: Option<(Place, String)>,
    ) -> Option<Expr> {
        let Some((place, text)) = given else {
            self.fault(at, whose, "field 'expr' must be set in rule");
            return None;
        };
        match parse(&text, self.options) {
            Ok(expr) => Some(expr),
            Err(error) => {
                self.fault(place, whose, format!("could not parse expression: {error}"));
                None
            }
        }
    }

    /// Parses the texts of the alert `name` as templates.
    fn templates(
        &mut self,
        at: Place,
        whose: Option<Whose>,
        name: &str,
        what: &str,
        texts: &BTreeMap<String, String>,
    ) -> Arc<Templates> {
        let (templates, faults) = templates(name, texts);
        for (name, error) in faults {
            let reason = match error {
                TemplateError::Parse { reason, .. } => reason,
                other => other.to_string(),
            };
            self.fault(at, whose.clone(), format!("{what} {name:?}: {reason}"));
        }
        Arc::new(templates)
    }

    fn label_names(&mut self, at: Place, whose: Option<Whose>, labels: &BTreeMap<String, String>) {
        let is_bad = |name: &&String| name.is_empty() || name.as_bytes() == METRIC_NAME;
        for name in labels.keys().filter(is_bad) {
            self.fault(at, whose.clone(), format!("invalid label name: {name}"));
        }
    }
}

fn texts(given: Option<Texts>) -> BTreeMap<String, String> {
    let texts = given.unwrap_or_default().into_iter();
    texts.map(|(name, text)| (name, text.unwrap_or_default())).collect()
}

/// The labels of a group and of a rule, which wins.
fn merged(group: &BTreeMap<String, String>, rule: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = group.clone();
    all.extend(rule.iter().map(|(name, value)| (name.clone(), value.clone())));
    all
}
