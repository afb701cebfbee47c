//! A whole index accounted for: every checksum, every postings list against the series, and every byte.
//!
//! Queries verify what they read; this reads the rest too, for tools that are to vouch for a file.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use tithon_chunks::TimeRange;

use crate::cursor::Cursor;
use crate::postings::stored_refs;
use crate::{IndexError, IndexHeader, Labels, SeriesEntry, SeriesRef, SymbolRef, Toc};

/// Something wrong with an index.
#[derive(Debug)]
pub struct IndexFault {
    /// The pair of label name and value whose postings list is at fault, or the series; empty for other parts.
    pub place: String,
    /// What is wrong, and where in the file.
    pub error: IndexError,
}

impl fmt::Display for IndexFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.is_empty() {
            true => write!(f, "{}", self.error),
            false => write!(f, "{}: {}", self.place, self.error),
        }
    }
}

/// Faults of one index that are told; the others would say nothing new.
const FAULTS_MAX: usize = 10_000;

/// Padding between two sections aligns to 16 bytes at most.
const PADDING_MAX: u64 = 15;

/// Reads the whole index: verifies the checksum of every section, list and series entry, compares every postings list
/// with the labels of the series, and looks for bytes that belong to nothing. Faults of one part keep none of the
/// others from being read.
///
/// An error means that the index cannot be opened at all.
pub fn audit(index: &Bytes) -> Result<Vec<IndexFault>, IndexError> {
    let header = IndexHeader::from_index(index)?;
    let mut audit = Audit { index, header: &header, taken: Vec::new(), faults: Vec::new() };
    audit.frames();
    let mut lists = audit.lists();
    audit.series(&mut lists);
    audit.leftovers(lists);
    // A part that cannot be read has no end: what lies behind it would be blamed for it.
    if audit.faults.is_empty() {
        audit.gaps();
    }
    Ok(audit.faults)
}

struct Audit<'a> {
    index: &'a Bytes,
    header: &'a IndexHeader,
    /// Bytes that are known to belong to something.
    taken: Vec<Range<u64>>,
    faults: Vec<IndexFault>,
}

/// The postings lists by label pair: what is left of each once the series before have been looked at. `None` for a list
/// that cannot be read.
type Lists<'a> = HashMap<(SymbolRef, SymbolRef), Option<&'a [u8]>>;

