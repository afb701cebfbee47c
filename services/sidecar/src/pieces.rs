//! Receives long answers of Prometheus on a thread of their own, in large pieces.
//!
//! Prometheus sends each frame of remote read by itself. The client hands every frame from the task of the connection to
//! the task that reads the answer. On the threads of the process the two wake each other across threads for each frame,
//! which costs more than all other work on it. On one thread that is a function call.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use crate::prometheus::{ANSWER_BYTES_MAX, Prometheus, failed};
use crate::{HttpClientConfig, PrometheusError};

/// Size at which a piece is handed on.
const PIECE_BYTES: usize = 64 << 10;
/// Number of pieces that wait for the reader.
const PIECES_AHEAD: usize = 4;
/// Number of waits for data in an answer before it counts as long.
const WAITS_AT_ONCE: u32 = 64;
/// How long more of a long answer is left to arrive before it is read.
const GATHER: Duration = Duration::from_millis(1);
/// A read that took longer than this found nothing at first.
const WAITED: Duration = Duration::from_micros(20);

/// The thread and its client, whose connections are served on it. Ends when this is dropped.
#[derive(Debug)]
pub(crate) struct PieceThread {
    client: Client,
    runtime: Handle,
    _running: oneshot::Sender<Infallible>,
}

/// An answer that is being received.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// URL of the request.
    pub(crate) url: String,
    /// The content type; empty if there is none.
    pub(crate) kind: String,
    next: mpsc::Receiver<Result<BytesMut, PrometheusError>>,
}

impl PieceThread {
    /// Starts the thread.
    pub(crate) fn start(config: &HttpClientConfig) -> Result<PieceThread, PrometheusError> {
        let wrong = |reason: String| PrometheusError::Answer { url: "remote read".to_owned(), reason };
        let client = config.client().map_err(|error| wrong(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| wrong(format!("no thread to read on: {error}")))?;
        let (running, ended) = oneshot::channel::<Infallible>();
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name("remote-read".to_owned());
        let run = move || drop(runtime.block_on(ended));
        thread.spawn(run).map_err(|error| wrong(format!("no thread to read on: {error}")))?;
        Ok(PieceThread { client, runtime: handle, _running: running })
    }

    /// The client whose requests [`PieceThread::send`] takes.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request, and waits until the answer begins. Fails when the status is not a success.
    pub(crate) async fn send(
        &self,
        prometheus: &Prometheus,
        request: RequestBuilder,
    ) -> Result<Pieces, PrometheusError> {
        let (begin, begun) = oneshot::channel();
        let (sender, next) = mpsc::channel(PIECES_AHEAD);
        let prometheus = prometheus.clone();
        let read = async move {
            let sent = tokio::select! {
                sent = prometheus.send(request) => sent,
                () = sender.closed() => return,
            };
            match sent {
                Ok(answer) => {
                    let kind = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                    let kind = kind.unwrap_or_default().to_owned();
                    // If nobody waits any more, the first piece ends this too.
                    let _ = begin.send(Ok((answer.url().to_string(), kind)));
                    receive(answer, &sender).await;
                }
                Err(error) => drop(begin.send(Err(error))),
            }
        };
        self.runtime.spawn(read.in_current_span());
        let ended = || PrometheusError::Answer {
            url: "remote read".to_owned(),
            reason: "the thread that reads has ended".to_owned(),
        };
        let (url, kind) = begun.await.map_err(|_| ended())??;
        Ok(Pieces { url, kind, next })
    }
}

/// Receives an answer until its end, or until nobody wants it any more.
async fn receive(mut answer: Response, sender: &mpsc::Sender<Result<BytesMut, PrometheusError>>) {
    let (mut arrived, mut waits) = (BytesMut::with_capacity(PIECE_BYTES), 0_u32);
    loop {
        let begun = Instant::now();
        let part = tokio::select! {
            part = answer.chunk() => part,
            () = sender.closed() => return,
        };
        let waited = begun.elapsed() > WAITED;
        let end = match part {
            Ok(Some(part)) => {
                if arrived.capacity() - arrived.len() < part.len() {
                    arrived.reserve(part.len().max(PIECE_BYTES));
                }
                arrived.extend_from_slice(&part);
                None
            }
            Ok(None) => Some(Ok(())),
            Err(error) => Some(Err(failed(error))),
        };
        let is_due = waited || end.is_some() || arrived.len() >= PIECE_BYTES;
        if is_due && !arrived.is_empty() && sender.send(Ok(arrived.split())).await.is_err() {
            return;
        }
        match end {
            Some(Ok(())) => return,
            // Nobody to tell is as good as told.
            Some(Err(error)) => return drop(sender.send(Err(error)).await),
            None => {}
        }
        if waited {
            waits = waits.saturating_add(1);
            if waits > WAITS_AT_ONCE {
                tokio::time::sleep(GATHER).await;
            }
        }
    }
}

impl Pieces {
    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<BytesMut>, PrometheusError> {
        self.next.recv().await.transpose()
    }

    /// The whole body.
    pub(crate) async fn body(mut self) -> Result<Vec<u8>, PrometheusError> {
        let mut body = Vec::new();
        while let Some(piece) = self.next().await? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(PrometheusError::TooLong { url: self.url, max: ANSWER_BYTES_MAX });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}
