//! A proxy that kills the client at its n-th HTTP request.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// When the client is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The server does not see the request.
    BeforeRequest,
    /// The server has carried it out, and the client does not see the answer.
    BeforeAnswer,
}

/// Forwards connections to a port of the loopback interface until the process ends.
pub struct Proxy {
    pub address: String,
    state: Arc<State>,
}

struct State {
    /// Requests until the client is killed.
    left: AtomicUsize,
    client: AtomicU32,
    moment: Moment,
}

impl Proxy {
    pub fn start(port: u16, n: usize, moment: Moment) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State { left: n.into(), client: AtomicU32::new(0), moment });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                forward(client.unwrap(), server, &shared);
            }
        });
        Proxy { address, state }
    }

    /// Names the process that is killed.
    pub fn kills(&self, client: u32) {
        self.state.client.store(client, Ordering::SeqCst);
    }

    /// Whether the client was not killed yet.
    pub fn is_armed(&self) -> bool {
        self.state.left.load(Ordering::SeqCst) > 0
    }
}

/// Starts two threads that carry bytes between client and server until either closes.
fn forward(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    let is_last = Arc::new(AtomicUsize::new(0));
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (shared, mark) = (Arc::clone(state), Arc::clone(&is_last));
    std::thread::spawn(move || {
        carry(from, to, |bytes| {
            if is_request(bytes) && shared.count() {
                mark.store(1, Ordering::SeqCst);
                return shared.moment != Moment::BeforeRequest || shared.kill();
            }
            true
        });
    });
    let shared = Arc::clone(state);
    std::thread::spawn(move || {
        carry(server, client, |_| is_last.load(Ordering::SeqCst) == 0 || shared.kill())
    });
}

fn carry(mut from: TcpStream, mut to: TcpStream, goes_on: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || !goes_on(&buffer[..n]) || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Whether bytes begin a request: clients write the head of one at once.
fn is_request(bytes: &[u8]) -> bool {
    [&b"GET /"[..], b"HEAD /", b"PUT /", b"POST /", b"DELETE /"]
        .iter()
        .any(|method| bytes.starts_with(method))
}

impl State {
    /// Counts a request; whether it is the one at which the client is killed.
    fn count(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1)
    }

    /// Kills the client; gives `false`, as nothing goes on.
    fn kill(&self) -> bool {
        let client = loop {
            match self.client.load(Ordering::SeqCst) {
                0 => std::thread::yield_now(),
                client => break client,
            }
        };
        let killed = Command::new("kill").args(["-9", &client.to_string()]).status().unwrap();
        assert!(killed.success());
        false
    }
}
