//! Measurements of processes and of the machine, from `/proc` (proc(5)).

use std::fs;

/// Clock ticks per second in `/proc/PID/stat`, which are 100 on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of this program without its children, in seconds.
pub(crate) fn own_cpu_seconds() -> f64 {
    cpu_fields(std::process::id(), 2).unwrap_or_default()
}

/// User and system time of a process and of the children it waited for, in seconds. Also works for a process that has
/// ended but was not waited for; `None` when it is gone.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    cpu_fields(pid, 4)
}

/// The sum of utime and stime, and of cutime and cstime when `n` is 4.
fn cpu_fields(pid: u32, n: usize) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may contain spaces and brackets; the fields after the last bracket begin with the state.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(n);
    Some(fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND)
}

/// Peak resident memory of a process since [`reset_peak`], in bytes; `None` when it has ended.
pub(crate) fn peak_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Resident memory of a process, in bytes; `None` when it has ended.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmRSS:")
}

fn status_bytes(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Resets the peak memory of a process to its current memory. If the kernel refuses, the peak since the start stays.
pub(crate) fn reset_peak(pid: u32) {
    // Failure makes the peak too high, never too low.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Number of open file descriptors of a process; 0 when it is gone.
pub(crate) fn descriptors(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// Seconds that all CPUs together were busy since the machine started, without idle and I/O wait.
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
    // The fields are user, nice, system, idle, iowait, irq, softirq and steal; guest time is part of user.
    let busy = fields.iter().take(8).enumerate().filter(|(i, _)| *i != 3 && *i != 4);
    busy.map(|(_, ticks)| ticks).sum::<f64>() / TICKS_PER_SECOND
}

/// Name of the CPU.
pub(crate) fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("unknown processor".to_owned(), |name| name.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Memory of the machine in bytes.
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
