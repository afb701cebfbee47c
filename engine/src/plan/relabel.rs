//! The blocks that a compactor is responsible for, selected by relabelling their external labels: `keep`, `drop`,
//! `hashmod`. Prometheus `model/relabel/relabel.go`, Thanos `pkg/block/fetcher.go`.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use tithon_index::Matcher;

use crate::BlockMeta;

/// One relabelling step.
#[derive(Clone, Debug)]
pub struct ShardRule {
    /// Labels whose values are joined; absent ones count as empty.
    pub source_labels: Vec<String>,
    /// Separator of the joined values.
    pub separator: String,
    /// The action on the joined value.
    pub action: ShardAction,
}

/// The action of a step.
#[derive(Clone, Debug)]
pub enum ShardAction {
    /// Keeps blocks that match.
    Keep(Matcher),
    /// Keeps blocks that do not match.
    Drop(Matcher),
    /// Writes the value's MD5 modulo `modulus`, at least 1, into a label, for a later step.
    HashMod {
        /// The number of shards.
        modulus: u64,
        /// The label.
        target: String,
    },
}

/// Whether the steps keep the block. Its labels are the external labels without `replica_labels`, and `__block_id`.
pub fn is_kept(block: &BlockMeta, replica_labels: &[String], rules: &[ShardRule]) -> bool {
    let mut labels: BTreeMap<String, String> =
        block.thanos.as_ref().map(|thanos| thanos.labels.clone()).unwrap_or_default();
    labels.retain(|name, _| !replica_labels.contains(name));
    labels.insert("__block_id".to_owned(), block.ulid.to_string());
    keeps(labels, rules)
}

/// Whether the steps keep the labels.
pub fn keeps(mut labels: BTreeMap<String, String>, rules: &[ShardRule]) -> bool {
    rules.iter().all(|rule| {
        let of = |name: &String| labels.get(name).map_or("", String::as_str);
        let value = rule.source_labels.iter().map(of).collect::<Vec<_>>().join(&rule.separator);
        match &rule.action {
            ShardAction::Keep(matcher) => matcher.matches(value.as_bytes()),
            ShardAction::Drop(matcher) => !matcher.matches(value.as_bytes()),
            ShardAction::HashMod { modulus, target } => {
                labels.insert(target.clone(), (lower_half_of_md5(&value) % (*modulus).max(1)).to_string());
                true
            }
        }
    })
}

fn lower_half_of_md5(value: &str) -> u64 {
    let hash = Md5::digest(value.as_bytes());
    hash.iter().skip(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use tithon_index::MatchOp;

    use super::*;
    use crate::ThanosMeta;
    use crate::plan::duplicates::tests::meta;

    fn rule(label: &str, action: ShardAction) -> ShardRule {
        ShardRule { source_labels: vec![label.to_owned()], separator: ";".to_owned(), action }
    }

    fn regex(pattern: &str) -> Matcher {
        Matcher::new(MatchOp::Regex, "", pattern).unwrap()
    }

    #[test]
    fn keep_and_drop_match_the_whole_value() {
        let mut block = meta(1, 0, 1, &[]);
        let labels = [("cluster", "eu1"), ("replica", "a")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        block.thanos = Some(ThanosMeta { labels: labels.into(), ..ThanosMeta::default() });
        let check = |rules: &[ShardRule], kept: bool| {
            assert_eq!(is_kept(&block, &["replica".to_owned()], rules), kept, "{rules:?}");
        };
        check(&[], true);
        check(&[rule("cluster", ShardAction::Keep(regex("eu.")))], true);
        check(&[rule("cluster", ShardAction::Keep(regex("e")))], false);
        check(&[rule("cluster", ShardAction::Drop(regex("eu1|us1")))], false);
        check(&[rule("replica", ShardAction::Drop(regex("a")))], true);
        check(&[rule("__block_id", ShardAction::Keep(regex(&block.ulid.to_string())))], true);
        // MD5 of "eu1" ends in 310e81bb7d4e71c4 (md5sum): 4 modulo 8.
        let shard = ShardAction::HashMod { modulus: 8, target: "shard".to_owned() };
        check(&[rule("cluster", shard.clone()), rule("shard", ShardAction::Keep(regex("4")))], true);
        check(&[rule("cluster", shard), rule("shard", ShardAction::Keep(regex("0")))], false);
    }
}
