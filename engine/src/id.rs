//! The id of a block: a ULID, with 48 bits of milliseconds and 80 random bits, written as 26 characters of base 32.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// The id of a block. Ids sort by their times, as their texts do.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(u128);

/// Why a text is not a block id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a block id: expected 26 characters of Crockford's base 32, at most 7ZZZ...")]
pub struct BlockIdError {
    /// The text, cut to 40 characters.
    pub text: String,
}

impl BlockId {
    /// The id of time `unix_ms` (its lower 48 bits count) with 80 bits of `random`.
    pub const fn from_parts(unix_ms: u64, random: u128) -> BlockId {
        BlockId((unix_ms as u128 & ((1 << 48) - 1)) << 80 | random & ((1 << 80) - 1))
    }

    /// The time in the id, milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The 128 bits as a number.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// Whether the id is all zero, as the dummy parent of blocks that a head cut with a hint.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for BlockId {
    type Err = BlockIdError;

    fn from_str(text: &str) -> Result<BlockId, BlockIdError> {
        let error = || BlockIdError { text: text.chars().take(40).collect() };
        if text.len() != 26 || text.as_bytes()[0] > b'7' {
            return Err(error());
        }
        Ulid::from_string(text).map(|ulid| BlockId(ulid.0)).map_err(|_| error())
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Ulid(self.0), f)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BlockId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BlockId, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_parts() {
        let id: BlockId = "01HWSBT1R0PHQKZHX3A9M84TWN".parse().unwrap();
        assert_eq!(id.to_string(), "01HWSBT1R0PHQKZHX3A9M84TWN");
        assert_eq!(BlockId::from_parts(id.unix_ms(), id.as_u128()), id);
        assert_eq!(id.unix_ms(), 1_714_543_200_000);
        assert!("00000000000000000000000000".parse::<BlockId>().unwrap().is_zero());
    }

    #[test]
    fn what_is_no_id() {
        for text in [
            "",
            "debug",
            "01HWSBT1R0PHQKZHX3A9M84TW",
            "01HWSBT1R0PHQKZHX3A9M84TW!",
            "81HWSBT1R0PHQKZHX3A9M84TWN",
        ] {
            assert!(text.parse::<BlockId>().is_err(), "{text}");
        }
        assert!("01HWSBT1R0PHQKZHX3A9M84TW\u{e9}".parse::<BlockId>().is_err());
        assert!("\u{e9}1HWSBT1R0PHQKZHX3A9M84TW".parse::<BlockId>().is_err());
    }
}
