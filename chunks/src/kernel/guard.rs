//! Chunks whose last byte is the last one before a page that must not be read.

use memmap2::MmapOptions;
use proptest::prelude::*;

use crate::{
    DecodePath, Encoding, HistogramBatch, SampleBatch, TimeRange, XorEncoder, decode_exact,
    decode_float_chunks_by, decode_histograms,
};

const PAGE: usize = 4096;

/// Runs `test` on a copy of `data` that ends at the end of a page; touching the next one kills the process.
fn before_a_guard_page(data: &[u8], test: impl Fn(&[u8])) {
    let mut file = tempfile::tempfile().expect("a temporary file");
    let mut page = vec![0xa5; PAGE - data.len()];
    page.extend_from_slice(data);
    std::io::Write::write_all(&mut file, &page).expect("a page can be written");
    // SAFETY: nobody else knows the file. The second page of the map lies behind its end: the system answers a read
    // of it with a signal, which is the point.
    let map = unsafe { MmapOptions::new().len(2 * PAGE).map(&file) }.expect("two pages can be mapped");
    test(&map[PAGE - data.len()..PAGE]);
}

fn decode_everything(data: &[u8]) {
    for byte in [1, 2, 3, 4, 5, 6] {
        let _ = decode_exact(Encoding::from_byte(byte), data, &mut Vec::new());
    }
    for path in [
        DecodePath::Scalar,
        DecodePath::ZeroRuns,
        DecodePath::Lanes,
        DecodePath::FourLanes,
        DecodePath::Hybrid,
    ] {
        let chunks = [(Encoding::Xor, data); 8];
        let _ = decode_float_chunks_by(path, &chunks, &mut SampleBatch::default(), &mut Vec::new());
    }
    let _ = decode_histograms(Encoding::Histogram, data, TimeRange::ALL, &mut HistogramBatch::default());
}

#[test]
fn cut_chunks_are_read_to_their_end_and_no_further() {
    let mut encoder = XorEncoder::new();
    for i in 0..40i64 {
        encoder.push(i * 15_000 + i % 3 * 20_000, if i % 4 == 0 { 1.0 } else { (i as f64).sqrt() });
    }
    let data = encoder.finish();
    for len in 0..=data.len() {
        before_a_guard_page(&data[..len], decode_everything);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_their_end_and_no_further(mut data in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Some(high) = data.first_mut() {
            *high = 0;
        }
        before_a_guard_page(&data, decode_everything);
    }
}
