//! Label sets in the JSON of Prometheus's HTTP API.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tithon_index::{LabelStack, Labels};

/// A label set, read from an object without a map in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonLabels(pub Labels);

/// A string that is borrowed where the text has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for JsonLabels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JsonLabels, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = JsonLabels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of label names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonLabels, A::Error> {
        let mut pairs: Vec<(Cow<'de, str>, Cow<'de, str>)> = Vec::with_capacity(16);
        let mut is_sorted = true;
        while let Some((Text(name), Text(value))) = map.next_entry()? {
            is_sorted &= !value.is_empty() && pairs.last().is_none_or(|(last, _)| *last < name);
            pairs.push((name, value));
        }
        if !is_sorted {
            let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            return Ok(JsonLabels(Labels::from_pairs(pairs)));
        }
        let mut stack = LabelStack::default();
        pairs.iter().for_each(|(name, value)| stack.push(name.as_bytes(), value.as_bytes()));
        Ok(JsonLabels(stack.labels()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_in_any_order() {
        let read = |text: &str| serde_json::from_str::<JsonLabels>(text).map(|set| set.0.to_string());
        assert_eq!(read(r#"{"a":"1","b\n":"é\u00e9"}"#).unwrap(), "{a=\"1\", \"b\\n\"=\"éé\"}");
        assert_eq!(read(r#"{"b":"2","a":"1","c":"","b":"3"}"#).unwrap(), r#"{a="1", b="3"}"#);
        assert_eq!(read("{}").unwrap(), "{}");
        assert!(read(r#"{"a":1}"#).is_err() && read(r#"["a"]"#).is_err());
    }
}
