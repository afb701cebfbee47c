//! Durability at every moment: runs an upload and a mark under strace, replays the system calls on a model of a disk
//! that loses what was not synced, and checks what is left after each call.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use tithon_bucket::{Mark, MarkKind, TransferOptions};
use tithon_engine::BlockWriter;
use tithon_engine::{BlockId, MetaParts, SourceType, ThanosMeta};

/// What a power cut would leave: names whose folder was synced, and files that were synced.
#[derive(Default)]
struct Disk {
    /// All names, and whether each is durable.
    names: BTreeMap<PathBuf, bool>,
    /// Files with bytes that were not synced.
    dirty: BTreeSet<PathBuf>,
}

impl Disk {
    fn apply(&mut self, call: &Call) {
        match call {
            Call::Create(path) => drop(self.names.entry(path.clone()).or_insert(false)),
            Call::Write(path) => drop(self.dirty.insert(path.clone())),
            Call::Sync(path) => {
                self.dirty.remove(path);
                for (name, durable) in &mut self.names {
                    *durable |= name.parent() == Some(path);
                }
            }
            Call::Rename(from, to) => {
                self.names.remove(from);
                self.names.insert(to.clone(), false);
                if self.dirty.remove(from) {
                    self.dirty.insert(to.clone());
                }
            }
            Call::Remove(path) => drop(self.names.remove(path)),
        }
    }

    /// Whether a power cut now would leave the file unchanged, with all folders above it.
    fn keeps(&self, file: &Path) -> bool {
        let named = file.ancestors().all(|path| self.names.get(path).is_none_or(|durable| *durable));
        self.names.contains_key(file) && named && !self.dirty.contains(file)
    }

    fn has(&self, file: &Path) -> bool {
        self.names.contains_key(file)
    }
}

