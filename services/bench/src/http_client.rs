//! An HTTP client for one server on the loopback interface: with persistent or fresh connections, GET or POST, with or
//! without gzip.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

use crate::run::{Call, Failure};

/// How requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transport {
    /// Whether each request uses a new connection.
    pub fresh: bool,
    /// Whether parameters are sent in the body.
    pub post: bool,
    /// Whether compressed answers are requested.
    pub gzip: bool,
}

/// A client for one port.
#[derive(Debug)]
pub(crate) struct HttpClient {
    port: u16,
    transport: Transport,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl HttpClient {
    pub(crate) fn new(port: u16, transport: Transport) -> HttpClient {
        HttpClient { port, transport, open: None }
    }

    /// Sends a request with form parameters and reads the whole answer, decompressed. A status other than 200 is a
    /// failure.
    pub(crate) async fn ask(&mut self, path: &str, form: &str) -> Result<(Call, Vec<u8>), Failure> {
        let request = self.request(path, form).map_err(|error| Failure::Prepare(error.to_string()))?;
        let began = Instant::now();
        let mut connection = match self.open.take().filter(|open| !self.transport.fresh && !open.is_closed())
        {
            Some(open) => open,
            None => connect(self.port).await?,
        };
        connection.ready().await.map_err(refused)?;
        let answer = connection.send_request(request).await.map_err(refused)?;
        let status = answer.status();
        let is_gzip = answer.headers().get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip");
        let mut body = answer.into_body();
        let (mut text, mut first) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(refused)?.into_data() {
                first.get_or_insert_with(|| began.elapsed().as_secs_f64());
                text.extend_from_slice(&data);
            }
        }
        let wall = began.elapsed().as_secs_f64();
        self.open = Some(connection);
        let call = Call { wall, first_byte: first.unwrap_or(wall), bytes: text.len() as u64 };
        let text = if is_gzip { unpack(&text)? } else { text };
        if status != StatusCode::OK {
            let shown: String = String::from_utf8_lossy(&text).chars().take(300).collect();
            return Err(Failure::Call(format!("{status}: {shown}")));
        }
        Ok((call, text))
    }

    fn request(&self, path: &str, form: &str) -> Result<Request<Full<Bytes>>, http::Error> {
        let Transport { post, gzip, .. } = self.transport;
        let request = Request::builder().header(header::HOST, format!("127.0.0.1:{}", self.port));
        let request = if gzip { request.header(header::ACCEPT_ENCODING, "gzip") } else { request };
        if post {
            return request
                .method(Method::POST)
                .uri(path)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Full::from(form.to_owned()));
        }
        request.method(Method::GET).uri(format!("{path}?{form}")).body(Full::default())
    }
}

async fn connect(port: u16) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let failed = |error: io::Error| Failure::Call(format!("no connection: {error}"));
    let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(refused)?;
    // Errors of the connection are returned to its requests.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}

fn refused(error: hyper::Error) -> Failure {
    Failure::Call(format!("connection: {error}"))
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Failure> {
    /// More than any answer that is measured.
    const TEXT_BYTES_MAX: u64 = 4 << 30;
    let mut text = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(packed).take(TEXT_BYTES_MAX).read_to_end(&mut text);
    read.map_err(|error| Failure::Call(format!("not gzip: {error}")))?;
    Ok(text)
}

/// Requests a small page, such as a probe, which is not measured. Returns its status and text.
pub(crate) fn get_small(port: u16, path: &str) -> io::Result<(u16, String)> {
    const TEXT_BYTES_MAX: u64 = 64 << 20;
    let limit = Duration::from_secs(10);
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(TEXT_BYTES_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let text = answer.split_once("\r\n\r\n").map_or("", |(_, text)| text);
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, text.to_owned()))
}
