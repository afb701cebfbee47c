//! The tombstones file: which times of which series were deleted. Prometheus `tsdb/tombstones/tombstones.go`.
//!
//! Bytes: `0130ba30`, version 1, entries of uvarint series reference, varint first and last time, and the CRC-32C
//! of the entries alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use tithon_chunks::{ErrorKind, Reader, TimeRange, Timestamp, put_uvarint, put_varint};

/// The deletions of one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// Series of which the same is deleted may share a list.
    series: BTreeMap<u64, Arc<[TimeRange]>>,
}

/// Why a tombstones file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TombstonesError {
    /// Shorter than the smallest there can be.
    #[error("tombstones: {len} bytes, expected at least 9")]
    TooShort {
        /// Bytes there are.
        len: usize,
    },
    /// Another file.
    #[error("tombstones: magic {0:#010x}, expected 0x0130ba30")]
    Magic(u32),
    /// A version that this build lacks.
    #[error("tombstones: version {0} is not supported, expected 1")]
    Version(u8),
    /// Damaged entries.
    #[error("tombstones: checksum {got:#010x}, expected {expected:#010x}")]
    Checksum {
        /// Computed over the entries.
        got: u32,
        /// Stored behind them.
        expected: u32,
    },
    /// A number that does not end, or is longer than 64 bits.
    #[error("tombstones: bad number at offset {offset}")]
    Number {
        /// From the start of the file.
        offset: usize,
    },
}

impl TombstonesError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            TombstonesError::Version(_) => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }
}

const MAGIC: u32 = 0x0130_ba30;
const HEADER_BYTES: usize = 5;

/// About the memory of an entry of the map: number and list, in nodes that are two thirds full.
const SERIES_BYTES: usize = 40;

