//! Both servers over real sockets: probes, metrics, health, reflection and shutdown.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tithon_runtime::{
    ClientTls, ClientTlsOptions, DialOptions, GrpcServer, GrpcServices, HttpServer, Metrics, Pem, Probes,
    ServerTls, ServerTlsOptions, Shutdown, TlsVersion, dial, ops_router,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn http_probes_and_metrics() {
    let (probes, metrics, shutdown) = (Probes::default(), Metrics::new("1"), Shutdown::default());
    probes.register(&metrics, "store");
    let server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let router = ops_router(probes.clone(), metrics);
    let served = tokio::spawn(server.serve(router, shutdown.clone(), Duration::from_secs(5)));
    assert!(get(address, "/-/ready").await.starts_with("HTTP/1.1 503"));
    probes.set_ready(true);
    probes.set_healthy(true);
    let ready = get(address, "/-/ready").await;
    assert!(ready.starts_with("HTTP/1.1 200") && ready.ends_with("OK"), "{ready}");
    assert!(get(address, "/-/healthy").await.starts_with("HTTP/1.1 200"));
    let metrics = get(address, "/metrics").await;
    assert!(metrics.contains("thanos_status{component=\"store\",check=\"ready\"} 1"), "{metrics}");
    let error = HttpServer::bind(&address.to_string()).await.err().unwrap().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    shutdown.trigger();
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn grpc_health_follows_the_probes_and_reflection_lists_services() {
    let (probes, shutdown) = (Probes::default(), Shutdown::default());
    let metrics = Metrics::new("1");
    let server = GrpcServer::bind("127.0.0.1:0").await.unwrap();
    let server = server.with_metrics(&metrics, tonic_health::pb::FILE_DESCRIPTOR_SET);
    let url = format!("http://{}", server.local_addr());
    let serve = server.serve(
        GrpcServices::default(),
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        probes.clone(),
        shutdown.clone(),
        Duration::from_secs(5),
    );
    let served = tokio::spawn(serve);
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let mut status = async || {
        let request = HealthCheckRequest { service: String::new() };
        health.check(request).await.unwrap().into_inner().status()
    };
    assert_eq!(status().await, ServingStatus::NotServing);
    probes.set_ready(true);
    while status().await != ServingStatus::Serving {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut reflection = ServerReflectionClient::new(channel);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers =
        reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    assert!(list.service.iter().any(|s| s.name == "grpc.health.v1.Health"), "{list:?}");
    drop((answers, reflection, health));
    let text = metrics.text();
    let check = "grpc_type=\"unary\",grpc_service=\"grpc.health.v1.Health\",grpc_method=\"Check\"";
    let handled = format!("grpc_server_handled_total{{{check},grpc_code=\"OK\"}} ");
    assert!(text.contains(&handled), "{text}");
    assert!(text.contains(&format!("grpc_server_msg_sent_total{{{check}}} ")), "{text}");
    shutdown.trigger();
    served.await.unwrap().unwrap();
}

/// Writes a CA certificate as `NAME-ca.pem`, and a certificate for `localhost` signed by it, with its key, as
/// `NAME.pem` and `NAME.key`.
fn write_identity(dir: &Path, name: &str) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    std::fs::write(dir.join(format!("{name}-ca.pem")), ca.pem()).unwrap();
    std::fs::write(dir.join(format!("{name}.pem")), signed.pem()).unwrap();
    std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

async fn is_serving(address: SocketAddr, tls: Option<ClientTlsOptions>) -> bool {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = {
        let tls = tls.map(|options| ClientTls::new(options).unwrap());
        dial(endpoint, DialOptions { tls, ..DialOptions::default() })
    };
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel).check(request).await.is_ok()
}

#[tokio::test]
async fn grpc_speaks_tls_with_those_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["server", "client", "stranger"] {
        write_identity(dir.path(), name);
    }
    let file = |name: &str| Pem::File(dir.path().join(name));
    let start = async |client_ca: Option<Pem>| {
        let options = ServerTlsOptions::grpc(file("server.pem"), file("server.key"), client_ca);
        let tls = ServerTls::new(options).unwrap();
        let server = GrpcServer::bind("127.0.0.1:0").await.unwrap().with_tls(Some(tls));
        let address = server.local_addr();
        let descriptors = tonic_health::pb::FILE_DESCRIPTOR_SET;
        let (probes, shutdown) = (Probes::default(), Shutdown::default());
        tokio::spawn(server.serve(GrpcServices::default(), descriptors, probes, shutdown, Duration::ZERO));
        address
    };
    let client = |ca: &str, identity: Option<&str>| ClientTlsOptions {
        ca: Some(file(ca)),
        identity: identity.map(|name| (file(&format!("{name}.pem")), file(&format!("{name}.key")))),
        server_name: Some("localhost".to_owned()),
        skip_verify: false,
        min_version: TlsVersion::V13,
    };
    let open = start(None).await;
    assert!(is_serving(open, Some(client("server-ca.pem", None))).await);
    assert!(!is_serving(open, Some(client("stranger-ca.pem", None))).await);
    assert!(
        is_serving(open, Some(ClientTlsOptions { skip_verify: true, ..client("stranger-ca.pem", None) }))
            .await
    );
    let other_name = Some("other.example".to_owned());
    assert!(
        !is_serving(
            open,
            Some(ClientTlsOptions { server_name: other_name, ..client("server-ca.pem", None) })
        )
        .await
    );
    assert!(!is_serving(open, None).await);

    let closed = start(Some(file("client-ca.pem"))).await;
    assert!(is_serving(closed, Some(client("server-ca.pem", Some("client")))).await);
    assert!(!is_serving(closed, Some(client("server-ca.pem", Some("stranger")))).await);
    assert!(!is_serving(closed, Some(client("server-ca.pem", None))).await);
}
