//! Two days of a series in blocks of six hours, of which each replica lacks three hours.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::process::Server;

const HOUR: i64 = 3600;
const STEP: i64 = 300;

/// The time that the history covers; seconds.
pub struct History {
    start: i64,
}

impl History {
    /// The last two days that ended and that the compactor makes one block of, and six hours more behind the next two.
    pub fn new() -> History {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let span = 48 * HOUR;
        History { start: (now - 6 * HOUR).div_euclid(span) * span - span }
    }

    fn end(&self) -> i64 {
        self.start + 48 * HOUR
    }

    /// Writes the blocks of a replica into the data directory of its Prometheus.
    pub fn write(&self, replica: &str, dir: &Path) {
        let missing = if replica == "a" { 10 * HOUR..13 * HOUR } else { 30 * HOUR..33 * HOUR };
        let mut text = "# TYPE lab_history gauge\n".to_owned();
        for at in (self.start..self.end() + 6 * HOUR).step_by(STEP as usize) {
            if !missing.contains(&(at - self.start)) {
                writeln!(text, "lab_history{{room=\"x\"}} {} {at}", self.value(at)).unwrap();
            }
        }
        text.push_str("# EOF\n");
        let file = dir.with_extension("om");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("promtool");
        command.args(["tsdb", "create-blocks-from", "--max-block-duration=6h", "openmetrics"]);
        let made = command.arg(&file).arg(dir).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn value(&self, at: i64) -> i64 {
        (at - self.start) / STEP
    }

    /// Samples of the two days in each replica.
    pub fn n_of_replica(&self) -> i64 {
        45 * HOUR / STEP
    }

    /// Samples of the two days in both replicas together.
    pub fn n_of_both(&self) -> i64 {
        48 * HOUR / STEP
    }

    /// The number of samples of the two days that a querier counts.
    pub fn count(&self, querier: &Server, resolution: &str) -> Option<i64> {
        let (name, value) = resolution.split_once('=').unwrap();
        let at = (self.end() - 1).to_string();
        let params = [("query", "count_over_time(lab_history[2d])"), ("time", &at), (name, value)];
        let answer = querier.get("/api/v1/query", &params);
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Whether the greatest value of every hour is right when only windows of 5 minutes are read.
    pub fn is_whole_at_5m(&self, querier: &Server) -> bool {
        let (start, end) = ((self.start + HOUR).to_string(), self.end().to_string());
        let params = [
            ("query", "max_over_time(lab_history[1h])"),
            ("start", &start),
            ("end", &end),
            ("step", "3600"),
            ("max_source_resolution", "5m"),
        ];
        let answer = querier.get("/api/v1/query_range", &params);
        let Some(values) = answer["data"]["result"][0]["values"].as_array() else { return false };
        let found: Vec<i64> = values.iter().map(|pair| pair[1].as_str().unwrap().parse().unwrap()).collect();
        let last_of_hour = |hour: i64| hour * HOUR / STEP;
        let expected: Vec<i64> = (1..=48).map(last_of_hour).collect();
        found.len() == expected.len()
            && found.iter().zip(&expected).all(|(found, last)| (0..=1).contains(&(last - found)))
    }
}
