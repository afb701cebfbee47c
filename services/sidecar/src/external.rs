//! External labels of a Prometheus: matchers on them, and adding them to series.

use tithon_index::{Labels, Matcher};

/// The matchers to send to Prometheus, without those on external labels; `None` when one of these contradicts an
/// external label. Thanos `pkg/store/prometheus.go`, `matchesExternalLabels`.
pub(crate) fn left_for_prometheus(matchers: &[Matcher], external: &Labels) -> Option<Vec<Matcher>> {
    let mut left = Vec::new();
    for matcher in matchers {
        match external.get(matcher.name()) {
            None => left.push(matcher.clone()),
            Some(value) if matcher.matches(value) => {}
            Some(_) => return None,
        }
    }
    Some(left)
}

/// Adds external labels, which replace labels of the same name.
pub(crate) fn extended(labels: &Labels, external: &Labels) -> Labels {
    let mut builder = labels.to_builder();
    for (name, value) in external.iter() {
        builder.set(name, value);
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use tithon_index::MatchOp;

    use super::*;

    #[test]
    fn matchers_on_external_labels_are_answered_here() {
        let external = Labels::from_pairs([("cluster", "eu"), ("replica", "a")]);
        let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
        let job = matcher(MatchOp::Equal, "job", "db");
        let left = |matchers: &[Matcher]| left_for_prometheus(matchers, &external);
        assert_eq!(left(&[job.clone(), matcher(MatchOp::Regex, "cluster", "e.")]), Some(vec![job.clone()]));
        assert_eq!(left(&[job.clone(), matcher(MatchOp::NotEqual, "replica", "a")]), None);
        assert_eq!(left(&[matcher(MatchOp::Equal, "replica", "a")]), Some(vec![]));
    }

    #[test]
    fn external_labels_win() {
        let external = Labels::from_pairs([("replica", "a")]);
        let own = Labels::from_pairs([("job", "db"), ("replica", "mine")]);
        assert_eq!(extended(&own, &external), Labels::from_pairs([("job", "db"), ("replica", "a")]));
    }
}
