//! External labels against matchers. Thanos `pkg/store/prometheus.go`, `matchesExternalLabels`.

use tithon_index::{Labels, Matcher};

/// The matchers that the external labels do not decide, for the series that get these labels; `None` when an external
/// label contradicts a matcher, so that no series can match.
pub fn left_to_series(matchers: &[Matcher], external: &Labels) -> Option<Vec<Matcher>> {
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

#[cfg(test)]
mod tests {
    use tithon_index::MatchOp;

    use super::*;

    #[test]
    fn satisfied_ones_go_and_unsatisfied_ones_end_it() {
        let external = Labels::from_pairs([("cluster", "eu"), ("replica", "a")]);
        let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
        let job = matcher(MatchOp::Equal, "job", "api");
        let check = |ours: Matcher, want: Option<Vec<Matcher>>| {
            assert_eq!(left_to_series(&[ours, job.clone()], &external), want);
        };
        check(matcher(MatchOp::Equal, "cluster", "eu"), Some(vec![job.clone()]));
        check(matcher(MatchOp::Regex, "cluster", "e."), Some(vec![job.clone()]));
        check(matcher(MatchOp::Equal, "cluster", "us"), None);
        check(matcher(MatchOp::Equal, "cluster", ""), None);
        check(matcher(MatchOp::NotEqual, "replica", "a"), None);
        let other = matcher(MatchOp::NotEqual, "zone", "a");
        check(other.clone(), Some(vec![other, job.clone()]));
        assert_eq!(left_to_series(&[matcher(MatchOp::Equal, "replica", "a")], &external), Some(vec![]));
    }
}
