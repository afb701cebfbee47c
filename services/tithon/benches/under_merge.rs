//! How long a small query takes while the same process merges blocks, beside how long it takes in quiet.
//!
//! Starts `tithon standalone --demo` twice on the same made-up data: without a compactor, and with one that merges and
//! downsamples two days of blocks meanwhile. One client asks on one kept-alive connection. Prints quantiles of both and
//! their ratios; `DEMO_HOURS` sets the size.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An hour of a counter of some targets, at steps of 15 s: about a millisecond of work.
const QUERY: &str = "/api/v1/query_range?query=sum%20by%20(job)%20(rate(http_requests_total%5B5m%5D))\
                     &start=1793600000&end=1793603600&step=15";
/// The end of the demo's data.
const END: &str = "2026-11-02T08:00:00Z";
const QUIET_QUERIES: usize = 2000;

fn main() {
    let hours = std::env::var("DEMO_HOURS").unwrap_or_else(|_| "48".to_owned());
    let dir = tempfile::tempdir().expect("a folder");
    let start = |compact: bool| {
        let data = dir.path().join(format!("compact-{compact}"));
        Standalone::start(&[
            "--demo",
            &format!("--demo.hours={hours}"),
            &format!("--demo.end={END}"),
            &format!("--compact={compact}"),
            &format!("--data-dir={}", data.display()),
        ])
    };
    let mut quiet = {
        let server = start(false);
        let mut connection = server.connect();
        (0..QUIET_QUERIES).map(|_| connection.time(QUERY)).collect::<Vec<_>>()
    };
    let mut busy = Vec::new();
    let server = start(true);
    let (mut connection, mut metrics) = (server.connect(), server.connect());
    while !metrics.get("/metrics").contains("thanos_compact_iterations_total 1") {
        busy.extend((0..50).map(|_| connection.time(QUERY)));
    }
    println!("{:>10} {:>12} {:>12} {:>8}", "quantile", "quiet", "merging", "ratio");
    for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        let (a, b) = (quantile(&mut quiet, q), quantile(&mut busy, q));
        println!("{name:>10} {a:>12.2?} {b:>12.2?} {:>8.2}", b.as_secs_f64() / a.as_secs_f64());
    }
    println!("{} and {} queries", quiet.len(), busy.len());
}

fn quantile(times: &mut [Duration], q: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * q) as usize]
}

/// A process that is killed when this goes out of scope.
struct Standalone {
    child: Child,
    port: u16,
}

impl Standalone {
    fn start(args: &[&str]) -> Standalone {
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let (port, grpc) = (free(), free());
        let child = Command::new(env!("CARGO_BIN_EXE_tithon"))
            .args(["standalone", "--log.level=error"])
            .arg(format!("--http-address=127.0.0.1:{port}"))
            .arg(format!("--grpc-address=127.0.0.1:{grpc}"))
            .args(args)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("a process");
        let server = Standalone { child, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() || server.connect().get("/-/ready") != "OK" {
            assert!(begun.elapsed() < Duration::from_secs(120), "the process is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Connection(BufReader::new(stream))
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A kept-alive connection.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn get(&mut self, target: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).expect("sent");
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a head");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(n) = line.strip_prefix("content-length: ") {
                length = n.parse().expect("a length");
            }
            chunked |= line == "transfer-encoding: chunked";
        }
        if !chunked {
            return self.read(length);
        }
        let mut body = String::new();
        loop {
            let mut size = String::new();
            self.0.read_line(&mut size).expect("a chunk");
            let size = usize::from_str_radix(size.trim_end(), 16).expect("its size");
            body += &self.read(size);
            self.read(2);
            if size == 0 {
                return body;
            }
        }
    }

    fn read(&mut self, n: usize) -> String {
        let mut bytes = vec![0; n];
        self.0.read_exact(&mut bytes).expect("a body");
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn time(&mut self, target: &str) -> Duration {
        let begun = Instant::now();
        let body = self.get(target);
        assert!(body.starts_with("{\"status\":\"success\""), "{body}");
        begun.elapsed()
    }
}
