//! The machine: the memory that the process may use, and the host name.

use std::path::{Path, PathBuf};

/// Memory of the machine, or the lowest limit of the process's cgroups, in bytes; `None` if the system does not tell.
pub fn usable_bytes() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|path| limit(&read(&path)?));
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| machine_bytes(&text));
    limits.chain(machine).min()
}

/// Name of the host; empty if the system does not tell.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// The files with the limits of the cgroups listed in `/proc/self/cgroup`, and of their parents.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| Path::new(root).join(group).join(name)));
    }
    files
}

/// Parses a limit; `None` for `max`, which means no limit.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Parses `MemTotal` in `/proc/meminfo`, which is in KiB.
fn machine_bytes(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_all_groups_around_count() {
        let files = limit_files("12:cpu,memory:/a/b\n11:pids:/x\n0::/c\n");
        let names: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        let expected = [
            "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/c/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(names, expected);
        assert_eq!((limit("max\n"), limit("1024\n")), (None, Some(1024)));
        assert_eq!(machine_bytes("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 << 20));
        assert!(usable_bytes().is_none_or(|bytes| bytes > 0));
    }
}
