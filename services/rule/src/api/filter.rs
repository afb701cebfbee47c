//! Which rules a request wants.

use reqwest::Url;
use tithon_index::{Labels, Matcher};
use tithon_promql::{ParseOptions, parse_metric_selector};
use tithon_storeapi::{RuleGroup, RuleKind};

use super::kind_named;

/// The parameters of `/api/v1/rules`; an empty list filters nothing.
#[derive(Debug, Default)]
pub(super) struct RulesQuery {
    kind: Option<RuleKind>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    /// All of these must accept the labels of a rule.
    matchers: Vec<Matcher>,
    /// Alerts are not told.
    pub(super) excludes_alerts: bool,
    group_limit: Option<usize>,
    /// Groups up to this one were told before.
    after: Option<String>,
}

impl RulesQuery {
    /// Reads the query of a URL.
    pub(super) fn parse(query: &str) -> Result<RulesQuery, String> {
        let url = Url::parse(&format!("http://ruler/?{query}")).map_err(|error| error.to_string())?;
        let mut wanted = RulesQuery::default();
        for (name, value) in url.query_pairs() {
            let value = value.into_owned();
            match &*name {
                "type" => wanted.kind = kind_named(&value)?,
                "rule_name[]" => wanted.names.push(value),
                "rule_group[]" => wanted.groups.push(value),
                "file[]" => wanted.files.push(value),
                "match[]" => {
                    let matchers = parse_metric_selector(&value, &ParseOptions::default());
                    wanted
                        .matchers
                        .extend(matchers.map_err(|e| format!("invalid parameter \"match[]\": {e}"))?);
                }
                "exclude_alerts" => {
                    wanted.excludes_alerts = match value.to_ascii_lowercase().as_str() {
                        "1" | "t" | "true" => true,
                        "" | "0" | "f" | "false" => false,
                        _ => {
                            return Err(format!(
                                "error converting exclude_alerts: expected a bool, found {value:?}"
                            ));
                        }
                    }
                }
                "group_limit" => {
                    let limit = value.parse().ok().filter(|limit| *limit > 0);
                    let wrong = || format!("group_limit: expected a number above 0, found {value:?}");
                    wanted.group_limit = Some(limit.ok_or_else(wrong)?);
                }
                "group_next_token" if !value.is_empty() => wanted.after = Some(value),
                _ => {}
            }
        }
        if wanted.after.is_some() && wanted.group_limit.is_none() {
            return Err("group_limit needs to be specified when group_next_token is set".to_owned());
        }
        Ok(wanted)
    }

    /// The groups and rules that are wanted, and what the next page is to be asked with. Groups that are emptied are left out.
    pub(super) fn apply(&self, groups: Vec<RuleGroup>) -> (Vec<RuleGroup>, Option<String>) {
        let has = |list: &[String], name: &String| list.is_empty() || list.contains(name);
        let filters = self.kind.is_some() || !self.names.is_empty() || !self.matchers.is_empty();
        let mut all: Vec<RuleGroup> = Vec::new();
        for mut group in groups {
            if !has(&self.groups, &group.name) || !has(&self.files, &group.file) {
                continue;
            }
            group.rules.retain(|rule| {
                self.kind.is_none_or(|kind| rule.kind() == kind)
                    && has(&self.names, &rule.name)
                    && rule.is_selected(&self.matchers)
            });
            if !filters || !group.rules.is_empty() {
                all.push(group);
            }
        }
        if let Some(after) = &self.after {
            let told = all.iter().position(|group| token(group) == *after).map_or(0, |at| at + 1);
            all.drain(..told);
        }
        let next = self.group_limit.filter(|limit| all.len() > *limit).map(|limit| {
            all.truncate(limit);
            all.last().map(token).unwrap_or_default()
        });
        (all, next)
    }
}

/// What names a group to the next request.
fn token(group: &RuleGroup) -> String {
    format!("{:016x}", Labels::from_pairs([("file", &group.file), ("name", &group.name)]).hash64())
}

#[cfg(test)]
mod tests {
    use tithon_storeapi::Rule;

    use super::*;

    fn group(name: &str, rules: &[(&str, bool)]) -> RuleGroup {
        let rule = |(name, alerts): &(&str, bool)| Rule {
            name: (*name).to_owned(),
            query: "up".to_owned(),
            labels: Labels::from_pairs([("team", *name)]),
            health: "ok".to_owned(),
            last_error: String::new(),
            evaluation_seconds: 0.0,
            last_evaluation: Default::default(),
            alerting: alerts.then(Default::default),
        };
        let rules = rules.iter().map(rule).collect();
        RuleGroup { name: name.to_owned(), file: format!("{name}.yml"), rules, ..RuleGroup::default() }
    }

    fn asked(query: &str) -> Result<(String, Option<String>), String> {
        let groups =
            vec![group("g", &[("a", true), ("b", false)]), group("h", &[("a", false)]), group("i", &[])];
        let (groups, next) = RulesQuery::parse(query)?.apply(groups);
        let names = |group: &RuleGroup| {
            let rules: Vec<&str> = group.rules.iter().map(|rule| rule.name.as_str()).collect();
            format!("{}:{}", group.name, rules.join(","))
        };
        Ok((groups.iter().map(names).collect::<Vec<_>>().join(" "), next))
    }

    #[test]
    fn parameters_filter_and_page() {
        for (query, expected) in [
            ("", "g:a,b h:a i:"),
            ("type=alert", "g:a"),
            ("type=RECORD", "g:b h:a"),
            ("rule_name[]=a", "g:a h:a"),
            ("rule_group%5B%5D=h&rule_group[]=i", "h:a i:"),
            ("file[]=g.yml", "g:a,b"),
            ("match[]={team=\"b\"}", "g:b"),
        ] {
            assert_eq!(asked(query).unwrap().0, expected, "{query}");
        }
        let (first, next) = asked("group_limit=2").unwrap();
        assert_eq!(first, "g:a,b h:a");
        let (second, end) = asked(&format!("group_limit=2&group_next_token={}", next.unwrap())).unwrap();
        assert_eq!((second.as_str(), end), ("i:", None));
        for query in ["type=x", "match[]={", "exclude_alerts=x", "group_limit=0", "group_next_token=x"] {
            assert!(asked(query).is_err(), "{query}");
        }
    }
}
