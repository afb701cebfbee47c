//! Fragments of records in pages.

use tithon_chunks::crc32c;

use super::{HEADER, PAGE};

/// Types of fragments.
pub(super) const FULL: u8 = 1;
pub(super) const FIRST: u8 = 2;
pub(super) const MIDDLE: u8 = 3;
pub(super) const LAST: u8 = 4;
/// The bits of a header that are the type.
pub(super) const TYPE: u8 = 0b111;

/// Bytes from `at`, an offset in a segment, to the end of its page.
fn left_in_page(at: u64) -> usize {
    PAGE - (at % PAGE as u64) as usize
}

/// Zero bytes that follow at `at` when no fragment fits the page any more.
pub(super) fn padding(at: u64) -> usize {
    match left_in_page(at) {
        left if left < HEADER => left,
        _ => 0,
    }
}

/// Whether a record of `len` bytes fits behind `at` in a segment of `segment_bytes`.
pub(super) fn fits(at: u64, len: usize, segment_bytes: u64) -> bool {
    let at = at + padding(at) as u64;
    if at >= segment_bytes {
        return false;
    }
    let pages_behind = (segment_bytes / PAGE as u64).saturating_sub(at / PAGE as u64 + 1);
    let here = (left_in_page(at) - HEADER) as u64;
    len as u64 <= here + pages_behind * (PAGE - HEADER) as u64
}

/// Appends a record as it is to lie behind `at` in a segment; `bits` tell how it is packed.
pub(super) fn put_record(mut record: &[u8], bits: u8, at: u64, out: &mut Vec<u8>) {
    let begin = out.len() as u64;
    let mut is_first = true;
    loop {
        let here = at + (out.len() as u64 - begin);
        out.resize(out.len() + padding(here), 0);
        let here = at + (out.len() as u64 - begin);
        let (part, rest) = record.split_at(record.len().min(left_in_page(here) - HEADER));
        let kind = match (is_first, rest.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, true) => LAST,
            (false, false) => MIDDLE,
        };
        out.push(kind | bits);
        // A page is shorter than what 16 bits can tell.
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
        out.extend_from_slice(&crc32c(part).to_be_bytes());
        out.extend_from_slice(part);
        if rest.is_empty() {
            break;
        }
        (record, is_first) = (rest, false);
    }
    let end = at + (out.len() as u64 - begin);
    out.resize(out.len() + padding(end), 0);
}
