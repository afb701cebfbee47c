//! Connections that end during a call: an endpoint repeats the call on a new connection, and our servers do not close a
//! connection because its client cancels many calls.

#![allow(clippy::unwrap_used)]

#[path = "../examples/in_memory.rs"]
#[allow(dead_code)]
mod in_memory;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tithon_chunks::TimeRange;
use tithon_engine::{LabelsRequest, SeriesRequest};
use tithon_index::{Labels, MatchOp, Matcher};
use tithon_runtime::{Cpu, GrpcServer, Probes, Shutdown};
use tithon_storeapi::{Endpoint, EndpointOptions, SeriesPart, StoreApi, StoreApiServer};
use tokio::net::{TcpListener, TcpStream};

use self::in_memory::InMemory;

async fn serve() -> SocketAddr {
    let store = InMemory::new(&[(Labels::from_pairs([("__name__", "up")]), &[(1_000, 1.0)])]);
    let server = GrpcServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let probes = Probes::default();
    probes.set_ready(true);
    let services = StoreApiServer::new(Arc::new(store), Cpu::new(1).unwrap(), probes.clone()).services();
    let descriptors = tithon_proto::FILE_DESCRIPTOR_SET;
    tokio::spawn(server.serve(services, descriptors, probes, Shutdown::default(), Duration::ZERO));
    address
}

/// A proxy that closes every second connection, the first one included, once it has a call, and forwards the others.
/// Counts the closed ones.
async fn ending_proxy(target: SocketAddr, reason: h2::Reason) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    tokio::spawn(async move {
        for turn in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            if turn % 2 == 0 {
                tokio::spawn(async move {
                    let mut behind = TcpStream::connect(target).await.unwrap();
                    tokio::io::copy_bidirectional(&mut stream, &mut behind).await.ok();
                });
                continue;
            }
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let _call = connection.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            connection.abrupt_shutdown(reason);
            while connection.accept().await.is_some() {}
        }
    });
    (address, ended)
}

fn endpoint(address: SocketAddr) -> Endpoint {
    let options = EndpointOptions {
        info_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        message_bytes_max: 1 << 20,
        tls: None,
        strict: true,
        unhealthy_timeout: Duration::from_secs(300),
        calls: None,
        encoding: None,
        named_by: "--endpoint",
    };
    Endpoint::new(&address.to_string(), options).unwrap()
}

fn request() -> SeriesRequest {
    SeriesRequest::new(vec![Matcher::new(MatchOp::Equal, "__name__", "up").unwrap()], TimeRange::ALL)
}

async fn count_series(endpoint: &Endpoint) -> usize {
    let parts: Vec<SeriesPart> = endpoint.series(request()).try_collect().await.unwrap();
    let series = |part: &SeriesPart| match part {
        SeriesPart::Series(batch) => batch.series.len(),
        SeriesPart::Lease(_) | SeriesPart::Warning(_) => 0,
    };
    parts.iter().map(series).sum()
}

#[tokio::test]
async fn calls_are_sent_again_when_their_connection_ends() {
    let target = serve().await;
    for reason in [h2::Reason::NO_ERROR, h2::Reason::ENHANCE_YOUR_CALM, h2::Reason::INTERNAL_ERROR] {
        let (address, ended) = ending_proxy(target, reason).await;
        assert_eq!(count_series(&endpoint(address)).await, 1, "{reason}");
        assert_eq!(ended.load(Ordering::Relaxed), 1, "{reason}");

        let (address, ended) = ending_proxy(target, reason).await;
        let names = LabelsRequest::names(Vec::new(), TimeRange::ALL);
        let names = endpoint(address).labels(names).await.unwrap();
        assert_eq!(names.found.iter().count(), 1, "{reason}");
        assert_eq!(ended.load(Ordering::Relaxed), 1, "{reason}");
    }
}

#[tokio::test]
async fn leaving_many_calls_does_not_end_the_connection_of_the_others() {
    let endpoint = endpoint(serve().await);
    for _ in 0..20 {
        let calls = (0..100).map(|_| endpoint.series(request()).into_future());
        // The calls begin, may be sent, and are cancelled.
        tokio::time::timeout(Duration::from_micros(300), futures::future::join_all(calls)).await.ok();
        assert_eq!(count_series(&endpoint).await, 1);
    }
}
