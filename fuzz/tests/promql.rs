//! The PromQL body over every line of upstream's test files, and over the lines cut short.

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
