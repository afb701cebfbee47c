//! `google.protobuf.Any`, in which hints travel.

use prost::Message;
use prost_types::Any;

use crate::{ConvertError, hintspb};

/// A message that travels as a hint.
pub trait Hint: Message + Default {
    /// Package and name.
    const FULL_NAME: &'static str;
}

macro_rules! hints {
    ($($name:ident),*) => {
        $(impl Hint for hintspb::$name {
            const FULL_NAME: &'static str = concat!("hintspb.", stringify!($name));
        })*
    };
}

hints!(
    SeriesRequestHints,
    SeriesResponseHints,
    LabelNamesRequestHints,
    LabelNamesResponseHints,
    LabelValuesRequestHints,
    LabelValuesResponseHints
);

/// Packs a hint under `type.googleapis.com/` and its full name.
pub fn hint_to_any<M: Hint>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::FULL_NAME), value: message.encode_to_vec() }
}

/// Unpacks a hint. Only what follows the last slash of the type URL is compared, as upstream does.
pub fn hint_from_any<M: Hint>(any: &Any) -> Result<M, ConvertError> {
    let Some((_, got)) = any.type_url.rsplit_once('/') else {
        return Err(ConvertError::TypeUrl(any.type_url.clone()));
    };
    if got != M::FULL_NAME {
        return Err(ConvertError::MessageType { got: got.to_owned(), want: M::FULL_NAME });
    }
    M::decode(any.value.as_slice())
        .map_err(|error| ConvertError::Message { message: M::FULL_NAME, error: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hintspb::{Block, LabelNamesResponseHints, SeriesRequestHints};

    #[test]
    fn there_and_back() {
        let hints = LabelNamesResponseHints { queried_blocks: vec![Block { id: "x".into() }] };
        assert_eq!(hint_from_any::<LabelNamesResponseHints>(&hint_to_any(&hints)).unwrap(), hints);
    }

    #[test]
    fn what_is_refused() {
        let check = |url: &str, value: &[u8], want: &str| {
            let any = Any { type_url: url.into(), value: value.into() };
            let error = hint_from_any::<SeriesRequestHints>(&any).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        };
        check("x", b"", "message type url \"x\" is invalid");
        let mismatch = "mismatched message type: got \"thanos.Nonsense\" want \"hintspb.SeriesRequestHints\"";
        check("type.googleapis.com/thanos.Nonsense", b"", mismatch);
        check("a/hintspb.SeriesRequestHints", b"\xff", "decode hintspb.SeriesRequestHints: ");
    }
}
