//! Request encodings of real clients: both kinds of forms, malformed escapes, methods that are not allowed, long URLs.

use std::net::SocketAddr;

use tithon_query::{Dialect, QueryOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{serve, sources};

const BLOCKS: &[&str] = &["answers/data/replica-a"];

/// Sends the text of a request and returns status, head and body.
async fn send(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.0\r\n\r\n")
}

fn post(content_type: &str, body: &str) -> String {
    format!(
        "POST /api/v1/query HTTP/1.0\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn both_dialects() -> [SocketAddr; 2] {
    let with = |dialect| serve(QueryOptions { dialect, ..QueryOptions::default() }, sources(BLOCKS));
    [with(Dialect::Prometheus).await, with(Dialect::Thanos).await]
}

#[tokio::test]
async fn forms_of_either_kind_in_any_spelling() {
    let [address, _] = both_dialects().await;
    let (_, _, want) = send(address, &get("/api/v1/query?query=count(up)&time=1710036000")).await;
    assert!(want.contains("\"result\":[{"), "{want}");
    let url_encoded = "query=count%28up%29&time=1710036000";
    let multipart = "--xYx\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\ncount(up)\r\n\
                     --xYx\r\nContent-Disposition: form-data; name=\"time\"\r\n\r\n1710036000\r\n--xYx--\r\n";
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", url_encoded),
        ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", url_encoded),
        ("multipart/form-data; boundary=xYx", multipart),
        ("Multipart/Form-Data; boundary=xYx", multipart),
    ] {
        assert_eq!(send(address, &post(content_type, body)).await.2, want, "{content_type}");
    }
    for body in ["--xYx\r\nContent-Disp", "nothing of the kind"] {
        let (status, _, text) = send(address, &post("multipart/form-data; boundary=xYx", body)).await;
        assert!(status == 400 && text.contains("error parsing form values"), "{text}");
    }
    let long = format!("/api/v1/query?query=count(up)&time=1710036000&unused={}", "x".repeat(900_000));
    assert_eq!(send(address, &get(&long)).await.2, want);
}

#[tokio::test]
async fn malformed_escapes_are_errors() {
    let [prometheus, thanos] = both_dialects().await;
    for address in [prometheus, thanos] {
        for query in ["up%zz", "up%2", "up;x=1"] {
            let (status, _, body) = send(address, &get(&format!("/api/v1/query?query={query}"))).await;
            assert!(status == 400 && body.contains("no expression found in input"), "{query}: {body}");
        }
    }
    let series = get("/api/v1/series?match[]=up&x=%zz");
    let (status, _, body) = send(prometheus, &series).await;
    assert_eq!(status, 400);
    assert!(body.contains(r#"error parsing form values: invalid URL escape \"%zz\""#), "{body}");
    let (status, _, body) = send(thanos, &series).await;
    assert_eq!(status, 500);
    assert!(body.contains(r#"parse form: invalid URL escape \"%zz\""#), "{body}");
}

#[tokio::test]
async fn methods_that_there_are_not() {
    let [address, _] = both_dialects().await;
    for (method, path, allowed) in [
        ("HEAD", "/api/v1/query?query=up", "get, options, post"),
        ("PUT", "/api/v1/query", "get, options, post"),
        ("DELETE", "/api/v1/label/job/values", "get, options"),
        ("POST", "/api/v1/status/buildinfo", "get, options"),
    ] {
        let (status, head, body) = send(address, &format!("{method} {path} HTTP/1.0\r\n\r\n")).await;
        assert_eq!(status, 405, "{method} {path}");
        assert!(head.contains(&format!("\r\nallow: {allowed}")), "{head}");
        assert_eq!(body, if method == "HEAD" { "" } else { "Method Not Allowed\n" });
    }
    assert_eq!(send(address, "HEAD / HTTP/1.0\r\n\r\n").await.0, 200);
}

#[tokio::test]
async fn no_time_at_all_and_odd_statistics() {
    let [prometheus, thanos] = both_dialects().await;
    let no_time = get("/api/v1/query?query=up&time=1710036000&timeout=0");
    let (status, _, body) = send(prometheus, &no_time).await;
    assert!(status == 400 && body.contains("context deadline exceeded"), "{body}");
    let (status, _, body) = send(thanos, &no_time).await;
    assert!(status == 503 && body.contains("\"errorType\":\"timeout\""), "{body}");

    let odd = get("/api/v1/query?query=up&time=1710036000&stats=1");
    let (_, _, body) = send(prometheus, &odd).await;
    assert!(
        body.contains("\"stats\":{") && body.contains(r#"value \"1\" for parameter \"stats\" is deprecated"#)
    );
    let (_, _, body) = send(thanos, &odd).await;
    assert!(body.contains("\"stats\":{") && !body.contains("deprecated"), "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let seconds = |name: &str| answer["data"]["stats"]["timings"][name].as_f64().unwrap();
    let (all, inner) = (seconds("execTotalTime"), seconds("innerEvalTime"));
    assert!(inner > 0.0 && all > inner && all < 60.0, "{body}");
}

#[tokio::test]
async fn shards_have_every_series_once() {
    let [address, _] = both_dialects().await;
    let count = async |shard: &str| {
        let shard: String = form_urlencoded::byte_serialize(shard.as_bytes()).collect();
        let query = "count(%7B__name__!%3D%22%22%7D)";
        let target = format!("/api/v1/query?query={query}&time=1710036000&shard_info={shard}");
        let (status, _, body) = send(address, &get(&target)).await;
        assert_eq!(status, 200, "{body}");
        let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let count = answer["data"]["result"][0]["value"][1].as_str().map_or(Ok(0), str::parse::<u64>);
        count.expect("a number")
    };
    let all = count("").await;
    assert_eq!(count("{}").await, all);
    for by in ["true", "false"] {
        let mut counts = Vec::new();
        for index in 0..3 {
            let labels = r#"["instance"]"#;
            let shard = format!(r#"{{"shard_index":{index},"total_shards":3,"by":{by},"labels":{labels}}}"#);
            counts.push(count(&shard).await);
        }
        assert_eq!(counts.iter().sum::<u64>(), all, "{counts:?}");
        assert!(counts.iter().all(|n| *n < all), "{counts:?}");
    }
}
