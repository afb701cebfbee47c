//! The JSON envelope of every answer: status, data or error, warnings and infos.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tithon_runtime::RuntimeError;

use crate::error::ApiError;
use crate::json::{push_list, push_text};
use crate::options::Dialect;

/// The data of a successful answer as JSON, with its warnings and infos.
pub(crate) struct Answer {
    pub(crate) data: Data,
    pub(crate) warnings: Vec<String>,
    pub(crate) infos: Vec<String>,
}

/// The JSON of an answer's `data`.
pub(crate) enum Data {
    /// No content at all: status 204.
    Empty,
    /// The whole JSON text.
    Whole(Vec<u8>),
    /// The JSON text in pieces that are written while the answer is sent.
    Pieces(BoxStream<'static, Result<Vec<u8>, RuntimeError>>),
}

impl Answer {
    /// An answer without warnings and infos.
    pub(crate) fn new(data: Vec<u8>) -> Answer {
        Answer { data: Data::Whole(data), warnings: Vec::new(), infos: Vec::new() }
    }

    /// An answer whose data is a list of strings.
    pub(crate) fn strings<S: AsRef<[u8]>>(items: impl IntoIterator<Item = S>) -> Answer {
        let mut data = Vec::new();
        push_list(&mut data, items, |out, s| push_text(out, s.as_ref()));
        Answer::new(data)
    }
}

/// Makes the HTTP response.
pub(crate) fn respond(dialect: Dialect, result: Result<Answer, ApiError>) -> Response {
    match result {
        Ok(answer) => success(dialect, answer),
        Err(error) => failure(dialect, &error),
    }
}

fn success(dialect: Dialect, answer: Answer) -> Response {
    const HEAD: &[u8] = br#"{"status":"success","data":"#;
    let no_store = dialect == Dialect::Thanos
        && answer.warnings.iter().any(|w| !w.starts_with("PromQL info") && !w.starts_with("PromQL warning"));
    let mut tail = Vec::new();
    for (name, notes) in [("warnings", &answer.warnings), ("infos", &answer.infos)] {
        if !notes.is_empty() {
            tail.extend_from_slice(format!(",\"{name}\":").as_bytes());
            push_list(&mut tail, notes, |out, note| push_text(out, note.as_bytes()));
        }
    }
    tail.push(b'}');
    let body = match answer.data {
        Data::Empty => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        Data::Whole(data) => {
            let mut whole = Vec::with_capacity(HEAD.len() + data.len() + tail.len());
            whole.extend_from_slice(HEAD);
            whole.extend_from_slice(&data);
            whole.extend_from_slice(&tail);
            Body::from(whole)
        }
        Data::Pieces(pieces) => {
            let (head, tail) = (Ok(HEAD.to_vec()), Ok(tail));
            let all = stream::iter([head]).chain(pieces).chain(stream::iter([tail]));
            Body::from_stream(all.map_ok(Bytes::from))
        }
    };
    json_response(StatusCode::OK, body, no_store)
}

fn failure(dialect: Dialect, error: &ApiError) -> Response {
    let mut body = br#"{"status":"error","errorType":"#.to_vec();
    push_text(&mut body, error.error_type.as_str().as_bytes());
    body.extend_from_slice(br#","error":"#);
    push_text(&mut body, error.message.as_bytes());
    body.push(b'}');
    json_response(error.error_type.status(dialect), Body::from(body), dialect == Dialect::Thanos)
}

fn json_response(status: StatusCode, body: Body, no_store: bool) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if no_store {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
