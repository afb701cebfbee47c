//! The PromQL body over every line of upstream's test files, and over the lines cut short.

use tithon_fuzz::evaluate::evaluate;
use tithon_fuzz::promql::parse_bytes;
use tithon_testdata::shared;

#[test]
fn lines_of_the_test_files_and_their_beginnings() {
    let mut lines = 0;
    for entry in std::fs::read_dir(shared("promqltest")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "test") {
            continue;
        }
        let text = std::fs::read(&path).expect("a readable file");
        for line in text.split(|b| *b == b'\n') {
            let query = line.splitn(6, |b| *b == b' ').last().unwrap_or(line);
            (0..line.len()).step_by(11).for_each(|end| parse_bytes(&line[..end]));
            parse_bytes(line);
            parse_bytes(query);
            lines += 1;
        }
    }
    assert!(lines > 5_000, "{lines} lines");
}

/// Bytes that look random make queries of every kind.
#[test]
fn made_up_queries_have_one_answer() {
    let n: u64 = std::env::var("TITHON_FUZZ_CASES").map_or(2_000, |n| n.parse().expect("a number"));
    let seed: u64 = std::env::var("TITHON_FUZZ_SEED").map_or(1, |n| n.parse().expect("a number"));
    let mut answered = 0;
    for case in 0..n {
        let mut state = seed << 40 | case;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32
        };
        let bytes: Vec<u8> = (0..4_000).map(|_| next() as u8).collect();
        answered += u64::from(evaluate(&bytes));
    }
    assert!(answered * 10 > n, "{answered} of {n} answers have samples");
}
