//! A label set: pairs of name and value, sorted by name, in one shared buffer.
//!
//! The buffer's layout is that of Prometheus's default build (`model/labels/labels_stringlabels.go`), because
//! `limit_ratio` and shard hashes are computed over it: name and value in turn, each behind its length (one byte
//! below 255, else 255 and three bytes, least significant first).

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A label set. Names ascend bytewise and are unique; values are never empty (an absent label equals the empty
/// string). Names and values are UTF-8 by convention only, so they are bytes here. Cloning shares the buffer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    data: Arc<[u8]>,
}

/// The name of the label that holds the metric name.
pub const METRIC_NAME: &[u8] = b"__name__";

impl Default for Labels {
    fn default() -> Labels {
        Labels { data: Arc::from([].as_slice()) }
    }
}

impl Labels {
    /// Sorts the pairs by name; of a name given twice the later value stays; empty values are left out.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.finish()
    }

    /// Takes pairs that already ascend strictly by name and have no empty value, as an index stores them.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Labels {
        Labels::from_sorted_in(&mut Vec::with_capacity(256), pairs)
    }

    /// The same, putting the pairs together in a buffer that can be used again.
    pub(crate) fn from_sorted_in<'a>(
        buffer: &mut Vec<u8>,
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Labels {
        buffer.clear();
        for (name, value) in pairs {
            push_pair(buffer, name, value);
        }
        Labels::from_packed(buffer)
    }

    /// Takes pairs that [`push_pair`] appended, each name once and ascending, no value empty.
    pub(crate) fn from_packed(packed: &[u8]) -> Labels {
        Labels { data: packed.into() }
    }

    /// The value of `name`, if the label is there.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        for (n, v) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(v),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The value of `__name__`, if there is one.
    pub fn metric_name(&self) -> Option<&[u8]> {
        self.get(METRIC_NAME)
    }

    /// Pairs of name and value, ascending by name.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { rest: &self.data }
    }

    /// The shared buffer. Sets that begin with the same bytes up to the end of a pair ([`LabelsIter::rest`]) begin with the
    /// same labels.
    pub fn packed(&self) -> &[u8] {
        &self.data
    }

    /// The pairs that begin at this place of the buffer, which must be the end of a pair or 0.
    pub fn iter_from(&self, place: usize) -> LabelsIter<'_> {
        LabelsIter { rest: self.data.get(place..).unwrap_or_default() }
    }

    /// Number of labels; walks the set.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Bytes held by the shared buffer.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The number of labels that both begin with, and which of the two comes first.
    pub fn compare(&self, other: &Labels) -> (usize, Ordering) {
        let (a, b) = (self.packed(), other.packed());
        // Sizes are among the bytes: labels within the common ones are the same.
        let common = common_bytes(a, b);
        let (mut shared, mut here) = (0, self.iter());
        loop {
            let mut next = here.clone();
            if next.next().is_none() || a.len() - next.rest() > common {
                let mut there = LabelsIter { rest: &b[a.len() - here.rest()..] };
                return (shared, here.next().cmp(&there.next()));
            }
            (shared, here) = (shared + 1, next);
        }
    }

    /// XXH64 (seed 0) over the buffer: the hash of Prometheus's default build.
    pub fn hash64(&self) -> u64 {
        xxhash_rust::xxh64::xxh64(&self.data, 0)
    }

    /// The labels but for those named.
    pub fn without(&self, names: &[impl AsRef<[u8]>]) -> Labels {
        if names.iter().all(|name| self.get(name).is_none()) {
            return self.clone();
        }
        let is_named = |label: &[u8]| names.iter().any(|name| name.as_ref() == label);
        Labels::from_sorted(self.iter().filter(|(name, _)| !is_named(name)))
    }

    /// A builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }
}

/// The number of bytes that both begin with.
fn common_bytes(a: &[u8], b: &[u8]) -> usize {
    let (eights, _) = a.as_chunks::<8>();
    let whole = eights.iter().zip(b.as_chunks::<8>().0).take_while(|(a, b)| a == b).count() * 8;
    whole + a[whole..].iter().zip(&b[whole..]).take_while(|(a, b)| a == b).count()
}

/// By label in turn, name before value; a set that is the start of another comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        self.compare(other).1
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `{a="1", b="2"}`; values quoted as Go does, names too where they are not plain identifiers.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write_name(f, name)?;
            f.write_str("=")?;
            write_quoted(f, value)?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

type OwnedPair = (Box<[u8]>, Box<[u8]>);

/// Collects labels in any order.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<OwnedPair>,
}

impl LabelsBuilder {
    /// Sets `name` to `value`; an empty value deletes the label.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> &mut LabelsBuilder {
        match self.pairs.binary_search_by(|(n, _)| n.as_ref().cmp(name)) {
            Ok(i) if value.is_empty() => drop(self.pairs.remove(i)),
            Ok(i) => self.pairs[i].1 = value.into(),
            Err(_) if value.is_empty() => {}
            Err(i) => self.pairs.insert(i, (name.into(), value.into())),
        }
        self
    }

    /// Removes `name`, if it is there.
    pub fn remove(&mut self, name: &[u8]) -> &mut LabelsBuilder {
        self.pairs.retain(|(n, _)| n.as_ref() != name);
        self
    }

    /// Keeps only the labels for which `keep` holds of the name.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) -> &mut LabelsBuilder {
        self.pairs.retain(|(n, _)| keep(n));
        self
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let i = self.pairs.binary_search_by(|(n, _)| n.as_ref().cmp(name)).ok()?;
        Some(&self.pairs[i].1)
    }

    /// The label set.
    pub fn finish(&self) -> Labels {
        Labels::from_sorted(self.pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())))
    }
}

