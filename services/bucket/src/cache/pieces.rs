//! Splits ranges of an object into the pieces of a cache: which pieces are needed, which are missing, and the ranges
//! assembled from pieces.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// The pieces of one object that a read needs.
pub(super) struct Pieces {
    /// Size of a piece in bytes; the object's last piece may be shorter.
    bytes: u64,
    size: u64,
    /// Numbers of the pieces, ascending.
    numbers: Vec<u64>,
    /// Bytes of each piece, once known.
    found: Vec<Option<Bytes>>,
    /// Ranges that were read in one request, with their start: slices of them need no copy.
    fetched: Vec<(u64, Bytes)>,
}

impl Pieces {
    pub(super) fn new(bytes: u64, size: u64, ranges: &[Range<u64>]) -> Pieces {
        let of = |range: &Range<u64>| range.start / bytes..range.end.div_ceil(bytes);
        let mut numbers: Vec<u64> = ranges.iter().flat_map(of).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let found = vec![None; numbers.len()];
        Pieces { bytes, size, numbers, found, fetched: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn n_found(&self) -> usize {
        self.found.iter().flatten().count()
    }

    fn range(&self, number: u64) -> Range<u64> {
        number * self.bytes..((number + 1) * self.bytes).min(self.size)
    }

    /// The keys of the pieces, in Thanos's format.
    pub(super) fn keys(&self, name: &str) -> Vec<String> {
        let key = |number: &u64| {
            let range = self.range(*number);
            format!("subrange:{name}:{}:{}", range.start, range.end)
        };
        self.numbers.iter().map(key).collect()
    }

    /// Sets what the cache returned for the keys; a value with another length than the piece counts as missing.
    pub(super) fn put_found(&mut self, found: Vec<Option<Bytes>>) {
        for (i, bytes) in found.into_iter().enumerate().take(self.numbers.len()) {
            let range = self.range(self.numbers[i]);
            self.found[i] = bytes.filter(|bytes| bytes.len() as u64 == range.end - range.start);
        }
    }

    /// The ranges to read for the missing pieces, ascending. Adjacent pieces are joined, and then the closest ranges,
    /// until there are at most `most` (0 means no limit).
    pub(super) fn missing(&self, most: usize) -> Vec<Range<u64>> {
        let missing = self.numbers.iter().zip(&self.found).filter(|(_, found)| found.is_none());
        let mut out: Vec<Range<u64>> = Vec::new();
        for range in missing.map(|(number, _)| self.range(*number)) {
            match out.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => out.push(range),
            }
        }
        let mut gap = self.bytes;
        while most > 0 && out.len() > most {
            let mut wider: Vec<Range<u64>> = Vec::new();
            for range in out {
                match wider.last_mut() {
                    Some(last) if range.start - last.end <= gap => last.end = range.end,
                    _ => wider.push(range),
                }
            }
            (out, gap) = (wider, gap.saturating_mul(2));
        }
        out
    }

    /// Sets the bytes of the missing ranges. Returns the pieces that were missing, by the index of their key, as
    /// copies, so that the cache does not hold whole answers. Pieces beyond the end of a short answer are left out.
    pub(super) fn put_fetched(&mut self, ranges: &[Range<u64>], fetched: &[Bytes]) -> Vec<(usize, Bytes)> {
        let mut new = Vec::new();
        for (read, bytes) in ranges.iter().zip(fetched) {
            let first = self.numbers.partition_point(|number| self.range(*number).start < read.start);
            for i in first..self.numbers.len() {
                let range = self.range(self.numbers[i]);
                let (from, to) = (range.start - read.start, range.end - read.start);
                if to > bytes.len() as u64 {
                    break;
                }
                if self.found[i].is_none() {
                    let piece = bytes.slice(from as usize..to as usize);
                    new.push((i, Bytes::copy_from_slice(&piece)));
                    self.found[i] = Some(piece);
                }
            }
            self.fetched.push((read.start, bytes.clone()));
        }
        new
    }

    /// The bytes of a range; fewer when the object is shorter than listed.
    pub(super) fn cut(&self, range: &Range<u64>) -> Bytes {
        let whole =
            |(start, bytes): &&(u64, Bytes)| *start <= range.start && range.end <= start + bytes.len() as u64;
        if let Some((start, bytes)) = self.fetched.iter().find(whole) {
            return bytes.slice((range.start - start) as usize..(range.end - start) as usize);
        }
        let (first, last) = (range.start / self.bytes, range.end.div_ceil(self.bytes));
        let from = self.numbers.partition_point(|number| *number < first);
        let to = self.numbers.partition_point(|number| *number < last);
        let mut out = BytesMut::new();
        for (number, found) in self.numbers[from..to].iter().zip(&self.found[from..to]) {
            let (piece, Some(bytes)) = (self.range(*number), found) else { break };
            let start = range.start.max(piece.start) - piece.start;
            let end = range.end.min(piece.end) - piece.start;
            let part = bytes.slice(start as usize..end as usize);
            if to - from == 1 {
                return part;
            }
            out.extend_from_slice(&part);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Ranges have the object's bytes, whatever is cached and however requests are joined.
        #[test]
        fn ranges_are_those_of_the_object(
            size in 1u64..500,
            bytes in 1u64..60,
            asked in prop::collection::vec((0u64..500, 1u64..200), 1..6),
            kept in prop::collection::vec(any::<bool>(), 500),
            most in 0usize..4,
        ) {
            let object: Bytes = (0..size).map(|i| (i * 7 % 251) as u8).collect();
            let of = |range: &Range<u64>| object.slice(range.start as usize..range.end as usize);
            let ranges: Vec<Range<u64>> = asked
                .into_iter()
                .map(|(start, len)| (start % size)..((start % size) + len).min(size))
                .collect();
            let mut pieces = Pieces::new(bytes, size, &ranges);
            let found = pieces.numbers.iter().map(|n| kept[*n as usize].then(|| of(&pieces.range(*n)))).collect();
            pieces.put_found(found);
            let missing = pieces.missing(most);
            prop_assert!(most == 0 || missing.len() <= most);
            prop_assert!(missing.windows(2).all(|pair| pair[0].end < pair[1].start));
            let fetched: Vec<Bytes> = missing.iter().map(of).collect();
            for (i, new) in pieces.put_fetched(&missing, &fetched) {
                prop_assert_eq!(new, of(&pieces.range(pieces.numbers[i])));
            }
            for range in &ranges {
                prop_assert_eq!(pieces.cut(range), of(range));
            }
        }
    }

    #[test]
    fn keys_are_those_of_thanos() {
        let pieces = Pieces::new(16_000, 40_000, &[15_999..16_001, 39_000..40_000]);
        assert_eq!(
            pieces.keys("01A/chunks/000001"),
            [
                "subrange:01A/chunks/000001:0:16000",
                "subrange:01A/chunks/000001:16000:32000",
                "subrange:01A/chunks/000001:32000:40000"
            ]
        );
    }

    #[test]
    fn what_is_of_another_length_is_not_there() {
        let first = 0..20;
        let mut pieces = Pieces::new(10, 25, from_ref(&(0..25)));
        pieces.put_found(vec![Some(Bytes::from_static(b"short")), None, Some(Bytes::from_static(b"12345"))]);
        assert_eq!((pieces.n_found(), pieces.missing(0)), (1, Vec::from([first.clone()])));
        // The object is shorter than listed.
        let new = pieces.put_fetched(from_ref(&first), &[Bytes::from_static(b"0123456789ab")]);
        assert_eq!(new.len(), 1);
        assert_eq!(pieces.cut(&(5..25)), Bytes::from_static(b"56789"));
    }
}
