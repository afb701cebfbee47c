//! Child processes under test: servers on free loopback ports, tools run to their end.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
pub use tithon_testdata::free_port;

/// The program under test.
pub const TITHON: &str = env!("CARGO_BIN_EXE_tithon");

/// A server that is killed when this goes out of scope.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub url: String,
}

impl Server {
    /// Starts `tithon standalone` with these arguments and waits until it is ready.
    pub fn standalone(args: &[&str]) -> Server {
        let (http, grpc) = (free_port(), free_port());
        let mut command = Command::new(TITHON);
        command.args(["standalone", "--log.level=warn"]);
        command.arg(format!("--http-address=127.0.0.1:{http}"));
        command.arg(format!("--grpc-address=127.0.0.1:{grpc}"));
        command.args(args);
        Server::start(command, http)
    }

    /// Starts `tithon store` over a FILESYSTEM bucket; returns the server and the address of its StoreAPI.
    pub fn store(bucket: &Path, data: &Path) -> (Server, String) {
        let mut command = Command::new(TITHON);
        command.args(["store", "--log.level=warn", &format!("--data-dir={}", data.display())]);
        command.arg(format!(
            "--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}",
            bucket.display()
        ));
        Server::of_store(command)
    }

    /// Starts a server with a StoreAPI by a command without addresses; returns it and the address of its StoreAPI.
    pub fn of_store(mut command: Command) -> (Server, String) {
        let (http, grpc) = (free_port(), free_port());
        command.arg(format!("--http-address=127.0.0.1:{http}"));
        command.arg(format!("--grpc-address=127.0.0.1:{grpc}"));
        (Server::start(command, http), format!("127.0.0.1:{grpc}"))
    }

    /// Starts `tithon query` over these StoreAPI servers.
    pub fn query(endpoints: &[&str], args: &[&str]) -> Server {
        Server::query_with_grpc(endpoints, args).0
    }

    /// Starts a querier; returns the address of its own StoreAPI too.
    pub fn query_with_grpc(endpoints: &[&str], args: &[&str]) -> (Server, String) {
        let (http, grpc) = (free_port(), free_port());
        let mut command = Command::new(TITHON);
        command.args(["query", "--log.level=warn"]).args(args);
        command.args(endpoints.iter().map(|address| format!("--endpoint={address}")));
        command.arg(format!("--http-address=127.0.0.1:{http}"));
        command.arg(format!("--grpc-address=127.0.0.1:{grpc}"));
        (Server::start(command, http), format!("127.0.0.1:{grpc}"))
    }

    /// Starts Debian's Prometheus over a copy of a data directory, in which it may delete or compact blocks.
    pub fn prometheus(data: &Path) -> Server {
        Server::prometheus_of(Command::new("prometheus"), data, &[])
    }

    /// Starts another Prometheus with further flags.
    pub fn prometheus_of(command: Command, data: &Path, more: &[&str]) -> Server {
        Server::prometheus_with(command, data, "global: {scrape_interval: 1h}\n", more)
    }

    /// Starts a Prometheus with a configuration.
    pub fn prometheus_with(mut command: Command, data: &Path, text: &str, more: &[&str]) -> Server {
        let port = free_port();
        let config = data.join("prometheus.yml");
        std::fs::write(&config, text).unwrap();
        command.args(more).arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", data.display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.args(["--storage.tsdb.retention.time=100y", "--storage.tsdb.min-block-duration=2h"]);
        command.args(["--storage.tsdb.max-block-duration=2h", "--log.level=error"]);
        Server::start(command, port)
    }

    /// Starts a server whose probes are at `port`, and waits until it is ready.
    pub fn start(mut command: Command, port: u16) -> Server {
        let child = command.stdout(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut server = Server { child, url: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + Duration::from_secs(240);
        while ureq::get(format!("{}/-/ready", server.url)).call().is_err() {
            assert!(Instant::now() < deadline, "{command:?} is not ready after 240 s");
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("{command:?} ended with {status}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// GET of an API path with parameters; the parsed JSON, whatever the status.
    pub fn get(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let text = self.text(path, params);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path} {params:?}: {e}: {text:.200}"))
    }

    /// GET of a path with parameters; returns the unparsed answer, whatever the status.
    pub fn text(&self, path: &str, params: &[(&str, &str)]) -> String {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let request = agent.get(format!("{}{path}", self.url)).query_pairs(params.iter().copied());
        request.call().unwrap().body_mut().with_config().limit(1 << 30).read_to_string().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "still waiting for: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Standard output of a command that must succeed.
pub fn output(program: &str, args: &[&str]) -> String {
    let result = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let error = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{program} {args:?}: {}: {error}", result.status);
    String::from_utf8(result.stdout).unwrap()
}
