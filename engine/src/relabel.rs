//! Relabels label sets, of series or of blocks; all actions of Prometheus are supported. Prometheus
//! `model/relabel/relabel.go`.

mod config;

use md5::{Digest, Md5};
use regex_automata::meta::Regex;
use tithon_index::{Labels, MatcherError, Template, anchored_regex};

pub use self::config::RelabelConfig;
use crate::RelabelRecord;

/// One step of a configuration, validated and ready to be applied.
#[derive(Clone, Debug)]
pub struct RelabelStep {
    source_labels: Vec<String>,
    separator: String,
    action: Action,
}

#[derive(Clone, Debug)]
enum Action {
    Replace { regex: Regex, target: Template, replacement: Template },
    Keep(Regex),
    Drop(Regex),
    KeepEqual(String),
    DropEqual(String),
    HashMod { modulus: u64, target: String },
    LabelMap { regex: Regex, replacement: Template },
    LabelDrop(Regex),
    LabelKeep(Regex),
    Lowercase(String),
    Uppercase(String),
}

/// Why a step cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelabelError {
    /// The action does not exist.
    #[error("unknown action {0:?}")]
    Action(String),
    /// The action lacks a field or has one too many.
    #[error("action {action} {what}")]
    Fields {
        /// The action.
        action: String,
        /// The field that is missing or not allowed.
        what: &'static str,
    },
    /// The pattern is invalid.
    #[error("regex: {0}")]
    Regex(#[from] MatcherError),
}

/// The replacement if a step has none.
const WHOLE: &str = "$1";
/// The pattern if a step has none.
const ANYTHING: &str = "(.*)";

impl RelabelRecord {
    /// A step with the defaults of a configuration.
    pub fn new() -> RelabelRecord {
        RelabelRecord {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            regex: ANYTHING.to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: WHOLE.to_owned(),
            action: "replace".to_owned(),
        }
    }
}

impl RelabelStep {
    /// Validates a step as upstream does.
    pub fn new(record: &RelabelRecord) -> Result<RelabelStep, RelabelError> {
        let name = record.action.to_lowercase();
        let fields = |what| RelabelError::Fields { action: name.clone(), what };
        let target = || match record.target_label.as_str() {
            "" => Err(fields("needs a target_label")),
            target => Ok(target.to_owned()),
        };
        let regex = || anchored_regex(&record.regex);
        let has_replacement = record.replacement != WHOLE;
        let has_joining = record.separator != ";" || record.modulus != 0 || has_replacement;
        let action = match name.as_str() {
            "replace" => {
                let (regex, target) = (regex()?, target()?);
                let (target, replacement) =
                    (Template::parse(&regex, target.as_bytes()), record.replacement.as_bytes());
                Action::Replace { target, replacement: Template::parse(&regex, replacement), regex }
            }
            "keep" => Action::Keep(regex()?),
            "drop" => Action::Drop(regex()?),
            "keepequal" | "dropequal" if has_joining || record.regex != ANYTHING => {
                return Err(fields("takes source_labels and target_label, and nothing else"));
            }
            "keepequal" => Action::KeepEqual(target()?),
            "dropequal" => Action::DropEqual(target()?),
            "hashmod" if record.modulus == 0 => return Err(fields("needs a modulus above 0")),
            "hashmod" => Action::HashMod { modulus: record.modulus, target: target()? },
            "labelmap" if record.replacement.is_empty() => return Err(fields("needs a replacement")),
            "labelmap" => {
                let regex = regex()?;
                Action::LabelMap {
                    replacement: Template::parse(&regex, record.replacement.as_bytes()),
                    regex,
                }
            }
            "labeldrop" | "labelkeep"
                if has_joining || !record.source_labels.is_empty() || !record.target_label.is_empty() =>
            {
                return Err(fields("takes a regex, and nothing else"));
            }
            "labeldrop" => Action::LabelDrop(regex()?),
            "labelkeep" => Action::LabelKeep(regex()?),
            "lowercase" | "uppercase" if has_replacement => return Err(fields("takes no replacement")),
            "lowercase" => Action::Lowercase(target()?),
            "uppercase" => Action::Uppercase(target()?),
            _ => return Err(RelabelError::Action(record.action.clone())),
        };
        let (source_labels, separator) = (record.source_labels.clone(), record.separator.clone());
        Ok(RelabelStep { source_labels, separator, action })
    }
}