/// Pairs of name and value of a [`Labels`].
#[derive(Clone, Debug)]
pub struct LabelsIter<'a> {
    rest: &'a [u8],
}

impl LabelsIter<'_> {
    /// Bytes of the buffer that hold the pairs still to come.
    pub fn rest(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let name = take_sized(&mut self.rest);
        let value = take_sized(&mut self.rest);
        Some((name, value))
    }
}

/// Sizes from here on cannot be told in three bytes: they take eight more.
const SIZE_24_MAX: usize = (1 << 24) - 1;

/// Appends a pair in the layout of a [`Labels`].
pub(crate) fn push_pair(data: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_sized(data, name);
    push_sized(data, value);
}

#[inline]
fn push_sized(data: &mut Vec<u8>, s: &[u8]) {
    let len = s.len();
    if len < 255 {
        data.push(len as u8);
    } else {
        data.push(255);
        data.extend_from_slice(&(len.min(SIZE_24_MAX) as u32).to_le_bytes()[..3]);
        if len >= SIZE_24_MAX {
            data.extend_from_slice(&(len as u64).to_le_bytes());
        }
    }
    data.extend_from_slice(s);
}

#[inline]
fn take_sized<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let data = *rest;
    let (mut len, mut at) = (data[0] as usize, 1);
    if len == 255 {
        len = data[1] as usize | (data[2] as usize) << 8 | (data[3] as usize) << 16;
        at = 4;
        if len == SIZE_24_MAX {
            let bytes: [u8; 8] = data[4..12].try_into().expect("written by push_sized");
            (len, at) = (u64::from_le_bytes(bytes) as usize, 12);
        }
    }
    *rest = &data[at + len..];
    &data[at..at + len]
}

fn is_identifier(name: &[u8]) -> bool {
    !name.is_empty()
        && !name[0].is_ascii_digit()
        && name.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_')
}

/// Writes a label name: plain when it is an identifier, else quoted.
pub fn write_name(f: &mut impl fmt::Write, name: &[u8]) -> fmt::Result {
    if is_identifier(name) {
        f.write_str(std::str::from_utf8(name).unwrap_or_default())
    } else {
        write_quoted(f, name)
    }
}

/// Writes `s` in double quotes, escaped as Go's `strconv.Quote` does for printable text.
pub fn write_quoted(f: &mut impl fmt::Write, s: &[u8]) -> fmt::Result {
    f.write_char('"')?;
    for chunk in s.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{b}' => f.write_str("\\v")?,
                '\u{c}' => f.write_str("\\f")?,
                c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(f, "\\x{:02x}", c as u32)?,
                c if is_unprintable(c) && (c as u32) < 0x10000 => write!(f, "\\u{:04x}", c as u32)?,
                c if is_unprintable(c) => write!(f, "\\U{:08x}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    f.write_char('"')
}

/// Close to Go's `!strconv.IsPrint`: controls, separators other than space, private use, surrogates' neighbours.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c as u32, 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xe000..=0xf8ff | 0xfff0..=0xfffb | 0xfffe | 0xffff | 0xe0000..=0x10ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sorted_unique_and_without_empty_values() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(labels.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!(labels.get("b"), Some(b"3".as_slice()));
        assert_eq!(labels.get("c"), None);
    }

    #[test]
    fn named_labels_are_removed() {
        let labels = Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(labels.without(&["c", "a", "x"]), Labels::from_pairs([("b", "2")]));
        assert_eq!(labels.without(&["x"]), labels);
        assert_eq!(labels.without(&[] as &[&str]), labels);
    }

    #[test]
    fn long_values_keep_their_length() {
        for len in [254, 255, 256, 65_536, SIZE_24_MAX - 1, SIZE_24_MAX, SIZE_24_MAX + 1] {
            let value = vec![b'x'; len];
            let labels = Labels::from_pairs([("a", value.as_slice()), ("b", b"1")]);
            assert_eq!(labels.get("a").map(<[u8]>::len), Some(len));
            assert_eq!(labels.get("b"), Some(b"1".as_slice()));
        }
    }

    #[test]
    fn order_is_by_name_then_value_then_length() {
        let l = |p: &[(&str, &str)]| Labels::from_pairs(p.iter().copied());
        assert!(l(&[("a", "1")]) < l(&[("a", "1"), ("b", "1")]));
        assert!(l(&[("a", "2")]) > l(&[("a", "1"), ("b", "1")]));
        assert!(l(&[("a", "x")]) < l(&[("b", "a")]));
    }

    proptest! {
        #[test]
        fn compared_as_label_by_label(
            pairs in prop::collection::btree_map("[ab]{1,2}|é{0,200}", "[xy]{1,9}|z{250,260}", 0..6),
            changes in prop::collection::vec(("[ab]{1,2}", "[xy]{0,9}"), 0..2),
        ) {
            let a = Labels::from_pairs(&pairs);
            let mut changed = a.to_builder();
            for (name, value) in &changes {
                changed.set(name.as_bytes(), value.as_bytes());
            }
            let b = changed.finish();
            let shared = a.iter().zip(b.iter()).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(a.compare(&b), (shared, a.iter().cmp(b.iter())));
            prop_assert_eq!(b.compare(&a), (shared, b.iter().cmp(a.iter())));
        }
    }

    #[test]
    fn quoting_follows_go() {
        let labels = Labels::from_pairs([("my.name", b"a\"b\\\n\xff\x01".as_slice())]);
        assert_eq!(labels.to_string(), r#"{"my.name"="a\"b\\\n\xff\x01"}"#);
    }
}
