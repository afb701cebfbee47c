//! `web`: the page of the blocks and its API.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{command, golden_copy, json};

/// A server that is killed when this goes out of scope.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn blocks_are_shown_and_marked() {
    let bucket = golden_copy();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("--http-address=127.0.0.1:{port}");
    let flags = [&*address, "--label=cluster", "--web.external-prefix=/blocks-of/eu", "--refresh=50ms"];
    let child = command("web", bucket.path(), &flags).stderr(Stdio::null()).spawn().unwrap();
    let _server = Server(child);
    let url = format!("http://127.0.0.1:{port}/blocks-of/eu");
    let deadline = Instant::now() + Duration::from_secs(60);
    let found = loop {
        assert!(Instant::now() < deadline, "no blocks are shown");
        std::thread::sleep(Duration::from_millis(20));
        let Ok(mut answer) = ureq::get(format!("{url}/api/v1/blocks")).call() else { continue };
        let found: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        if found["data"]["blocks"].as_array().is_some_and(|blocks| !blocks.is_empty()) {
            break found;
        }
    };
    assert_eq!(found["data"]["label"], "cluster");
    // The block that is marked for deletion long since is shown too.
    assert_eq!(found["data"]["blocks"].as_array().unwrap().len(), 7);
    let page = ureq::get(format!("{url}/blocks")).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(page.contains("<html") || page.contains("<!doctype html>") || page.contains("<!DOCTYPE html>"));
    let id = "01HWXW0A00N2JP40HM8NDAQDMF";
    let mark = format!("{url}/api/v1/blocks/mark?id={id}&action=NO_COMPACTION&detail=large");
    assert_eq!(ureq::post(mark).send_empty().unwrap().status(), 204);
    assert_eq!(json(&bucket.path().join(id).join("no-compact-mark.json"))["details"], "large");
}