impl Tombstones {
    /// Reads the bytes of a tombstones file.
    pub fn parse(bytes: &[u8]) -> Result<Tombstones, TombstonesError> {
        let too_short = TombstonesError::TooShort { len: bytes.len() };
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Err(too_short) };
        let Some((entries, crc)) = rest.split_last_chunk::<4>() else { return Err(too_short) };
        let [m0, m1, m2, m3, version] = *header;
        let magic = u32::from_be_bytes([m0, m1, m2, m3]);
        if magic != MAGIC {
            return Err(TombstonesError::Magic(magic));
        }
        if version != 1 {
            return Err(TombstonesError::Version(version));
        }
        let (got, expected) = (crc32c::crc32c(entries), u32::from_be_bytes(*crc));
        if got != expected {
            return Err(TombstonesError::Checksum { got, expected });
        }
        let mut tombstones = Tombstones::default();
        let mut reader = Reader::new(entries);
        while !reader.is_empty() {
            let offset = HEADER_BYTES + reader.offset();
            let malformed = |_| TombstonesError::Number { offset };
            let series = reader.uvarint("series reference").map_err(malformed)?;
            let min = reader.varint("first time").map_err(malformed)?;
            let max = reader.varint("last time").map_err(malformed)?;
            tombstones.add(series, TimeRange::new(min, max));
        }
        Ok(tombstones)
    }

    /// The file's bytes, series ascending.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + 4 + 24 * self.len());
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.push(1);
        for (series, intervals) in &self.series {
            for interval in &**intervals {
                put_uvarint(*series, &mut out);
                put_varint(interval.min.0, &mut out);
                put_varint(interval.max.0, &mut out);
            }
        }
        let crc = crc32c::crc32c(&out[HEADER_BYTES..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Deletes a closed interval of a series; intervals that overlap or touch become one.
    pub fn add(&mut self, series: u64, interval: TimeRange) {
        if interval.is_empty() {
            return;
        }
        let mut intervals = self.of(series).to_vec();
        let first = intervals.partition_point(|i| i.max.0 < interval.min.0.saturating_sub(1));
        let behind = intervals.partition_point(|i| i.min.0 <= interval.max.0.saturating_add(1));
        let mut joined = interval;
        for old in &intervals[first..behind] {
            joined.min = Timestamp(joined.min.0.min(old.min.0));
            joined.max = Timestamp(joined.max.0.max(old.max.0));
        }
        intervals.splice(first..behind, [joined]);
        self.series.insert(series, intervals.into());
    }

    /// Deletes the same intervals of many series.
    pub fn add_all(&mut self, series: impl IntoIterator<Item = u64>, intervals: &[TimeRange]) {
        let mut list = Tombstones::default();
        intervals.iter().for_each(|interval| list.add(0, *interval));
        let Some(list) = list.series.remove(&0) else { return };
        for series in series {
            match self.series.get(&series) {
                None => drop(self.series.insert(series, Arc::clone(&list))),
                Some(there) if *there == list => {}
                Some(_) => list.iter().for_each(|interval| self.add(series, *interval)),
            }
        }
    }

    /// What either deletes.
    #[must_use]
    pub fn union(&self, other: &Tombstones) -> Tombstones {
        let mut all = self.clone();
        for (series, intervals) in &other.series {
            match all.series.contains_key(series) {
                false => drop(all.series.insert(*series, Arc::clone(intervals))),
                true => intervals.iter().for_each(|interval| all.add(*series, *interval)),
            }
        }
        all
    }

    /// The deleted intervals of a series: ascending, apart by at least a millisecond.
    pub fn of(&self, series: u64) -> &[TimeRange] {
        self.series.get(&series).map_or(&[], |intervals| intervals)
    }

    /// Series with deletions, ascending, and their intervals.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[TimeRange])> {
        self.series.iter().map(|(series, intervals)| (*series, &**intervals))
    }

    /// Number of intervals.
    pub fn len(&self) -> usize {
        self.series.values().map(|intervals| intervals.len()).sum()
    }

    /// About how many bytes of memory the intervals take; a list that others share counts for each with its part.
    pub fn memory_bytes(&self) -> usize {
        let list = |list: &Arc<[TimeRange]>| size_of_val(&**list) / Arc::strong_count(list);
        self.series.values().map(|intervals| SERIES_BYTES + list(intervals)).sum()
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one() -> Tombstones {
        let mut tombstones = Tombstones::default();
        tombstones.add(5, TimeRange::new(1000, 2000));
        tombstones
    }

    #[test]
    fn bytes_by_hand() {
        assert_eq!(Tombstones::default().to_bytes(), [0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
        let bytes = [0x01, 0x30, 0xba, 0x30, 1, 5, 0xd0, 0x0f, 0xa0, 0x1f, 0x0b, 0xe0, 0x38, 0xd0];
        assert_eq!(one().to_bytes(), bytes);
        assert_eq!(Tombstones::parse(&bytes).unwrap(), one());
    }

    #[test]
    fn golden_file_holds_the_recorded_intervals() {
        let path = tithon_testdata::shared("testdata/blocks/tombstones/tombstones");
        let read = Tombstones::parse(&std::fs::read(path).unwrap()).unwrap();
        let mut expected = BTreeMap::new();
        for line in tithon_testdata::json_lines("testdata/blocks/tombstones.tombstones.jsonl.zst") {
            let intervals: Vec<(i64, i64)> = serde_json::from_value(line["intervals"].clone()).unwrap();
            let intervals = intervals.into_iter().map(|(a, b)| TimeRange::new(a, b)).collect::<Vec<_>>();
            expected.insert(line["id"].as_u64().unwrap(), intervals.into());
        }
        assert_eq!(read.series, expected);
        assert_eq!(read.len(), 98);
        assert_eq!(Tombstones::parse(&read.to_bytes()).unwrap(), read);
    }

    #[test]
    fn damage_is_named() {
        let good = one().to_bytes();
        for cut in 0..9 {
            assert_eq!(Tombstones::parse(&good[..cut]), Err(TombstonesError::TooShort { len: cut }));
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(Tombstones::parse(&bad).is_err(), "byte {at}");
        }
        let mut endless = good[..HEADER_BYTES].to_vec();
        endless.extend_from_slice(&[5, 0xff]);
        let crc = crc32c::crc32c(&endless[HEADER_BYTES..]).to_be_bytes();
        endless.extend_from_slice(&crc);
        assert_eq!(Tombstones::parse(&endless), Err(TombstonesError::Number { offset: HEADER_BYTES }));
    }

    #[test]
    fn memory_counts_a_shared_list_once() {
        let mut tombstones = Tombstones::default();
        assert_eq!(tombstones.memory_bytes(), 0);
        let intervals: Vec<TimeRange> = (0..100).map(|i| TimeRange::new(10 * i, 10 * i + 1)).collect();
        tombstones.add_all(0..1000, &intervals);
        let shared = tombstones.memory_bytes();
        assert!((40_000..60_000).contains(&shared), "{shared}");
        (0..1000).for_each(|series| tombstones.add(series, TimeRange::new(-1, -1)));
        assert!(tombstones.memory_bytes() > 1000 * 100 * 16);
    }

    proptest! {
        #[test]
        fn adding_is_set_union(parts in prop::collection::vec((-50i64..50, 0i64..10), 0..20)) {
            let mut tombstones = Tombstones::default();
            let mut model = std::collections::BTreeSet::new();
            for (min, len) in parts {
                tombstones.add(1, TimeRange::new(min, min + len));
                model.extend(min..=min + len);
            }
            let ours: Vec<i64> = tombstones.of(1).iter().flat_map(|i| i.min.0..=i.max.0).collect();
            prop_assert_eq!(ours, model.into_iter().collect::<Vec<_>>());
            for pair in tombstones.of(1).windows(2) {
                prop_assert!(pair[0].max.0 + 1 < pair[1].min.0);
            }
            prop_assert_eq!(Tombstones::parse(&tombstones.to_bytes()).unwrap(), tombstones);
        }

        #[test]
        fn many_series_and_unions_are_single_additions(
            parts in prop::collection::vec((0u64..4, 1usize..4, -50i64..50, 0i64..10), 0..12),
        ) {
            let (mut one_by_one, mut at_once, mut joined) =
                (Tombstones::default(), Tombstones::default(), Tombstones::default());
            for (first, n, min, len) in parts {
                let (series, interval) = (first..first + n as u64, TimeRange::new(min, min + len));
                series.clone().for_each(|series| one_by_one.add(series, interval));
                at_once.add_all(series.clone(), &[interval]);
                let mut other = Tombstones::default();
                other.add_all(series, &[interval, interval]);
                joined = joined.union(&other);
            }
            prop_assert_eq!(&at_once, &one_by_one);
            prop_assert_eq!(&joined, &one_by_one);
        }

        #[test]
        fn extreme_times_survive(min in any::<i64>(), max in any::<i64>(), series in any::<u64>()) {
            let mut tombstones = Tombstones::default();
            tombstones.add(series, TimeRange::new(min, max));
            prop_assert_eq!(Tombstones::parse(&tombstones.to_bytes()).unwrap(), tombstones);
        }
    }
}
