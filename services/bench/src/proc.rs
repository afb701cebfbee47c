//! What the kernel says of a process and of the machine: `/proc` (proc(5)).

use std::fs;

/// Clock ticks a second in `/proc/PID/stat`; the kernel's interface fixes it at 100 on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of this program, without its children, seconds.
pub(crate) fn own_cpu_seconds() -> f64 {
    cpu_fields(std::process::id(), 2).unwrap_or_default()
}

/// User and system time of a process and of the children it waited for, seconds; also of one that has ended and was not
/// waited for yet. `None` when it is gone.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    cpu_fields(pid, 4)
}

/// The sum of utime and stime, and of cutime and cstime when `n` is 4.
fn cpu_fields(pid: u32, n: usize) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may hold spaces and brackets; the fields behind the last bracket start with the state.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(n);
    Some(fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND)
}

/// The most memory that a process had resident since [`reset_peak`], bytes. `None` when it has ended.
pub(crate) fn peak_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmHWM:")
}

/// The memory that a process has resident now, bytes. `None` when it has ended.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmRSS:")
}

fn status_bytes(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Makes the peak of a process its present memory. Where the kernel refuses, the peak stays that since the start.
pub(crate) fn reset_peak(pid: u32) {
    // The result is a number too high, never a wrong answer.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Open file descriptors of a process; 0 when it is gone.
pub(crate) fn descriptors(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// Seconds that all processors together worked since the machine started: everything but idle and waiting for disks.
pub(crate) fn machine_busy_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let busy = fields.iter().take(8).enumerate().filter(|(i, _)| *i != 3 && *i != 4);
    busy.map(|(_, ticks)| ticks).sum::<f64>() / TICKS_PER_SECOND
}

/// Name of the processor.
pub(crate) fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("unknown processor".to_owned(), |name| name.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Memory of the machine, bytes.
pub(crate) fn memory_bytes() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let pid = std::process::id();
        assert!(resident_bytes(pid) > Some(1 << 20));
        assert!(peak_bytes(pid) >= resident_bytes(pid));
        assert!(descriptors(pid) > 2);
        assert!(cpu_seconds(pid).is_some());
        assert!(machine_busy_seconds() > 0.0 && memory_bytes() > 1 << 28);
        assert_eq!(cpu_seconds(u32::MAX), None);
    }
}