enum Call {
    Create(PathBuf),
    Write(PathBuf),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// Parses a line of `strace -f -y`: `PID name(arguments) = result`, where a file descriptor is followed by its
/// `<path>`.
fn call(line: &str) -> Option<Call> {
    let (_, line) = line.split_once(' ')?;
    let (name, rest) = line.trim_start().split_once('(')?;
    if rest.contains("= -1 ") {
        return None;
    }
    let quoted: Vec<PathBuf> = rest.split('"').skip(1).step_by(2).map(PathBuf::from).collect();
    let of_fd = || Some(PathBuf::from(rest.split_once('<')?.1.split_once('>')?.0));
    let of_second_fd = || Some(PathBuf::from(rest.split('<').nth(2)?.split_once('>')?.0));
    match name {
        "openat" | "open" if rest.contains("O_CREAT") => Some(Call::Create(quoted.first()?.clone())),
        "mkdir" | "mkdirat" => Some(Call::Create(quoted.first()?.clone())),
        "write" | "pwrite64" | "writev" | "ftruncate" | "sendfile" => Some(Call::Write(of_fd()?)),
        "copy_file_range" => Some(Call::Write(of_second_fd()?)),
        "fsync" | "fdatasync" => Some(Call::Sync(of_fd()?)),
        "rename" | "renameat" | "renameat2" | "link" | "linkat" => {
            Some(Call::Rename(quoted.first()?.clone(), quoted.get(1)?.clone()))
        }
        "unlink" | "unlinkat" | "rmdir" => Some(Call::Remove(quoted.first()?.clone())),
        _ => None,
    }
}

const TRACED: &str = "trace=open,openat,mkdir,mkdirat,write,pwrite64,writev,ftruncate,sendfile,copy_file_range,fsync,\
                      fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir";
const CHILD: &str = "TITHON_TEST_DURABLE_BUCKET";

fn ids() -> (BlockId, BlockId) {
    (BlockId::from_parts(1_700_000_000_000, 1), BlockId::from_parts(1_700_000_000_000, 2))
}

/// The traced work: uploads a block whose segment takes several parts into a new bucket, then marks the block it
/// replaces for deletion.
async fn upload_and_mark(dir: &Path) {
    let (id, source) = ids();
    let scratch = dir.join("scratch");
    let mut writer = BlockWriter::create(&scratch, id).unwrap();
    for n in 0..180 {
        let labels = tithon_index::Labels::from_pairs([("n", &format!("{n:04}"))]);
        // The chunks are large, so that the segment takes several parts.
        let chunk = tithon_chunks::EncodedChunk {
            encoding: tithon_chunks::Encoding::Xor,
            min_time: tithon_chunks::Timestamp(n),
            max_time: tithon_chunks::Timestamp(n),
            data: [vec![0, 1], vec![7; 100_000]].concat().into(),
        };
        writer.add_series(&labels, &[chunk]).unwrap();
    }
    let thanos = ThanosMeta {
        labels: [("a".to_owned(), "b".to_owned())].into(),
        source: SourceType::Compactor,
        ..ThanosMeta::default()
    };
    let parts = MetaParts { max_time: 1000, thanos: Some(thanos), ..MetaParts::default() };
    let meta = writer.finish(parts).unwrap().unwrap();
    let bucket = super::open(&dir.join("bucket"));
    let from = scratch.join(id.to_string());
    bucket.upload_block(&from, meta, TransferOptions::default()).await.unwrap();
    let details = String::new();
    let mark = Mark {
        kind: MarkKind::Deletion,
        block: source,
        details,
        time_s: 1,
        reason: String::new(),
        replaced_by: vec![],
    };
    bucket.put_mark(&mark).await.unwrap();
}

#[tokio::test]
async fn a_power_cut_leaves_whole_blocks_and_loses_none() {
    if let Ok(dir) = std::env::var(CHILD) {
        return upload_and_mark(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let (root, log) = (std::fs::canonicalize(dir.path()).unwrap(), dir.path().join("strace"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "0", "-e", TRACED, "-e", "signal=none", "-o"]).arg(&log);
    // `-s` cuts strings, but strace never cuts paths.
    strace.arg(std::env::current_exe().unwrap());
    strace.args(["--exact", "durable::a_power_cut_leaves_whole_blocks_and_loses_none"]).env(CHILD, &root);
    match strace.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("not checked: there is no strace");
            return;
        }
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let text = std::fs::read_to_string(&log).unwrap();
    let (id, source) = ids();
    let block = root.join("bucket").join(id.to_string());
    let files = ["chunks/000001", "chunks/000002", "index"].map(|file| block.join(file));
    let mark = root.join("bucket").join(source.to_string()).join("deletion-mark.json");
    let (mut disk, mut sealed) = (Disk::default(), 0);
    for call in merged(&text).iter().filter_map(|line| call(line)) {
        disk.apply(&call);
        if disk.has(&block.join("meta.json")) {
            sealed += 1;
            let lost = files.iter().find(|file| disk.has(file) && !disk.keeps(file));
            assert_eq!(lost, None, "meta.json is there, and a power cut loses a file");
            assert!(disk.keeps(&files[0]) && disk.keeps(&files[2]));
        }
        if disk.has(&mark) {
            assert!(
                disk.keeps(&block.join("meta.json")),
                "a source is marked before its successor is on disk"
            );
        }
    }
    assert!(sealed > 1 && disk.keeps(&mark), "{text}");
}

/// The lines of strace, with calls that were interrupted by others joined.
fn merged(text: &str) -> Vec<String> {
    let (mut out, mut open) = (Vec::new(), BTreeMap::new());
    for line in text.lines() {
        let pid = line.split_once(' ').map_or("", |(pid, _)| pid);
        if let Some((begin, _)) = line.split_once(" <unfinished ...>") {
            open.insert(pid.to_owned(), begin.to_owned());
        } else if let Some((_, end)) = line.split_once(" resumed>") {
            out.push(open.remove(pid).unwrap_or_default() + end);
        } else {
            out.push(line.to_owned());
        }
    }
    out
}
