//! JSON as Go's decoder reads it into structures: a key in any case stands for the field of that name, the last of
//! several wins, `null` sets nothing. Go `encoding/json`.

use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Reads a structure. `fields` are the names of its fields and of those of all structures inside. Values below the keys
/// `maps` are read unchanged, because their keys are not names of fields.
pub fn from_slice<T: DeserializeOwned>(
    bytes: &[u8],
    fields: &[&str],
    maps: &[&str],
) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { fields, maps, inside_map: false }.deserialize(&mut json)?;
    json.end()?;
    serde_json::from_value(value)
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    fields: &'a [&'a str],
    maps: &'a [&'a str],
    inside_map: bool,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number without end"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            out.push(item);
        }
        Ok(out.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let field = self.fields.iter().find(|field| !self.inside_map && field.eq_ignore_ascii_case(&key));
            let key = field.map_or(key, |field| (*field).to_owned());
            let inside_map = self.inside_map || self.maps.contains(&key.as_str());
            let value = entries.next_value_seed(Seed { inside_map, ..self })?;
            if self.inside_map || !value.is_null() {
                set(&mut out, key, value);
            }
        }
        Ok(out.into())
    }
}

/// If a structure occurs twice, both fill it; of several other values the last one wins.
fn set(out: &mut Map<String, Value>, key: String, value: Value) {
    match (out.get_mut(&key), value) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            new.into_iter().for_each(|(key, value)| set(old, key, value));
        }
        (_, value) => drop(out.insert(key, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_go_takes_them() {
        let read = |text: &str| {
            from_slice::<Value>(text.as_bytes(), &["minTime", "labels", "a"], &["labels"]).unwrap()
        };
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        for (given, read_as) in [
            (r#"{"MINTIME": 1, "other": 2}"#, r#"{"minTime": 1, "other": 2}"#),
            (r#"{"minTime": 1, "MinTime": 2}"#, r#"{"minTime": 2}"#),
            (r#"{"minTime": 1, "minTime": null}"#, r#"{"minTime": 1}"#),
            (r#"{"Labels": {"A": "x", "a": null}}"#, r#"{"labels": {"A": "x", "a": null}}"#),
            (r#"{"a": {"A": 1}, "A": {"minTime": 2}}"#, r#"{"a": {"a": 1, "minTime": 2}}"#),
            (r#"[{"A": [1.5, true, "s", -1, null]}]"#, r#"[{"a": [1.5, true, "s", -1, null]}]"#),
        ] {
            assert_eq!(read(given), json(read_as), "{given}");
        }
        assert!(from_slice::<Value>(b"{} x", &[], &[]).is_err());
    }
}