impl<'a> Audit<'a> {
    fn fault(&mut self, place: impl FnOnce() -> String, error: IndexError) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(IndexFault { place: place(), error });
        }
    }

    fn cursor(&self, offset: u64) -> Cursor<'a> {
        let index: &'a Bytes = self.index;
        Cursor::at(index, usize::try_from(offset).unwrap_or(usize::MAX), 0)
    }

    /// The sections that lie in a frame of length and checksum, the header, and the table of contents.
    fn frames(&mut self) {
        let (toc, size) = (*self.header.toc(), self.index.len() as u64);
        self.taken.extend([0..5, size.saturating_sub(Toc::SIZE as u64)..size]);
        let old_table = Some(toc.label_offsets).filter(|at| *at != 0 && *at != toc.postings_offsets);
        let framed = [(toc.symbols, "symbol table"), (toc.postings_offsets, "postings offset table")];
        let framed = framed.into_iter().chain(old_table.map(|at| (at, "label offset table")));
        for (at, what) in framed.filter(|(at, _)| *at != 0) {
            self.frame(at, what);
        }
        // The label indices that Prometheus wrote once; nobody reads them.
        let mut at = toc.label_indices.next_multiple_of(4);
        while toc.label_indices != 0 && at < toc.postings {
            match self.frame(at, "label index") {
                Some(end) => at = end.next_multiple_of(4),
                None => break,
            }
        }
    }

    /// Where the frame that begins at `at` ends.
    fn frame(&mut self, at: u64, what: &'static str) -> Option<u64> {
        let mut cursor = self.cursor(at);
        match cursor.framed(what) {
            Ok(_) => {
                self.taken.push(at..cursor.offset());
                Some(cursor.offset())
            }
            Err(error) => {
                self.fault(String::new, error);
                None
            }
        }
    }

    fn lists(&mut self) -> Lists<'a> {
        let header = self.header;
        let symbols: HashMap<&[u8], SymbolRef> = header.symbols().refs().map(|(s, text)| (text, s)).collect();
        let mut lists = Lists::new();
        let names = header.label_names().unwrap_or_else(|error| {
            self.fault(String::new, error);
            Vec::new()
        });
        for name in names {
            let values = match header.label_values(name) {
                Ok(values) => values,
                Err(error) => {
                    self.fault(|| pair(name, b"..."), error);
                    continue;
                }
            };
            for value in values {
                let value = match value {
                    Ok(value) => value,
                    Err(error) => {
                        self.fault(|| pair(name, b"..."), error);
                        break;
                    }
                };
                let refs = self.list(|| pair(name, value.value), value.list.start);
                match (symbols.get(name), symbols.get(value.value)) {
                    (Some(name), Some(value)) => drop(lists.insert((*name, *value), refs)),
                    _ => self.fault(
                        || pair(name, value.value),
                        invalid("postings offset entry", value.list.start, 0, "strings of the symbol table"),
                    ),
                }
            }
        }
        lists
    }

    /// The refs of the list that begins at `at`; `None` where it cannot be read.
    fn list(&mut self, place: impl Fn() -> String, at: u64) -> Option<&'a [u8]> {
        let mut cursor = self.cursor(at);
        let refs = match stored_refs(&mut cursor) {
            Ok(refs) => refs,
            Err(error) => {
                self.fault(&place, error);
                return None;
            }
        };
        self.taken.push(at..cursor.offset());
        let (mut rest, mut last) = (refs, None);
        while let Some(next) = take_ref(&mut rest) {
            if last.is_some_and(|last| last >= next) {
                self.fault(&place, invalid("postings list", at, u64::from(next), "series that ascend"));
                return None;
            }
            last = Some(next);
        }
        Some(refs)
    }

    /// Takes each series off the lists of its labels.
    fn series(&mut self, lists: &mut Lists<'a>) {
        let all = match self.header.postings_range(b"", b"") {
            Ok(Some(range)) => self.list(|| "postings list of all series".to_owned(), range.start),
            Ok(None) => Some([].as_slice()),
            Err(error) => {
                self.fault(String::new, error);
                None
            }
        };
        let Some(mut all) = all else {
            // Which series there are is not known: no list can be compared with them.
            lists.clear();
            return;
        };
        let mut entry = SeriesEntry::default();
        while let Some(series) = take_ref(&mut all) {
            let offset = self.header.series_offset(SeriesRef(series));
            let bytes = usize::try_from(offset).ok().and_then(|at| self.index.get(at..)).unwrap_or_default();
            match entry.decode(bytes, offset, TimeRange::ALL) {
                Ok(size) => self.taken.push(offset..offset + size as u64),
                Err(error) => {
                    self.fault(String::new, error);
                    // Its labels are not known: it may be missing from any list.
                    lists.clear();
                    continue;
                }
            }
            if !lists.is_empty() {
                self.take_off(lists, series, &entry);
            }
        }
    }

    fn take_off(&mut self, lists: &mut Lists<'a>, series: u32, entry: &SeriesEntry) {
        let offset = self.header.series_offset(SeriesRef(series));
        for label in &entry.labels {
            let list = lists.get_mut(label);
            let missing = match list {
                None => true,
                Some(None) => false,
                Some(Some(refs)) => {
                    let mut rest = *refs;
                    let found = take_ref(&mut rest) == Some(series);
                    if found {
                        *refs = rest;
                    }
                    !found
                }
            };
            if missing {
                // What follows in the list would be blamed again and again.
                lists.insert(*label, None);
                let place = self.pair_of(*label);
                let error = invalid("series entry", offset, 0, "a place in the postings list of each label");
                self.fault(|| place, error);
            }
        }
    }

    /// Series in lists whose labels say otherwise.
    fn leftovers(&mut self, lists: Lists<'a>) {
        let mut left: Vec<_> = lists.into_iter().filter_map(|(l, refs)| Some((l, refs?))).collect();
        left.retain(|(_, refs)| !refs.is_empty());
        left.sort_unstable_by_key(|(label, _)| *label);
        for (label, mut refs) in left {
            let place = self.pair_of(label);
            let offset = take_ref(&mut refs).map_or(0, |first| self.header.series_offset(SeriesRef(first)));
            self.fault(|| place, invalid("postings list: series", offset, 0, "the label"));
        }
    }

    fn pair_of(&self, (name, value): (SymbolRef, SymbolRef)) -> String {
        let text = |symbol| self.header.symbol(symbol).unwrap_or(b"?");
        pair(text(name), text(value))
    }

    /// Bytes that no part covers, but for padding, and parts that share bytes.
    fn gaps(&mut self) {
        let mut taken = std::mem::take(&mut self.taken);
        taken.sort_unstable_by_key(|range| (range.start, range.end));
        taken.dedup();
        let mut at = 0;
        for range in taken {
            if range.start < at {
                let error = invalid("section", range.start, at, "a start behind the section before it");
                self.fault(String::new, error);
            } else {
                let between = &self.index[at as usize..range.start as usize];
                let len = between.len() as u64;
                if len > PADDING_MAX || between.iter().any(|byte| *byte != 0) {
                    let error = invalid("bytes of no section", at, len, "up to 15 zeros of padding");
                    self.fault(String::new, error);
                }
            }
            at = at.max(range.end);
        }
    }
}

