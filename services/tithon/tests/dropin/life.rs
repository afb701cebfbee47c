//! From the first moment to the last: probes during the start, SIGHUP, SIGTERM.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::process::free_port;
use super::{Running, golden, objstore, status, wait_for};

/// A server that accepts connections and never answers: an object store that hangs.
fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn args(text: String) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn a_store_that_still_looks_at_its_bucket_is_healthy_and_not_ready() {
    let (_listener, s3) = silent();
    let (http, grpc, folder) = (free_port(), free_port(), tempfile::tempdir().unwrap());
    let mut list = args(format!(
        "store --log.level=warn --http-address=127.0.0.1:{http} --grpc-address=127.0.0.1:{grpc} --data-dir={}",
        folder.path().display()
    ));
    list.push(format!(
        "--objstore.config={{type: S3, config: {{bucket: b, endpoint: '127.0.0.1:{s3}', insecure: true, access_key: a, secret_key: s}}}}"
    ));
    let mut running = Running::start(&list);
    wait_for(&mut running, http, "/-/healthy", 200, "store");
    assert_eq!(status(http, "/-/ready"), 503);
    assert_eq!(status(http, "/metrics"), 200);
    assert_eq!(status(http, "/api/v1/blocks"), 503);
    // gRPC is served too.
    assert!(TcpStream::connect(("127.0.0.1", grpc)).is_ok());
    running.signal("TERM");
    assert_eq!(running.exit_code(), 0);
}

#[test]
fn a_demo_that_is_being_filled_is_healthy_and_not_ready() {
    let (http, grpc, folder) = (free_port(), free_port(), tempfile::tempdir().unwrap());
    let list = args(format!(
        "standalone --demo --demo.hours=336 --log.level=warn --http-address=127.0.0.1:{http} --grpc-address=127.0.0.1:{grpc} --data-dir={}",
        folder.path().display()
    ));
    let mut running = Running::start(&list);
    wait_for(&mut running, http, "/-/healthy", 200, "standalone");
    assert_eq!(status(http, "/-/ready"), 503);
    running.signal("TERM");
    assert_eq!(running.exit_code(), 0);
}

#[test]
fn a_hangup_ends_no_process_and_has_files_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("endpoints.yml");
    std::fs::write(&file, "endpoints: []\n").unwrap();
    let (http, grpc) = (free_port(), free_port());
    let query = args(format!(
        "query --log.level=warn --http-address=127.0.0.1:{http} --grpc-address=127.0.0.1:{grpc} --endpoint.sd-config-file={}",
        file.display()
    ));
    let mut query = Running::start(&query);
    let (store_http, store_grpc) = (free_port(), free_port());
    let mut list = args(format!(
        "store --log.level=warn --http-address=127.0.0.1:{store_http} --grpc-address=127.0.0.1:{store_grpc} --data-dir={}",
        folder.path().display()
    ));
    list.push(objstore(&golden()));
    let mut store = Running::start(&list);
    wait_for(&mut store, store_http, "/-/ready", 200, "store");
    wait_for(&mut query, http, "/-/ready", 200, "query");
    std::fs::write(&file, format!("endpoints: [{{address: '127.0.0.1:{store_grpc}'}}]\n")).unwrap();
    store.signal("HUP");
    query.signal("HUP");
    // The configuration is read every five minutes otherwise.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let mut text = String::new();
        let response = ureq::get(format!("http://127.0.0.1:{http}/api/v1/stores")).call().unwrap();
        response.into_body().into_reader().read_to_string(&mut text).unwrap();
        if text.contains(&format!("127.0.0.1:{store_grpc}")) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(status(store_http, "/-/ready"), 200);
    for running in [&mut query, &mut store] {
        running.signal("TERM");
        assert_eq!(running.exit_code(), 0);
    }
}

#[test]
fn requests_under_way_hold_the_end_up_for_the_grace_period_only() {
    let (http, grpc, folder) = (free_port(), free_port(), tempfile::tempdir().unwrap());
    let mut list = args(format!(
        "store --log.level=warn --http-grace-period=1s --grpc-grace-period=1s --http-address=127.0.0.1:{http} --grpc-address=127.0.0.1:{grpc} --data-dir={}",
        folder.path().display()
    ));
    list.push(objstore(&golden()));
    let mut running = Running::start(&list);
    wait_for(&mut running, http, "/-/ready", 200, "store");
    // A request whose body never comes.
    let mut open = TcpStream::connect(("127.0.0.1", http)).unwrap();
    open.write_all(b"POST /api/v1/blocks HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n").unwrap();
    running.signal("TERM");
    assert_eq!(running.exit_code(), 0);
}
