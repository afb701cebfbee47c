//! Tests of the querier over real HTTP and gRPC, with real blocks.

mod blocks;
mod companions;
mod compare;
mod cut;
mod distributed;
mod endpoints;
mod forms;
mod hostile;
mod peers;
mod plans;
mod promql;
mod pushdown;
mod replay;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tithon_query::{QueryOptions, QueryService, router};
use tithon_runtime::{Cpu, HttpServer, Metrics, Shutdown};
use tithon_storeapi::{Endpoint, StoreApi};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::blocks::Blocks;

fn path(record: &Value) -> &str {
    record["path"].as_str().unwrap_or_default()
}

/// The stores and endpoints of a querier.
#[derive(Default)]
struct Sources {
    stores: Vec<Arc<dyn StoreApi>>,
    endpoints: Vec<Endpoint>,
}

impl Sources {
    fn of(store: impl StoreApi) -> Sources {
        Sources { stores: vec![Arc::new(store)], endpoints: Vec::new() }
    }

    fn and(mut self, endpoint: Endpoint) -> Sources {
        self.endpoints.push(endpoint);
        self
    }
}

/// A store over the blocks in the directories.
fn sources(dirs: &[&str]) -> Sources {
    Sources::of(Blocks::open(dirs))
}

fn service(options: QueryOptions, sources: Sources) -> QueryService {
    let cpu = Cpu::new(0).expect("a pool");
    let service = QueryService::new(options, sources.stores, cpu, &Metrics::new("test"));
    service.set_endpoints(sources.endpoints);
    service
}

/// Serves a querier's HTTP API on a free port.
async fn serve(options: QueryOptions, sources: Sources) -> SocketAddr {
    let service = service(options, sources);
    service.refresh().await;
    serve_service(service).await
}

async fn serve_service(service: QueryService) -> SocketAddr {
    let server = HttpServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr();
    tokio::spawn(server.serve(router(service), Shutdown::default(), Duration::ZERO));
    address
}

/// The parameters of a record as a URL-encoded form.
fn encoded(record: &Value) -> String {
    let params = record["params"].as_array().map_or(&[][..], Vec::as_slice);
    let mut form = form_urlencoded::Serializer::new(String::new());
    for pair in params {
        form.append_pair(pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
    }
    form.finish()
}

/// Sends a request over a connection of its own; returns status and body.
async fn ask(address: SocketAddr, record: &Value) -> (u16, Value) {
    let form = encoded(record);
    let path = path(record).replace(' ', "%20");
    let tenant = record["tenant"].as_str().map(|name| format!("THANOS-TENANT: {name}\r\n"));
    let tenant = tenant.unwrap_or_default();
    let request = if record["method"] == "POST" {
        format!(
            "POST {path} HTTP/1.0\r\n{tenant}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        )
    } else {
        format!("GET {path}?{form} HTTP/1.0\r\n{tenant}\r\n")
    };
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
}
