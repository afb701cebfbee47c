//! Matchers on whole blocks.

use tithon_engine::BlockId;
use tithon_index::{Labels, Matcher};

/// Whether a block satisfies matchers on its external labels and on `__block_id`.
pub(crate) fn block_matches(matchers: &[Matcher], external: &Labels, block: BlockId) -> bool {
    let id = block.to_string();
    matchers.iter().all(|matcher| match matcher.name() {
        b"__block_id" => matcher.matches(id.as_bytes()),
        name => matcher.matches(external.get(name).unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use tithon_index::MatchOp;

    use super::*;

    #[test]
    fn external_labels_and_ids_are_compared() {
        let external = Labels::from_pairs([("cluster", "eu")]);
        let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
        let block = BlockId::from_parts(1, 1);
        assert!(block_matches(&[matcher(MatchOp::Regex, "__block_id", ".+")], &external, block));
        assert!(!block_matches(&[matcher(MatchOp::NotEqual, "cluster", "eu")], &external, block));
    }
}
