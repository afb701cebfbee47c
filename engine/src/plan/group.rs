//! Groups: blocks of one resolution and one shard with equal external labels, not counting replica labels. Only blocks
//! of one group are ever merged.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde_json::Value;
use xxhash_rust::xxh64::Xxh64;

use super::shard::{self, ShardClass};
use crate::{BlockMeta, ThanosMeta};

/// Blocks that may be merged with each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The [`group_key`] of every member; for shards followed by `-`, index, `-of-` and count.
    pub key: String,
    /// The external labels without replica labels.
    pub labels: BTreeMap<String, String>,
    /// The resolution, milliseconds; 0 is raw.
    pub resolution_ms: i64,
    /// The series that the members hold.
    pub class: ShardClass,
    /// The members by first time, then id.
    pub blocks: Vec<BlockMeta>,
}

/// The name of a block's group: its resolution, `@`, and XXH64 of the external labels that are not replica labels.
pub fn group_key(resolution_ms: i64, labels: &BTreeMap<String, String>) -> String {
    let mut hash = Xxh64::new(0);
    for (name, value) in labels {
        hash.update(name.as_bytes());
        hash.update(&[0xff]);
        hash.update(value.as_bytes());
        hash.update(&[0xff]);
    }
    format!("{resolution_ms}@{}", hash.digest())
}

/// Sorts blocks into groups, ascending by key. The members keep their own labels.
pub fn group(blocks: impl IntoIterator<Item = BlockMeta>, replica_labels: &[String]) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for block in blocks {
        let mut labels = block.thanos.as_ref().map(|t| t.labels.clone()).unwrap_or_default();
        labels.retain(|name, _| !replica_labels.contains(name));
        let (resolution_ms, class) = (block.resolution_ms(), ShardClass::of(&block));
        let key = sharded_key(group_key(resolution_ms, &labels), class);
        let new = || Group { key: key.clone(), labels, resolution_ms, class, blocks: Vec::new() };
        groups.entry(key.clone()).or_insert_with(new).blocks.push(block);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        group.blocks.sort_by_key(|b| (b.min_time, b.ulid));
    }
    groups
}

/// Sorts blocks into families: equal labels and resolution, whatever the shard. Only blocks of the same family can hold
/// a block's data.
pub fn families<M: Borrow<BlockMeta>>(blocks: impl IntoIterator<Item = M>) -> Vec<Vec<M>> {
    let (none, mut families) = (BTreeMap::new(), BTreeMap::<String, Vec<M>>::new());
    for block in blocks {
        let meta = block.borrow();
        let key = group_key(meta.resolution_ms(), meta.thanos.as_ref().map_or(&none, |t| &t.labels));
        families.entry(key).or_default().push(block);
    }
    families.into_values().collect()
}

fn sharded_key(key: String, class: ShardClass) -> String {
    match class {
        ShardClass::ALL => key,
        ShardClass { index, count } => format!("{key}-{index}-of-{count}"),
    }
}

impl Group {
    /// The extensions of a block merged from this group: the entries of the first member whose extensions are an
    /// object, if every other such member has the key too. Entries about shards are left out, as they belong to one
    /// block.
    pub fn extensions(&self) -> Option<Value> {
        let of = |block: &BlockMeta| {
            let Value::Object(mut map) = block.thanos.as_ref()?.extensions.clone()? else { return None };
            let alone = map.remove(shard::KEY).is_some() && map.is_empty();
            (!alone).then_some(map)
        };
        let mut members = self.blocks.iter().filter_map(of);
        let mut common = members.next()?;
        for other in members {
            common.retain(|key, _| other.contains_key(key));
        }
        Some(Value::Object(common))
    }

    /// The `thanos` section of a block merged from this group.
    pub fn thanos_meta(&self) -> ThanosMeta {
        ThanosMeta {
            labels: self.labels.clone(),
            downsample: crate::Downsample { resolution: self.resolution_ms },
            source: crate::SourceType::Compactor,
            extensions: self.extensions(),
            ..ThanosMeta::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
    }

    #[test]
    fn keys_are_upstreams() {
        assert_eq!(group_key(0, &labels(&[])), "0@17241709254077376921");
        assert_eq!(group_key(0, &labels(&[("foo", "bar"), ("foo1", "bar2")])), "0@2124638872457683483");
        let odd = labels(&[("foo/some..thing/some.thing/../", r"a_b_c/bar-something-a\metric/a\x")]);
        assert_eq!(group_key(0, &odd), "0@16590761456214576373");
        assert!(group_key(300_000, &labels(&[])).starts_with("300000@"));
    }

    #[test]
    fn replicas_share_a_group_and_resolutions_do_not() {
        let block = |id: u64, replica: &str, resolution: i64| {
            let mut meta = meta(id, 10 - id as i64, 20, &[id]);
            meta.thanos = Some(ThanosMeta {
                labels: labels(&[("cluster", "a"), ("replica", replica)]),
                downsample: crate::Downsample { resolution },
                ..ThanosMeta::default()
            });
            meta
        };
        let blocks = [block(1, "a", 0), block(2, "b", 0), block(3, "a", 300_000)];
        assert_eq!(group(blocks.clone(), &[]).len(), 3);
        let groups = group(blocks, &["replica".to_owned()]);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].blocks.iter().map(|b| b.ulid.unix_ms()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(groups[0].thanos_meta().labels, labels(&[("cluster", "a")]));
    }

    #[test]
    fn shards_have_groups_of_their_own_in_one_family() {
        use crate::plan::shard::tests::shard;
        let shards = |id| [0, 1].map(|i| shard(id + u64::from(i), (0, 2), (i, 2), &[0, 1], &[1]));
        let blocks: Vec<BlockMeta> =
            shards(2).into_iter().chain(shards(4)).chain([meta(1, 0, 20, &[1])]).collect();
        let groups = group(blocks.clone(), &[]);
        let key = group_key(0, &labels(&[]));
        let keys: Vec<&str> = groups.iter().map(|g| g.key.as_str()).collect();
        assert_eq!(keys, [key.clone(), format!("{key}-0-of-2"), format!("{key}-1-of-2")]);
        assert_eq!(groups.iter().map(|g| g.blocks.len()).collect::<Vec<_>>(), [1, 2, 2]);
        assert!(groups.iter().all(|g| g.extensions().is_none()));
        assert_eq!(families(blocks).len(), 1);
    }

    #[test]
    fn extensions_are_what_all_objects_share() {
        let with = |id: u64, extensions: Value| {
            let mut meta = meta(id, id as i64, 20, &[id]);
            meta.thanos = Some(ThanosMeta { extensions: Some(extensions), ..ThanosMeta::default() });
            meta
        };
        let blocks = [
            with(1, serde_json::json!([1])),
            with(2, serde_json::json!({"a": 1, "b": 2})),
            with(3, serde_json::json!({"a": 3, "c": 2})),
            meta(4, 4, 20, &[4]),
        ];
        assert_eq!(group(blocks, &[])[0].extensions(), Some(serde_json::json!({"a": 1})));
    }
}
