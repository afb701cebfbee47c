//! Maps of files that stay unchanged, and of files that are cut while they are read.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::thread;

use super::*;

#[test]
fn empty_full_missing_and_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, b"").unwrap();
    assert_eq!(MappedFile::open(&path).unwrap().bytes(), &Bytes::new());
    std::fs::write(&path, b"abc").unwrap();
    let mapped = MappedFile::open(&path).unwrap();
    let bytes = mapped.bytes().slice(1..);
    assert!(mapped.holds(&bytes) && !mapped.holds(b"bc") && mapped.is_intact());
    mapped.release(0..3);
    mapped.release(2..9);
    drop(mapped);
    assert_eq!(bytes, b"bc".as_slice());
    assert_eq!(MappedFile::open(&dir.path().join("g")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(MappedFile::open(dir.path()).is_err());
}

fn file_of(dir: &tempfile::TempDir, name: &str, len: usize) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, vec![7; len]).unwrap();
    path
}

fn cut(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn a_file_cut_to_any_length_is_noticed_and_others_are_not_blamed() {
    let dir = tempfile::tempdir().unwrap();
    let other = MappedFile::open(&file_of(&dir, "other", 50_000)).unwrap();
    for len in [0, 1, 100, 4095, 4096, 4097, 20_000, 49_990, 49_999] {
        let path = file_of(&dir, &format!("cut-{len}"), 50_000);
        let mapped = MappedFile::open(&path).unwrap();
        assert!(mapped.is_intact());
        cut(&path, len);
        assert!(!mapped.is_intact(), "cut to {len}");
        // The bytes that are left are unchanged; the missing ones are zeros.
        let sum: usize = mapped.bytes().iter().map(|byte| usize::from(*byte)).sum();
        assert!(sum < 7 * 50_000, "cut to {len}");
        // Growing the file again does not bring the bytes back.
        cut(&path, 50_000);
        assert!(!mapped.is_intact(), "cut to {len}");
    }
    assert!(other.is_intact());
}

#[test]
fn truncated_while_several_threads_read() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        let path = file_of(&dir, "busy", 1 << 20);
        let mapped = MappedFile::open(&path).unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let all_there = mapped.bytes().iter().all(|byte| *byte == 7);
                        // A reader that sees bytes that are not the file's finds the map broken.
                        assert!(all_there || !mapped.is_intact());
                    }
                });
            }
            cut(&path, 4096);
        });
        assert!(!mapped.is_intact());
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn places_of_the_table_are_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = file_of(&dir, "many", 10);
    for _ in 0..3 {
        let maps: Vec<MappedFile> = (0..600).map(|_| MappedFile::open(&path).unwrap()).collect();
        assert!(maps.iter().all(MappedFile::is_intact));
    }
}
