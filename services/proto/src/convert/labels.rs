//! Label sets on the wire.

use bytes::Bytes;
use tithon_index::Labels;

use crate::thanos::{Label, LabelSet};

/// A label set from the pairs of a message; sorts them and drops empty values where a sender did not.
pub fn labels_from_wire(pairs: &[Label]) -> Labels {
    let ascending = pairs.windows(2).all(|pair| pair[0].name < pair[1].name);
    if ascending && pairs.iter().all(|label| !label.value.is_empty()) {
        Labels::from_sorted(pairs.iter().map(|label| (label.name.as_ref(), label.value.as_ref())))
    } else {
        Labels::from_pairs(pairs.iter().map(|label| (&label.name, &label.value)))
    }
}

/// The pairs of a label set; all of them share one allocation.
pub fn labels_to_wire(labels: &Labels) -> Vec<Label> {
    let mut arena = Vec::with_capacity(labels.bytes());
    for (name, value) in labels.iter() {
        arena.extend_from_slice(name);
        arena.extend_from_slice(value);
    }
    let mut rest = Bytes::from(arena);
    labels
        .iter()
        .map(|(name, value)| Label { name: rest.split_to(name.len()), value: rest.split_to(value.len()) })
        .collect()
}

/// A label set as a message.
pub fn label_set(labels: &Labels) -> LabelSet {
    LabelSet { labels: labels_to_wire(labels) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let labels = Labels::from_pairs([("a", b"1".as_slice()), ("b", b"\xff\xfe")]);
        assert_eq!(labels_from_wire(&labels_to_wire(&labels)), labels);
        assert!(labels_to_wire(&Labels::default()).is_empty());
    }

    #[test]
    fn a_careless_sender_is_put_right() {
        let pair = |n: &'static str, v: &'static str| Label { name: n.into(), value: v.into() };
        let got = labels_from_wire(&[pair("b", "2"), pair("a", "1"), pair("c", "")]);
        assert_eq!(got.to_string(), r#"{a="1", b="2"}"#);
    }
}
