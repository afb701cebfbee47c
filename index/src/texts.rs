//! Many texts in one allocation.

use std::cmp::Ordering;

/// Appends a text that is short as a rule, as names and values of labels are: two copies of a fixed length, which overlap,
/// take a fraction of the time of one whose length is not known.
#[inline]
fn put_short(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        4..=8 => put_ends::<4>(out, text),
        9..=16 => put_ends::<8>(out, text),
        17..=32 => put_ends::<16>(out, text),
        _ => out.extend_from_slice(text),
    }
}

/// Appends a text of at least `N` bytes and at most twice as many.
#[inline]
fn put_ends<const N: usize>(out: &mut Vec<u8>, text: &[u8]) {
    let (Some(head), Some(tail)) = (text.first_chunk::<N>(), text.last_chunk::<N>()) else { return };
    let len = out.len() + text.len();
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
    out.truncate(len);
    out[len - N..].copy_from_slice(tail);
}

/// Texts packed one behind the other. Four hundred thousand label values are two allocations.
///
/// Each has in front of it what makes it an element of field 1 of a protobuf message: so all of them are sent by one copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// Key, length as a varint, and bytes of each text.
    bytes: Vec<u8>,
    /// Where each ends in `bytes`.
    ends: Vec<usize>,
}

/// The protobuf key of field 1, which is length-delimited.
const KEY: u8 = 1 << 3 | 2;

impl Texts {
    /// Room for so many texts, and for so many bytes of them all.
    pub fn with_capacity(texts: usize, bytes: usize) -> Texts {
        Texts { bytes: Vec::with_capacity(bytes + 2 * texts), ends: Vec::with_capacity(texts) }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Text `i`; `None` behind the last.
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        let start = if i == 0 { 0 } else { *self.ends.get(i - 1)? };
        Some(text_of(&self.bytes[start..*self.ends.get(i)?]))
    }

    /// All texts in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| text_of(&self.bytes[std::mem::replace(&mut start, *end)..*end]))
    }

    /// All texts as the repeated field 1 of a protobuf message.
    pub fn as_field_1(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a text.
    #[inline]
    pub fn push(&mut self, text: &[u8]) {
        match u8::try_from(text.len()) {
            Ok(len @ 0..0x80) => self.bytes.extend_from_slice(&[KEY, len]),
            _ => put_long_head(text.len(), &mut self.bytes),
        }
        put_short(&mut self.bytes, text);
        self.ends.push(self.bytes.len());
    }

    /// Appends all texts of another list.
    pub fn append(&mut self, other: &Texts) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| start + end));
    }

    /// Keeps the first `n` texts.
    pub fn truncate(&mut self, n: usize) {
        self.ends.truncate(n);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// The texts of both lists, each once, ascending as both must be.
    pub fn union(self, other: Texts) -> Texts {
        if self.is_empty() || other.is_empty() {
            return if self.is_empty() { other } else { self };
        }
        let (texts, bytes) = (self.len().max(other.len()), self.bytes.len().max(other.bytes.len()));
        let mut out = Texts::with_capacity(texts, bytes);
        let (mut first, mut second) = (self.iter().peekable(), other.iter().peekable());
        while let (Some(a), Some(b)) = (first.peek(), second.peek()) {
            let order = a.cmp(b);
            out.push(if order.is_gt() { b } else { a });
            if order != Ordering::Greater {
                first.next();
            }
            if order != Ordering::Less {
                second.next();
            }
        }
        out.extend(first.chain(second));
        out
    }
}

/// Appends key and length of a text of 128 bytes and more.
#[cold]
fn put_long_head(mut len: usize, out: &mut Vec<u8>) {
    out.push(KEY);
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

/// The text behind its key and length.
#[inline]
fn text_of(element: &[u8]) -> &[u8] {
    match element {
        [_, 0..0x80, text @ ..] => text,
        _ => {
            let head = element.iter().skip(1).position(|byte| *byte < 0x80).map_or(0, |last| last + 2);
            &element[head..]
        }
    }
}

impl<T: AsRef<[u8]>> Extend<T> for Texts {
    fn extend<I: IntoIterator<Item = T>>(&mut self, texts: I) {
        texts.into_iter().for_each(|text| self.push(text.as_ref()));
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Texts {
        let texts = texts.into_iter();
        let mut out = Texts::with_capacity(texts.size_hint().0, 0);
        out.extend(texts);
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set() -> impl Strategy<Value = BTreeSet<String>> {
        prop::collection::btree_set("[a-c]{0,3}", 0..9)
    }

    #[test]
    fn texts_of_every_length_come_back() {
        let long: Vec<u8> = (0..20_000).map(|i| i as u8).collect();
        let lengths = || (0..300).chain([16_383, 16_384, 20_000]);
        let all: Texts = lengths().map(|len| &long[..len]).collect();
        assert!(all.iter().eq(lengths().map(|len| &long[..len])));
    }

    proptest! {
        #[test]
        fn they_are_as_a_set_has_them(first in set(), second in set(), n in 0usize..12) {
            let texts: Texts = first.iter().collect();
            let mut twice = texts.clone();
            twice.append(&second.iter().collect());
            prop_assert_eq!(twice, first.iter().chain(&second).collect::<Texts>());
            prop_assert_eq!(texts.len(), first.len());
            prop_assert!(texts.iter().eq(first.iter().map(String::as_bytes)));
            for (i, text) in first.iter().enumerate() {
                prop_assert_eq!(texts.get(i), Some(text.as_bytes()));
            }
            prop_assert_eq!(texts.get(first.len()), None);
            let both = texts.clone().union(second.iter().collect());
            prop_assert_eq!(both, first.union(&second).collect::<Texts>());
            let mut fewer = texts;
            fewer.truncate(n);
            prop_assert_eq!(fewer, first.iter().take(n).collect::<Texts>());
        }
    }
}
