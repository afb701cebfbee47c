//! The HTTP server with real clients: long URLs, slow requests, TLS, passwords.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tithon_runtime::{HttpServer, Shutdown, url_query};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A router that answers with the length of the query.
fn router() -> Router {
    Router::new().fallback(any(async |request: Request| url_query(&request).len().to_string()))
}

async fn start(config: Option<&Path>) -> (SocketAddr, Shutdown) {
    let mut server = HttpServer::bind("127.0.0.1:0").await.unwrap();
    if let Some(path) = config {
        server = server.with_web_config(path).unwrap();
    }
    let (address, shutdown) = (server.local_addr(), Shutdown::default());
    tokio::spawn(server.serve(router(), shutdown.clone(), Duration::ZERO));
    (address, shutdown)
}

/// Sends a request and reads the head and, by its length, the body of the answer.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                return text;
            }
        }
        if stream.read_buf(&mut answer).await.unwrap() == 0 {
            return String::from_utf8(answer).unwrap();
        }
    }
}

#[tokio::test]
async fn long_urls_are_answered_on_one_connection() {
    let (address, _shutdown) = start(None).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for len in [5, 70_000, 1_000_000, 3, 200_000] {
        let answer =
            ask(&mut stream, &format!("GET /x?{} HTTP/1.1\r\nHost: x\r\n\r\n", "q".repeat(len))).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&format!("\r\n{len}")),
            "{len}: {answer}"
        );
    }
    let answer =
        ask(&mut stream, &format!("GET /x?{} HTTP/1.1\r\nHost: x\r\n\r\n", "q".repeat(2 << 20))).await;
    assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("431 Request Header Fields Too Large"), "{answer}");
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
}

/// Time is paused, and jumps to the next timer when all tasks wait.
#[tokio::test(start_paused = true)]
async fn slow_and_silent_clients_are_let_go() {
    let (address, _shutdown) = start(None).await;
    for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow:"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        let text = String::from_utf8_lossy(&rest);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
}

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Ca {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for `name` and its key, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

async fn connect(
    address: SocketAddr,
    ca: &Ca,
    identity: Option<(String, String)>,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.0.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

#[tokio::test]
async fn tls_follows_its_files_and_checks_clients() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let (ca, clients) = (Ca::new(), Ca::new());
    let (cert, key) = ca.issue("localhost");
    write("cert.pem", &cert);
    write("key.pem", &key);
    write("clients.pem", &clients.0.pem());
    let config = dir.path().join("web.yml");
    write("web.yml", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n");
    let (address, _shutdown) = start(Some(&config)).await;
    let mut stream = connect(address, &ca, None).await.unwrap();
    let answer = ask(&mut stream, "GET /?abc HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n3"), "{answer}");

    // The server's certificate is replaced by one of another CA.
    let other = Ca::new();
    let (cert, key) = other.issue("localhost");
    write("cert.pem", &cert);
    write("key.pem", &key);
    let later = std::time::SystemTime::now() + Duration::from_secs(2);
    for name in ["cert.pem", "key.pem"] {
        std::fs::File::options()
            .write(true)
            .open(dir.path().join(name))
            .unwrap()
            .set_modified(later)
            .unwrap();
    }
    assert!(connect(address, &ca, None).await.is_err());
    connect(address, &other, None).await.unwrap();

    // A second server requires certificates with one of two names.
    write(
        "mtls.yml",
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: clients.pem, \
         client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [ann.example, bob.example]}\n",
    );
    let (address, _shutdown) = start(Some(&dir.path().join("mtls.yml"))).await;
    for (identity, expected) in [
        (Some(clients.issue("bob.example")), true),
        (Some(clients.issue("eve.example")), false),
        (Some(other.issue("bob.example")), false),
        (None, false),
    ] {
        // In TLS 1.3 the client learns only when reading that it was refused.
        let answered = match connect(address, &other, identity).await {
            Err(_) => false,
            Ok(mut stream) => {
                let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                let mut answer = Vec::new();
                stream.write_all(request).await.is_ok() && stream.read_to_end(&mut answer).await.is_ok()
            }
        };
        assert_eq!(answered, expected);
    }
}

#[tokio::test]
async fn passwords_guard_all_routes() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("web.yml");
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    std::fs::write(
        &config,
        format!("basic_auth_users: {{ann: '{hash}'}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n"),
    )
    .unwrap();
    let (address, _shutdown) = start(Some(&config)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // "ann:s3cret", "ann:wrong", "eve:s3cret"
    for (authorization, expected) in [
        ("", 401),
        ("Authorization: Basic YW5uOnMzY3JldA==\r\n", 200),
        ("authorization: basic YW5uOnMzY3JldA==\r\n", 200),
        ("Authorization: Basic YW5uOndyb25n\r\n", 401),
        ("Authorization: Basic ZXZlOnMzY3JldA==\r\n", 401),
        ("Authorization: Basic !!\r\n", 401),
        ("Authorization: Bearer YW5uOnMzY3JldA==\r\n", 401),
    ] {
        let answer =
            ask(&mut stream, &format!("GET /-/ready HTTP/1.1\r\nHost: x\r\n{authorization}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{authorization}: {answer}");
        assert!(answer.contains("\r\nx-frame-options: deny\r\n"), "{answer}");
        assert_eq!(answer.contains("\r\nwww-authenticate: Basic\r\n"), expected == 401, "{answer}");
    }
}
