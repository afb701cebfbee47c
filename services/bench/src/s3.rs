//! An S3 server over folders of generated data, and a relay that delays the requests to it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{Child, free_port};
use crate::run::Failure;

const KEY: &str = "bench-access-key";
/// The most bytes of a request that are delayed at a time.
const RELAYED_BYTES: usize = 64 << 10;

/// A running server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct S3 {
    /// The configuration of the bucket, as `--objstore.config-file` takes it.
    pub config: PathBuf,
    _child: Child,
}

impl S3 {
    /// Starts `program`, a versitygw, over the folder `root`, each of whose folders is a bucket. Writes log and
    /// configuration of `bucket` into `work`. Each request arrives `delay` later.
    pub(crate) fn start(
        program: &Path,
        work: &Path,
        root: &Path,
        bucket: &str,
        delay: Duration,
    ) -> Result<S3, Failure> {
        let failed = |error: io::Error| Failure::Prepare(format!("{}: {error}", program.display()));
        let port = free_port().map_err(failed)?;
        let (address, folder) = (format!("127.0.0.1:{port}"), root.display().to_string());
        let args = ["--port", &address, "--access", KEY, "--secret", KEY, "--quiet", "posix", &folder];
        let mut child =
            Child::start(program, &args.map(str::to_owned), &work.join("s3.log")).map_err(failed)?;
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if !child.is_running() || begun.elapsed() > Duration::from_secs(10) {
                return Err(Failure::Prepare(format!("{}: {}", program.display(), child.last_line())));
            }
            thread::sleep(Duration::from_millis(20));
        }
        let port = if delay.is_zero() { port } else { relay(port, delay).map_err(failed)? };
        let config = work.join("s3.yml");
        let text = format!(
            "type: S3\nconfig: {{bucket: {bucket}, endpoint: '127.0.0.1:{port}', access_key: {KEY}, secret_key: {KEY}, insecure: true}}\n"
        );
        std::fs::write(&config, text).map_err(failed)?;
        Ok(S3 { config, _child: child })
    }
}

/// Hands on connections to the server at `port` until this process ends; what a client sends is handed on `delay`
/// later. Returns the port of the relay.
fn relay(port: u16, delay: Duration) -> io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let own = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A connection that fails is closed, which its client sees.
            let _ = hand_on(client, port, delay);
        }
    });
    Ok(own)
}

fn hand_on(client: TcpStream, port: u16, delay: Duration) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let mut buffer = vec![0; RELAYED_BYTES];
        while let Ok(n @ 1..) = requests.read(&mut buffer) {
            thread::sleep(delay);
            if to_server.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut answers, mut to_client) = (server, client);
    thread::spawn(move || {
        let _ = io::copy(&mut answers, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_later_and_whole() {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = relay(server.local_addr().unwrap().port(), Duration::from_millis(30)).unwrap();
        let begun = Instant::now();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.write_all(b"question").unwrap();
        let (mut at_server, _) = server.accept().unwrap();
        let mut read = [0; 8];
        at_server.read_exact(&mut read).unwrap();
        assert!(&read == b"question" && begun.elapsed() >= Duration::from_millis(30));
        at_server.write_all(b"answer").unwrap();
        drop(at_server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    }
}
