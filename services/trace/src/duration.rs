//! Durations of configurations.

use std::time::Duration;

use serde::Deserialize;

/// A duration in Go's YAML: a number of nanoseconds, or a text such as `5s`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct GoDuration(Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Nanos(u64),
    Text(String),
}

impl TryFrom<Written> for GoDuration {
    type Error = String;

    fn try_from(written: Written) -> Result<GoDuration, String> {
        match written {
            Written::Nanos(nanos) => Ok(GoDuration(Duration::from_nanos(nanos))),
            Written::Text(text) => humantime::parse_duration(&text)
                .map(GoDuration)
                .map_err(|_| "expected a duration such as 5s".to_owned()),
        }
    }
}

impl GoDuration {
    /// The duration; `None` for zero, which means the default.
    pub(crate) fn given(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_texts_or_nanoseconds() {
        let read = |yaml: &str| serde_saphyr::from_str::<GoDuration>(yaml).unwrap().given();
        assert_eq!(read("5s"), Some(Duration::from_secs(5)));
        assert_eq!(read("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(read("1000000000"), Some(Duration::from_secs(1)));
        assert_eq!(read("0"), None);
        assert!(serde_saphyr::from_str::<GoDuration>("soon").is_err());
    }
}
