//! The client of HTTP/1.1 beside servers that answer word for word what they are told.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use bytes::BytesMut;
use tithon_runtime::{HttpAnswer, HttpClient, HttpClientConfig, HttpError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Parts of an answer, which are sent one by one.
type Answer = &'static [&'static str];

/// A server that gives these answers on one connection after the other, and closes each behind its last one. Gives all requests.
async fn serve(connections: Vec<Vec<Answer>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answers in connections {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            for answer in answers {
                requests.push(request(&mut stream).await);
                for part in answer {
                    stream.write_all(part.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        }
        requests
    });
    (address, serving)
}

async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

fn client() -> HttpClient {
    HttpClientConfig::default().http_client().unwrap()
}

async fn send(client: &HttpClient, address: SocketAddr) -> Result<HttpAnswer, HttpError> {
    client.send(client.requests().get(format!("http://{address}/x?y=z")).build().unwrap()).await
}

async fn body(answer: &mut HttpAnswer) -> Result<String, HttpError> {
    let mut body = BytesMut::new();
    while answer.read(&mut body).await? {}
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

async fn get(client: &HttpClient, address: SocketAddr) -> Result<(u16, String), HttpError> {
    let mut answer = send(client, address).await?;
    let body = body(&mut answer).await?;
    Ok((answer.status, body))
}

const ABC: Answer = &["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"];

#[tokio::test]
async fn answers_follow_each_other_on_one_connection() {
    let chunked: Answer = &[
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Enc",
        "oding: chunked\r\n\r\n2\r",
        "\nab\r\n1\r\nc\r\n0",
        "\r\n\r\n",
    ];
    let error: Answer = &["HTTP/1.1 503 Later\r\ncontent-length: 4\r\n\r\nlate"];
    let none: Answer = &["HTTP/1.1 204 None\r\n\r\n"];
    let (address, serving) = serve(vec![vec![ABC, chunked, error, none, ABC]]).await;
    let client = client();
    for (status, expected) in [(200, "abc"), (200, "abc"), (503, "late"), (204, ""), (200, "abc")] {
        assert_eq!(get(&client, address).await.unwrap(), (status, expected.to_owned()));
    }
    let requests = serving.await.unwrap();
    assert_eq!(requests.len(), 5);
    assert!(
        requests[0].starts_with(&format!("GET /x?y=z HTTP/1.1\r\nhost: {address}\r\n")),
        "{}",
        requests[0]
    );
}

#[tokio::test]
async fn connections_that_cannot_be_used_again_are_not() {
    let closing: Answer = &["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na"];
    let until_close: Answer = &["HTTP/1.1 200 OK\r\n\r\na"];
    let more: Answer =
        &["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"];
    // The last connection was kept, but is closed when it is used.
    let (address, serving) =
        serve(vec![vec![closing], vec![until_close], vec![more], vec![ABC], vec![ABC]]).await;
    let client = client();
    for expected in ["a", "a", "a", "abc", "abc"] {
        assert_eq!(get(&client, address).await.unwrap(), (200, expected.to_owned()));
    }
    assert_eq!(serving.await.unwrap().len(), 5);
}

#[tokio::test]
async fn answers_that_break_off_are_errors() {
    let length: Answer = &["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc"];
    let chunked: Answer = &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"];
    let (address, serving) = serve(vec![
        vec![length],
        vec![chunked],
        vec![&["HTTP/1.1 200 OK\r\n"]],
        vec![&[]],
        vec![&["SSH-2.0\r\n"]],
    ])
    .await;
    let client = client();
    for _ in 0..2 {
        let mut answer = send(&client, address).await.unwrap();
        assert!(matches!(body(&mut answer).await, Err(HttpError::CutShort)));
    }
    for _ in 0..2 {
        assert!(matches!(send(&client, address).await, Err(HttpError::CutShort)));
    }
    assert!(matches!(send(&client, address).await, Err(HttpError::Fault(_))));
    serving.await.unwrap();
    let error = send(&client, address).await.unwrap_err();
    assert!(
        matches!(&error, HttpError::Connect { address: told, .. } if *told == address.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn redirects_are_followed() {
    let elsewhere: Answer = &["HTTP/1.1 307 Elsewhere\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"];
    let (address, serving) = serve(vec![vec![elsewhere], vec![elsewhere, ABC]]).await;
    let mut answer = send(&client(), address).await.unwrap();
    assert_eq!((body(&mut answer).await.unwrap(), answer.url.path()), ("abc".to_owned(), "/there"));
    assert_eq!(serving.await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_answer_that_is_dropped_ends_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        while stream.write_all(b"3\r\nabc\r\n").await.is_ok() {}
    });
    let client = client();
    let mut answer = send(&client, address).await.unwrap();
    assert!(answer.read(&mut BytesMut::new()).await.unwrap());
    drop(answer);
    serving.await.unwrap();
}

#[tokio::test]
async fn silence_and_proxies() {
    let yaml = "transport_config: {response_header_timeout: 1000000}";
    let impatient = HttpClientConfig::parse(yaml).unwrap().http_client().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = send(&impatient, listener.local_addr().unwrap()).await.unwrap_err();
    assert!(matches!(error, HttpError::Silent(_)), "{error}");

    let (address, serving) = serve(vec![vec![ABC]]).await;
    let behind =
        HttpClientConfig::parse(&format!("proxy_url: http://{address}")).unwrap().http_client().unwrap();
    let request = behind.requests().get("http://nowhere.invalid/x").build().unwrap();
    assert_eq!(body(&mut behind.send(request).await.unwrap()).await.unwrap(), "abc");
    assert!(serving.await.unwrap()[0].starts_with("GET http://nowhere.invalid/x HTTP/1.1\r\n"));
}
