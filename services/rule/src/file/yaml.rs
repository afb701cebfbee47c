//! The YAML of files of rules, with places.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::yaml::Span;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    groups: Option<Vec<Spanned<Group>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) interval: Option<Span>,
    pub(super) query_offset: Option<Span>,
    pub(super) limit: i64,
    pub(super) labels: Option<Texts>,
    pub(super) partial_response_strategy: Option<Spanned<String>>,
    pub(super) rules: Option<Vec<Spanned<Rule>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) record: Option<Spanned<String>>,
    pub(super) alert: Option<Spanned<String>>,
    pub(super) expr: Option<Spanned<String>>,
    pub(super) r#for: Option<Span>,
    pub(super) keep_firing_for: Option<Span>,
    pub(super) labels: Option<Texts>,
    pub(super) annotations: Option<Texts>,
}

/// Names and texts; a text that is not given is empty.
pub(super) type Texts = BTreeMap<String, Option<String>>;

type Place = Option<(u64, u64)>;

/// The groups of a text, with their places. A mistake is told with its place.
pub(super) fn parse(text: &str) -> Result<Vec<(Place, Group)>, (Place, String)> {
    let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|at| (at.line(), at.column()));
        let told = error.without_snippet().to_string();
        let first = told.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        (place, without_place(first).to_owned())
    })?;
    let groups = file.unwrap_or_default().groups.unwrap_or_default();
    Ok(groups.into_iter().map(|group| (place(&group), group.value)).collect())
}

/// The message without the place that stands in front of or behind it.
fn without_place(text: &str) -> &str {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let behind = match text.strip_prefix("line ") {
        Some(rest) => rest.split_once(": ").map_or(text, |(_, message)| message),
        None => text,
    };
    behind.split(" at line ").next().unwrap_or(behind)
}

/// Line and column of a value.
pub(super) fn place<T>(spanned: &Spanned<T>) -> Place {
    let at = &spanned.defined;
    (at.line() > 0).then(|| (at.line(), at.column()))
}
