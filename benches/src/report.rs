//! How benchmarks measure and tell: interleaved rounds, medians, one row a bench.

use std::time::Instant;

use serde::Serialize;

/// Collects rows and prints them: as a table for people or, with `--json` on the command line, one JSON object a line.
#[derive(Debug)]
pub struct Report {
    json: bool,
    rows: Vec<[String; 5]>,
}

impl Report {
    /// A report in the form that the command line asks for.
    pub fn from_args() -> Report {
        Report { json: std::env::args().any(|arg| arg == "--json"), rows: Vec::new() }
    }

    /// Adds a row: what was measured, its unit and value, what it is compared with and how many times better it is
    /// (`against` is empty where there is nothing to compare).
    pub fn row(&mut self, bench: &str, unit: &str, value: f64, against: &str, ratio: f64) {
        if self.json {
            let compared = !against.is_empty();
            let row = Row {
                bench,
                unit,
                value,
                against: compared.then_some(against),
                ratio: compared.then_some(ratio),
            };
            println!("{}", serde_json::to_string(&row).expect("strings and numbers"));
            return;
        }
        let ratio = if against.is_empty() { String::new() } else { format!("{ratio:.2}x") };
        self.rows.push([bench.to_owned(), format!("{value:.3}"), unit.to_owned(), ratio, against.to_owned()]);
    }

    /// Prints the table; after JSON there is nothing left to print.
    pub fn finish(self) {
        let width = |column: usize| self.rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        for row in &self.rows {
            let [bench, value, unit, ratio, against] = row;
            let [w0, w1, w2, w3, _] = widths;
            println!("{bench:<w0$}  {value:>w1$} {unit:<w2$}  {ratio:>w3$} {against}");
        }
    }
}

/// One JSON line; what is not compared has nulls.
#[derive(Serialize)]
struct Row<'a> {
    bench: &'a str,
    unit: &'a str,
    value: f64,
    against: Option<&'a str>,
    ratio: Option<f64>,
}

/// Median seconds of each variant over `n_rounds` rounds; every round runs all variants, so that a change of the
/// machine's pace meets all of them.
pub fn medians(n_rounds: usize, variants: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(n_rounds); variants.len()];
    for round in 0..=n_rounds {
        for (variant, times) in variants.iter_mut().zip(&mut times) {
            let start = Instant::now();
            variant();
            let elapsed = start.elapsed().as_secs_f64();
            // The first round warms caches up.
            if round > 0 {
                times.push(elapsed);
            }
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_unstable_by(f64::total_cmp);
            times.get(times.len() / 2).copied().unwrap_or(0.0)
        })
        .collect()
}

/// Median nanoseconds of one variant alone: at least five runs, for about a third of a second. For variants whose
/// twin is so slow that rounds would take minutes.
pub fn median_ns<T>(mut run: impl FnMut() -> T) -> f64 {
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || (began.elapsed().as_secs_f64() < 0.3 && times.len() < 100_000) {
        let start = Instant::now();
        std::hint::black_box(run());
        times.push(start.elapsed().as_secs_f64() * 1e9);
    }
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}
