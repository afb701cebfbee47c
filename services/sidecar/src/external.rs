//! Adds the external labels of a Prometheus to labels.

use tithon_index::Labels;

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
    use super::*;

    #[test]
    fn external_labels_win() {
        let external = Labels::from_pairs([("replica", "a")]);
        let own = Labels::from_pairs([("job", "db"), ("replica", "mine")]);
        assert_eq!(extended(&own, &external), Labels::from_pairs([("job", "db"), ("replica", "a")]));
    }
}