/// The labels after all steps; `None` if a step drops the series or no label is left.
pub fn relabelled(labels: &Labels, steps: &[RelabelStep]) -> Option<Labels> {
    after_all(labels, steps).filter(|labels| !labels.is_empty())
}

/// Whether no step drops the labels.
pub fn keeps(labels: &Labels, steps: &[RelabelStep]) -> bool {
    after_all(labels, steps).is_some()
}

fn after_all(labels: &Labels, steps: &[RelabelStep]) -> Option<Labels> {
    steps.iter().try_fold(labels.clone(), |labels, step| apply(step, labels))
}

fn apply(step: &RelabelStep, labels: Labels) -> Option<Labels> {
    let mut value = Vec::new();
    for (i, name) in step.source_labels.iter().enumerate() {
        if i > 0 {
            value.extend_from_slice(step.separator.as_bytes());
        }
        value.extend_from_slice(labels.get(name).unwrap_or_default());
    }
    let set = |target: &[u8], value: &[u8]| Some(labels.to_builder().set(target, value).finish());
    let own = |target: &String| labels.get(target).unwrap_or_default();
    match &step.action {
        Action::Keep(regex) => regex.is_match(&value).then_some(labels),
        Action::Drop(regex) => (!regex.is_match(&value)).then_some(labels),
        Action::KeepEqual(target) => (own(target) == value).then_some(labels),
        Action::DropEqual(target) => (own(target) != value).then_some(labels),
        Action::Replace { regex, target, replacement } => {
            let mut captures = regex.create_captures();
            regex.captures(&value, &mut captures);
            if !captures.is_match() {
                return Some(labels);
            }
            let (mut name, mut text) = (Vec::new(), Vec::new());
            target.expand(&captures, &value, &mut name);
            if name.is_empty() || std::str::from_utf8(&name).is_err() {
                return Some(labels);
            }
            replacement.expand(&captures, &value, &mut text);
            set(&name, &text)
        }
        Action::HashMod { modulus, target } => {
            let hash = Md5::digest(&value);
            let low = hash.iter().skip(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            set(target.as_bytes(), (low % modulus).to_string().as_bytes())
        }
        Action::LabelMap { regex, replacement } => {
            let (mut builder, mut captures) = (labels.to_builder(), regex.create_captures());
            for (name, value) in labels.iter() {
                regex.captures(name, &mut captures);
                if captures.is_match() {
                    let mut new = Vec::new();
                    replacement.expand(&captures, name, &mut new);
                    builder.set(&new, value);
                }
            }
            Some(builder.finish())
        }
        Action::LabelDrop(regex) => Some(labels.to_builder().retain(|name| !regex.is_match(name)).finish()),
        Action::LabelKeep(regex) => Some(labels.to_builder().retain(|name| regex.is_match(name)).finish()),
        Action::Lowercase(target) => set(target.as_bytes(), cased(&value, char::to_lowercase).as_bytes()),
        Action::Uppercase(target) => set(target.as_bytes(), cased(&value, char::to_uppercase).as_bytes()),
    }
}

/// Maps letters one by one, as Go does: a letter that would map to several letters stays unchanged.
fn cased<I: Iterator<Item = char> + Clone>(value: &[u8], other: impl Fn(char) -> I) -> String {
    let one = |c: char| {
        let mut letters = other(c);
        letters.next().filter(|_| letters.next().is_none()).unwrap_or(c)
    };
    String::from_utf8_lossy(value).chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(change: impl FnOnce(&mut RelabelRecord)) -> RelabelRecord {
        let mut record = RelabelRecord::new();
        change(&mut record);
        record
    }

    fn step(action: &str, change: impl FnOnce(&mut RelabelRecord)) -> RelabelStep {
        let record = record(|record| {
            record.action = action.to_owned();
            change(record);
        });
        RelabelStep::new(&record).unwrap()
    }

    fn check(step: RelabelStep, want: Option<&[(&str, &str)]>) {
        let labels = Labels::from_pairs([("__name__", "up"), ("a", "Foo-bar"), ("b", "x"), ("c", "x")]);
        let want = want.map(|pairs| Labels::from_pairs(pairs.iter().copied()));
        assert_eq!(relabelled(&labels, std::slice::from_ref(&step)), want, "{step:?}");
    }

    const ALL: [(&str, &str); 4] = [("__name__", "up"), ("a", "Foo-bar"), ("b", "x"), ("c", "x")];

    /// Results of Prometheus 3.14.
    #[test]
    fn every_action() {
        let from_a = |record: &mut RelabelRecord| record.source_labels = vec!["a".to_owned()];
        let replace = |regex: &str, target: &str, replacement: &str| {
            step("replace", |record| {
                record.source_labels = vec!["a".to_owned(), "b".to_owned()];
                record.regex = regex.to_owned();
                record.target_label = target.to_owned();
                record.replacement = replacement.to_owned();
            })
        };
        let with = |name: &'static str, value: &'static str| {
            let mut pairs: Vec<(&str, &str)> = ALL.iter().filter(|(n, _)| *n != name).copied().collect();
            pairs.extend((!value.is_empty()).then_some((name, value)));
            pairs
        };
        check(replace("(.*)-(.*);x", "d", "$2/$1"), Some(&with("d", "bar/Foo")));
        check(replace("(.*)-(?P<rest>.*);x", "${rest}", "${rest}"), Some(&with("bar", "bar")));
        check(replace("Foo", "d", "$1"), Some(&ALL));
        check(replace(".*", "b", ""), Some(&with("b", "")));
        check(step("keep", |r| (from_a(r), r.regex = "Foo.*".into()).1), Some(&ALL));
        check(step("keep", |r| (from_a(r), r.regex = "Foo".into()).1), None);
        check(step("drop", |r| (from_a(r), r.regex = "Foo.*".into()).1), None);
        check(step("drop", |r| r.regex = "Foo.*".into()), Some(&ALL));
        let equal = |action, target: &str| {
            step(action, |r| {
                (r.source_labels, r.target_label) = (vec!["b".to_owned()], target.to_owned());
            })
        };
        check(equal("keepequal", "c"), Some(&ALL));
        check(equal("keepequal", "a"), None);
        check(equal("dropequal", "c"), None);
        check(equal("DropEqual", "a"), Some(&ALL));
        // MD5 of "Foo-bar" ends in 73c001822c4af0d2 (md5sum): 210 modulo 256.
        check(
            step("hashmod", |r| (from_a(r), r.modulus = 256, r.target_label = "d".into()).2),
            Some(&with("d", "210")),
        );
        check(
            step("labelmap", |r| (r.regex = "([bc])".into(), r.replacement = "${1}_x".into()).1),
            Some(&[ALL.as_slice(), &[("b_x", "x"), ("c_x", "x")]].concat()),
        );
        check(step("labeldrop", |r| r.regex = "a|b|c".into()), Some(&ALL[..1]));
        check(step("labelkeep", |r| r.regex = "b".into()), Some(&ALL[2..3]));
        check(step("labelkeep", |r| r.regex = "none".into()), None);
        check(step("lowercase", |r| (from_a(r), r.target_label = "a".into()).1), Some(&with("a", "foo-bar")));
        check(step("uppercase", |r| (from_a(r), r.target_label = "a".into()).1), Some(&with("a", "FOO-BAR")));
    }

    #[test]
    fn what_a_step_lacks_is_named() {
        let check = |action: &str, change: &dyn Fn(&mut RelabelRecord), want: &str| {
            let record = record(|record| (record.action = action.to_owned(), change(record)).1);
            let error = RelabelStep::new(&record).unwrap_err().to_string();
            assert!(error.contains(want), "{action}: {error}");
        };
        check("replace", &|_| (), "needs a target_label");
        check("hashmod", &|_| (), "needs a modulus");
        check("keepequal", &|r| r.regex = "a".into(), "nothing else");
        check("labeldrop", &|r| r.source_labels = vec!["a".into()], "takes a regex");
        check("lowercase", &|r| r.replacement = "x".into(), "no replacement");
        check("keep", &|r| r.regex = "(".into(), "regex");
        check("rename", &|_| (), "unknown action \"rename\"");
    }
}
