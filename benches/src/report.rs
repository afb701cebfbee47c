//! One row a measurement: a JSON object a line with `--json`, else a table.

use std::time::{Duration, Instant};

/// Prints rows as they come.
#[derive(Debug)]
pub struct Report {
    json: bool,
}

impl Report {
    /// Reads `--json` from the command line.
    pub fn from_args() -> Report {
        Report { json: std::env::args().any(|arg| arg == "--json") }
    }

    /// A row: what was measured, in which unit, and the value of what it is compared with (a scalar twin, a naive loop),
    /// if there is one. The ratio tells how many times better the value is: by `against / value`, or for rates (units
    /// that end in `/s`) by `value / against`.
    pub fn row(&self, bench: &str, unit: &str, value: f64, against: Option<f64>) {
        let ratio =
            against.map(|against| if unit.ends_with("/s") { value / against } else { against / value });
        if self.json {
            let row = serde_json::json!({
                "bench": bench, "unit": unit, "value": value, "against": against, "ratio": ratio
            });
            println!("{row}");
            return;
        }
        let number = |n: Option<f64>| n.map_or(String::from("-"), |n| format!("{n:.3}"));
        println!("{bench:<44} {value:>12.3} {unit:<12} {:>12} {:>9}", number(against), number(ratio));
    }
}

/// The fastest of several runs of `run`, in nanoseconds: at least five, and for about a third of a second.
pub fn fastest_ns<T>(mut run: impl FnMut() -> T) -> f64 {
    let (began, mut fastest, mut runs) = (Instant::now(), Duration::MAX, 0);
    while runs < 5 || (began.elapsed() < Duration::from_millis(300) && runs < 100_000) {
        let start = Instant::now();
        std::hint::black_box(run());
        fastest = fastest.min(start.elapsed());
        runs += 1;
    }
    fastest.as_secs_f64() * 1e9
}
