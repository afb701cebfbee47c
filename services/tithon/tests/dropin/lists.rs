//! The argument lists of `lists.txt` start our processes.

use std::path::Path;
use std::process::Command;

use super::process::{TITHON, free_port};
use super::{Running, golden, wait_for};

/// A list with this test's addresses and folders, and the port of its probes.
struct List {
    name: String,
    /// A part of the error, for lists that are refused.
    refusal: Option<String>,
    args: Vec<String>,
    port: u16,
}

fn lists(folder: &Path) -> Vec<List> {
    let text = include_str!("lists.txt");
    let text = text.split_once("\n\n").unwrap().1;
    let lists = text.split("\n[").map(|list| list.trim_start_matches('['));
    lists.enumerate().map(|(i, list)| of_ours(list, &folder.join(i.to_string()))).collect()
}

fn of_ours(list: &str, folder: &Path) -> List {
    let (name, args) = list.split_once("]\n").unwrap();
    let (http, grpc) = (free_port(), free_port());
    std::fs::create_dir_all(folder).unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let bucket = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", golden().display());
    let place = |flag: &str, given: &str| match flag {
        "--http-address" => format!("127.0.0.1:{http}"),
        "--grpc-address" => format!("127.0.0.1:{grpc}"),
        "--data-dir" => folder.join("data").display().to_string(),
        "--objstore.config" => bucket.clone(),
        "--objstore.config-file" => file("objstore.yml", &bucket),
        "--index-cache.config-file" | "--store.caching-bucket.config-file" => {
            file("cache.yml", "type: IN-MEMORY\nconfig:\n  max_size: 10MB\n")
        }
        "--http.config" => file("http.yml", "{}\n"),
        "--store.sd-files" => file("sd.yml", "- targets: ['127.0.0.1:10911']\n"),
        _ => given.to_owned(),
    };
    let mut ours: Vec<String> = Vec::new();
    for arg in args.lines().filter(|line| !line.is_empty()) {
        let arg = arg.replace("\\n", "\n");
        match (arg.split_once('='), ours.last()) {
            (Some((flag, value)), _) if flag.starts_with("--") => {
                ours.push(format!("{flag}={}", place(flag, value)));
            }
            // A value that follows its flag as an argument of its own.
            (_, Some(flag)) if !arg.starts_with('-') => ours.push(place(flag, &arg)),
            _ => ours.push(arg),
        }
    }
    let is_given = |args: &[String], flag: &str| {
        args.iter().any(|arg| arg == flag || arg.starts_with(&format!("{flag}=")))
    };
    let is_compact = ours[0] == "compact";
    for (flag, value, applies) in [
        ("--http-address", format!("127.0.0.1:{http}"), true),
        ("--grpc-address", format!("127.0.0.1:{grpc}"), !is_compact),
        ("--data-dir", folder.join("data").display().to_string(), ours[0] != "query"),
    ] {
        if applies && !is_given(&ours, flag) {
            ours.push(format!("{flag}={value}"));
        }
    }
    // No compactor may change the golden bucket.
    if is_compact {
        let copy = folder.join("bucket");
        tithon_testdata::copy_dir(&golden(), &copy);
        let golden = golden().display().to_string();
        let bucket = copy.display().to_string();
        ours.iter_mut().for_each(|arg| *arg = arg.replace(&golden, &bucket));
        let file = folder.join("objstore.yml");
        if file.exists() {
            let text = std::fs::read_to_string(&file).unwrap().replace(&golden, &bucket);
            std::fs::write(&file, text).unwrap();
        }
    }
    let (name, refusal) =
        name.split_once(" | ").map_or((name, None), |(name, told)| (name, Some(told.to_owned())));
    List { name: name.to_owned(), refusal, args: ours, port: http }
}

#[test]
fn each_list_starts_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let lists = lists(folder.path());
    assert!(lists.len() >= 20, "{}", lists.len());
    for list in lists {
        if let Some(told) = &list.refusal {
            let output = Command::new(TITHON).args(&list.args).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{}: {text}", list.name);
            assert!(text.contains(told), "{}: {text}", list.name);
            continue;
        }
        let mut running = Running::start(&list.args);
        let ends_by_itself = list.args[0] == "compact" && !list.args.iter().any(|arg| arg == "--wait");
        if !ends_by_itself {
            wait_for(&mut running, list.port, "/-/ready", 200, &list.name);
            running.signal("TERM");
        }
        assert_eq!(running.exit_code(), 0, "{}: {:?}", list.name, list.args);
    }
}
