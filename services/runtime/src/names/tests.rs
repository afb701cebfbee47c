//! Look-ups at a DNS server of the test.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use tokio::net::UdpSocket;

use super::*;

/// The records of the server: names with hosts or services. `None` makes it refuse all queries.
type Zone = Arc<Mutex<Option<Vec<(&'static str, RData)>>>>;

fn host(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(10, 0, 0, last)))
}

fn service(target: &str, port: u16) -> RData {
    RData::SRV(SRV::new(1, 1, port, Name::from_ascii(target).unwrap()))
}

fn answer(asked: &[u8], zone: &Zone) -> Vec<u8> {
    let asked = Message::from_vec(asked).unwrap();
    let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_available = true;
    let query = asked.queries[0].clone();
    let wanted = query.query_type();
    match &*zone.lock().unwrap() {
        None => answer.metadata.response_code = ResponseCode::ServFail,
        Some(records) => {
            let name = query.name().to_string();
            let of_name: Vec<&RData> =
                records.iter().filter(|(n, _)| *n == name).map(|(_, data)| data).collect();
            if of_name.is_empty() {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            for data in of_name {
                let is_wanted =
                    matches!((data, wanted), (RData::A(_), RecordType::A) | (RData::SRV(_), RecordType::SRV));
                if is_wanted {
                    answer.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
                }
            }
        }
    }
    answer.queries.push(query);
    answer.to_vec().unwrap()
}

async fn resolver(zone: Zone) -> TokioResolver {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let SocketAddr::V4(address) = socket.local_addr().unwrap() else { unreachable!() };
    tokio::spawn(async move {
        let mut packet = [0; 4096];
        while let Ok((n, from)) = socket.recv_from(&mut packet).await {
            let _ = socket.send_to(&answer(&packet[..n], &zone), from).await;
        }
    });
    let mut connection = ConnectionConfig::udp();
    connection.port = address.port();
    let mut server = NameServerConfig::udp((*address.ip()).into());
    server.connections = vec![connection];
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.attempts = 1;
    Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .unwrap()
}

fn dns(text: &str) -> DnsName {
    match EndpointAddress::parse(text).unwrap() {
        EndpointAddress::Dns(name) => name,
        EndpointAddress::Static(text) => panic!("{text} is no name"),
    }
}

#[tokio::test]
async fn names_become_addresses_and_keep_them_while_nobody_answers() {
    let zone: Zone = Arc::new(Mutex::new(Some(vec![
        ("store.example.", host(1)),
        ("store.example.", host(2)),
        ("_grpc._tcp.store.example.", service("a.example.", 10901)),
        ("_grpc._tcp.store.example.", service("b.example.", 10911)),
        ("a.example.", host(3)),
        ("b.example.", host(4)),
    ])));
    let limit = Duration::from_secs(5);
    let resolver = resolver(Arc::clone(&zone)).await;
    let resolve = async |texts: &[&str]| -> Vec<String> {
        let mut discovery = Discovery::new(texts.iter().map(|text| dns(text)), resolver.clone());
        discovery.resolve(limit).await.0.into_values().flatten().collect()
    };
    assert_eq!(resolve(&["dns+store.example.:7"]).await, ["10.0.0.1:7", "10.0.0.2:7"]);
    assert_eq!(resolve(&["dnssrv+_grpc._tcp.store.example."]).await, ["10.0.0.3:10901", "10.0.0.4:10911"]);
    assert_eq!(
        resolve(&["dnssrvnoa+_grpc._tcp.store.example."]).await,
        ["a.example:10901", "b.example:10911"]
    );
    assert_eq!(resolve(&["dnssrvnoa+_grpc._tcp.store.example.:5"]).await, ["a.example:5", "b.example:5"]);
    assert_eq!(resolve(&["dns+nowhere.example.:7"]).await, [""; 0]);

    let mut discovery = Discovery::new([dns("dns+store.example.:7"), dns("dns+a.example.:8")], resolver);
    let all = ["10.0.0.1:7", "10.0.0.2:7", "10.0.0.3:8"].map(str::to_owned);
    let mut addresses =
        async || -> BTreeSet<String> { discovery.resolve(limit).await.0.into_values().flatten().collect() };
    assert_eq!(addresses().await, BTreeSet::from(all.clone()));
    let known = zone.lock().unwrap().take();
    assert_eq!(addresses().await, BTreeSet::from(all), "the server fails");
    *zone.lock().unwrap() = known.map(|records| records.into_iter().skip(1).take(1).collect());
    assert_eq!(addresses().await, BTreeSet::from(["10.0.0.2:7".to_owned()]));
}

#[test]
fn addresses_are_checked_when_they_are_read() {
    for text in ["localhost:1", "[::1]:10901", "store-0.store.svc:10901"] {
        assert_eq!(EndpointAddress::parse(text).unwrap(), EndpointAddress::Static(text.to_owned()));
    }
    for (text, expected) in [
        ("localhost", "expected HOST:PORT"),
        (":10901", "expected HOST:PORT"),
        ("dns+store", "expected a port behind the name"),
        ("dns+store:http", "expected a port behind the name"),
        ("dnssrv+store:x", "expected a port behind the name"),
        ("dns+:10901", "the name is missing"),
        ("consul+store:1", "unknown prefix \"consul\""),
    ] {
        let error = EndpointAddress::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(text), "{error}");
    }
}