fn invalid(what: &'static str, offset: u64, found: u64, expected: &'static str) -> IndexError {
    IndexError::Invalid { what, offset, found, expected }
}

fn take_ref(refs: &mut &[u8]) -> Option<u32> {
    let (first, rest) = refs.split_first_chunk::<4>()?;
    *refs = rest;
    Some(u32::from_be_bytes(*first))
}

fn pair(name: &[u8], value: &[u8]) -> String {
    format!("postings list of {}", Labels::from_pairs([(name, value)]))
}

#[cfg(test)]
mod tests {
    use tithon_testdata::shared;

    use super::*;

    fn index(name: &str) -> Vec<u8> {
        std::fs::read(shared(&format!("testdata/{name}/index"))).unwrap()
    }

    fn faults(index: &[u8]) -> Vec<String> {
        match audit(&index.to_vec().into()) {
            Ok(faults) => faults.iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    #[test]
    fn golden_indexes_are_accounted_for_to_the_last_byte() {
        for name in ["blocks/xor-shapes", "blocks/multi-segment", "blocks/real-2022", "downsample/long/5m"] {
            assert_eq!(faults(&index(name)), [""; 0], "{name}");
        }
    }

    #[test]
    fn damaged_lists_are_named() {
        let found = faults(&index("field/damaged-postings"));
        assert_eq!(found.len(), 7, "{found:#?}");
        assert!(found.iter().all(|fault| fault.starts_with("postings list of {s")), "{found:#?}");
    }

    #[test]
    fn every_byte_matters() {
        let good = index("field/no-chunks-folder/01HWY2W1800000000000000001");
        assert_eq!(faults(&good), [""; 0]);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(!faults(&bad).is_empty(), "byte {at}");
        }
    }

    #[test]
    fn bytes_before_a_second_table_of_contents_are_found() {
        let mut bad = index("field/no-chunks-folder/01HWY2W1800000000000000001");
        let toc = bad[bad.len() - Toc::SIZE..].to_vec();
        bad.extend_from_slice(&toc);
        assert!(faults(&bad)[0].contains("bytes of no section"), "{:?}", faults(&bad));
    }

    /// A list with a right checksum that lacks a series, or has one too many.
    #[test]
    fn lists_are_compared_with_the_series() {
        let good = index("field/damaged-postings");
        let header = IndexHeader::from_index(&good.clone().into()).unwrap();
        let toc = *header.toc();
        // The second ref of the first list that has two becomes another one.
        let mut checked = 0;
        for name in header.label_names().unwrap() {
            for value in header.label_values(name).unwrap() {
                let at = value.unwrap().list.start as usize;
                let len = u32::from_be_bytes(good[at..at + 4].try_into().unwrap()) as usize;
                let mut bad = good.clone();
                if len < 12 || checked == 3 {
                    continue;
                }
                checked += 1;
                bad[at + 4 + len - 1] = bad[at + 4 + len - 1].wrapping_add(1);
                let crc = crc32c::crc32c(&bad[at + 4..at + 4 + len]).to_be_bytes();
                bad[at + 4 + len..at + 8 + len].copy_from_slice(&crc);
                assert_ne!(faults(&bad), faults(&good), "list at {at} of {toc:?}");
            }
        }
        assert_eq!(checked, 3);
    }
}
