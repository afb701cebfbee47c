//! Object store servers as child processes on free loopback ports, each with an empty bucket and the YAML for it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::swift;

/// The servers' password, which no error may contain.
pub const SECRET: &str = "hunter2hunter2";
/// Azurite's built-in account and key.
const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The kinds of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    S3,
    /// Its JSON API; a part of its XML API, which `object_store` speaks, to read with.
    Gcs,
    /// Its XML API as far as it is that of S3, without passwords.
    GcsXml,
    Azure,
    Swift,
}

impl Kind {
    /// The kinds that Tithon can write to.
    pub const WRITABLE: [Kind; 4] = [Kind::S3, Kind::GcsXml, Kind::Azure, Kind::Swift];

    /// Whether the server asks for a password.
    pub fn has_password(self) -> bool {
        !matches!(self, Kind::Gcs | Kind::GcsXml)
    }
}

/// A running server, killed when this goes out of scope.
pub struct Fleet {
    pub kind: Kind,
    pub port: u16,
    pub dir: TempDir,
    /// Further flags of the server.
    more: Vec<String>,
    children: Vec<Child>,
}

impl Fleet {
    /// Starts a server with an empty bucket `thanos`.
    pub fn start(kind: Kind) -> Fleet {
        Fleet::start_with(kind, &[])
    }

    /// The same with further flags, which only the S3 server takes.
    pub fn start_with(kind: Kind, more: &[&str]) -> Fleet {
        let (dir, more) =
            (tempfile::tempdir().unwrap(), more.iter().map(|flag| (*flag).to_owned()).collect());
        let mut fleet = Fleet { kind, port: tithon_testdata::free_port(), dir, more, children: Vec::new() };
        fleet.launch();
        match kind {
            Kind::S3 | Kind::GcsXml | Kind::Azure => {}
            Kind::Gcs => {
                let url = format!("http://127.0.0.1:{}/storage/v1/b?project=p", fleet.port);
                ureq::post(url)
                    .header("content-type", "application/json")
                    .send(r#"{"name":"thanos"}"#)
                    .unwrap();
            }
            Kind::Swift => swift::make_container(fleet.port),
        }
        fleet
    }

    /// Uploads an object to the GCS server by a protocol that it supports.
    pub fn put_gcs(&self, key: &str, bytes: &[u8]) {
        let url = format!("http://127.0.0.1:{}/upload/storage/v1/b/thanos/o", self.port);
        let request = ureq::post(url).query("uploadType", "media").query("name", format!("a/b/{key}"));
        request.header("content-type", "application/octet-stream").send(bytes).unwrap();
    }

    /// Restarts the processes on the same port and data.
    pub fn launch(&mut self) {
        let (port, dir) = (self.port, self.dir.path());
        let commands = match self.kind {
            Kind::S3 => {
                std::fs::create_dir_all(dir.join("thanos")).unwrap();
                let mut command = Command::new("versitygw");
                command.args([
                    "--port",
                    &format!("127.0.0.1:{port}"),
                    "--access",
                    "tithon",
                    "--secret",
                    SECRET,
                ]);
                command.args(&self.more).arg("posix").arg(dir);
                vec![command]
            }
            Kind::Gcs => {
                let mut command = Command::new("fake-gcs-server");
                command.args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port.to_string()]);
                command.args(["-backend", "memory", "-log-level", "error"]);
                command.args(["-public-host", &format!("127.0.0.1:{port}")]);
                vec![command]
            }
            Kind::GcsXml => {
                let mut command = Command::new("gofakes3");
                command.args(["-host", &format!("127.0.0.1:{port}"), "-initialbucket", "thanos"]);
                command.args(["-backend", "bolt", "-bolt.db"]).arg(dir.join("bolt.db"));
                vec![command]
            }
            Kind::Azure => {
                let mut command = Command::new("azurite-blob");
                command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
                command.args(["--skipApiVersionCheck", "--silent", "--location"]).arg(dir);
                vec![command]
            }
            Kind::Swift => swift::commands(dir, port),
        };
        for mut command in commands {
            let log = std::fs::File::create(dir.join(format!("log-{}", self.children.len()))).unwrap();
            command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
            self.children.push(command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")));
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{:?} does not listen after 60 s: {}", self.kind, logs(dir));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the processes.
    pub fn kill(&mut self) {
        for mut child in self.children.drain(..) {
            // A process that has ended needs no killing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The YAML of `--objstore.config` for the bucket.
    pub fn yaml(&self) -> String {
        self.yaml_of("thanos", SECRET)
    }

    /// The YAML for another bucket or secret. It allows one attempt only, so that errors come at once.
    pub fn yaml_of(&self, bucket: &str, secret: &str) -> String {
        let port = self.port;
        match self.kind {
            Kind::S3 => format!(
                "type: S3\nconfig: {{bucket: {bucket}, endpoint: '127.0.0.1:{port}', insecure: true, \
                 access_key: tithon, secret_key: {secret}, max_retries: 1}}\nprefix: a/b"
            ),
            // The server needs no password; the key names its address, so that no environment variable is needed.
            Kind::Gcs | Kind::GcsXml => format!(
                "type: GCS\nconfig: {{bucket: {bucket}, max_retries: 1, service_account: \
                 '{{\"type\":\"service_account\",\"gcs_base_url\":\"http://127.0.0.1:{port}\",\"disable_oauth\":true,\
                 \"client_email\":\"\",\"private_key\":\"\",\"private_key_id\":\"\"}}'}}\nprefix: a/b"
            ),
            Kind::Azure => {
                let key = if secret == SECRET { AZURITE_KEY } else { "aHVudGVyM2h1bnRlcjM=" };
                format!(
                    "type: AZURE\nconfig: {{storage_account: {AZURITE_ACCOUNT}, container: {bucket}, \
                     storage_account_key: '{key}', endpoint: 'http://127.0.0.1:{port}/{AZURITE_ACCOUNT}', \
                     storage_create_container: {}, pipeline_config: {{max_tries: 1, retry_delay: 10ms}}}}\nprefix: a/b",
                    bucket == "thanos"
                )
            }
            Kind::Swift => format!(
                "type: SWIFT\nconfig: {{auth_version: 1, auth_url: 'http://127.0.0.1:{port}/auth/v1.0', \
                 username: 'test:tester', password: {secret}, container_name: {bucket}, retries: 0}}\nprefix: a/b"
            ),
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The logs of the servers.
fn logs(dir: &Path) -> String {
    let read = |i| std::fs::read_to_string(dir.join(format!("log-{i}"))).unwrap_or_default();
    (0..5).map(read).collect()
}
