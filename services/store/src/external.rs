//! Matches external labels. Thanos `pkg/store/prometheus.go`, `matchesExternalLabels`.

use tithon_engine::BlockId;
use tithon_index::{Labels, Matcher};

/// The matchers on labels that are not external, which the series of a block must satisfy; `None` when an external
/// label contradicts a matcher, so that no series can match.
pub(crate) fn left_to_series(matchers: &[Matcher], external: &Labels) -> Option<Vec<Matcher>> {
    let mut left = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match external.get(matcher.name()) {
            None => left.push(matcher.clone()),
            Some(value) if matcher.matches(value) => {}
            Some(_) => return None,
        }
    }
    Some(left)
}

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
