//! External labels against matchers. Thanos `pkg/store/prometheus.go`, `matchesExternalLabels`.

use tithon_engine::BlockId;
pub(crate) use tithon_engine::plan::left_to_series;
use tithon_index::{Labels, Matcher};

/// Whether a block satisfies conditions on its external labels and on `__block_id`.
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
    fn satisfied_ones_go_and_unsatisfied_ones_end_it() {
        let external = Labels::from_pairs([("cluster", "eu")]);
        let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
        let job = matcher(MatchOp::Equal, "job", "api");
        let check = |ours: Matcher, want: Option<Vec<Matcher>>| {
            assert_eq!(left_to_series(&[ours, job.clone()], &external), want);
        };
        check(matcher(MatchOp::Equal, "cluster", "eu"), Some(vec![job.clone()]));
        check(matcher(MatchOp::Equal, "cluster", "us"), None);
        check(matcher(MatchOp::Equal, "cluster", ""), None);
        let other = matcher(MatchOp::NotEqual, "zone", "a");
        check(other.clone(), Some(vec![other, job.clone()]));
        let block = BlockId::from_parts(1, 1);
        assert!(block_matches(&[matcher(MatchOp::Regex, "__block_id", ".+")], &external, block));
        assert!(!block_matches(&[matcher(MatchOp::NotEqual, "cluster", "eu")], &external, block));
    }
}
