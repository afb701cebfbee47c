//! A text with the threads of the process, in the place of Go's list of goroutines.

use std::fmt::Write;

/// A line per thread: ID, name, state, CPU time in seconds, and the kernel function in which it sleeps.
pub(crate) fn text() -> String {
    let mut threads = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        if let Some(thread) = Thread::of(&read("stat"), read("wchan")) {
            threads.push(thread);
        }
    }
    threads.sort_by(|a, b| b.ticks.cmp(&a.ticks).then_with(|| a.name.cmp(&b.name)));
    let mut out = format!(
        "threads: {}\n\n{:>8} {:<16} {:<9} {:>10} sleeps in\n",
        threads.len(),
        "id",
        "name",
        "state",
        "cpu s"
    );
    for thread in threads {
        let Thread { id, name, state, ticks, place } = thread;
        let seconds = ticks as f64 / TICKS_A_SECOND;
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{id:>8} {name:<16} {state:<9} {seconds:>10.2} {place}");
    }
    out
}

/// `sysconf(_SC_CLK_TCK)`, which is 100 on all platforms of Linux today.
const TICKS_A_SECOND: f64 = 100.0;

struct Thread {
    id: String,
    name: String,
    state: &'static str,
    /// CPU time in ticks, user and system.
    ticks: u64,
    place: String,
}

impl Thread {
    /// Parses `/proc/self/task/ID/stat`: the ID, the name in parentheses, the state; fields 14 and 15 are CPU times.
    fn of(stat: &str, place: String) -> Option<Thread> {
        let (id, rest) = stat.split_once(" (")?;
        // The name may contain parentheses.
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let state = match *fields.first()? {
            "R" => "running",
            "S" => "sleeping",
            "D" => "disk",
            "T" | "t" => "stopped",
            "Z" | "X" => "ended",
            _ => "other",
        };
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let place = if place == "0" { String::new() } else { place };
        Some(Thread { id: id.to_owned(), name: name.to_owned(), state, ticks, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let thread = Thread::of("12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0", "0".to_owned()).unwrap();
        assert_eq!((thread.id.as_str(), thread.name.as_str(), thread.state), ("12", "a) b (c)", "sleeping"));
        assert_eq!((thread.ticks, thread.place.as_str()), (300, ""));
        assert!(Thread::of("nonsense", String::new()).is_none());
    }

    #[test]
    fn this_thread_is_listed() {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let thread =
            std::thread::Builder::new().name("some-name".to_owned()).spawn(move || wait.recv().is_err());
        while !text().contains("some-name") {
            std::thread::yield_now();
        }
        drop(done);
        assert!(thread.unwrap().join().unwrap());
    }
}
