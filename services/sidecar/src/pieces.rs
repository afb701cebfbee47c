//! Receives long answers of Prometheus on a thread of their own, in large pieces.
//!
//! Prometheus sends each frame of remote read by itself. The client hands every frame from the task of the connection to
//! the task that reads the answer. On the threads of the process the two wake each other across threads for each frame,
//! which costs more than all other work on it. On one thread that is a function call.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::poll_fn;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response};
use tithon_runtime::OwnThread;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use crate::prometheus::{ANSWER_BYTES_MAX, Prometheus, failed};
use crate::{HttpClientConfig, PrometheusError};

/// Size at which a piece is handed on.
const PIECE_BYTES: usize = 256 << 10;
/// Size of the first piece.
const FIRST_BYTES: usize = 16 << 10;
/// Number of pieces that wait for the reader.
const PIECES_AHEAD: usize = 2;
/// Number of waits for data in an answer before it counts as long.
const WAITS_AT_ONCE: u32 = 64;
/// How long more of a long answer is left to arrive before it is read. The whole thread rests that long.
const GATHER: Duration = Duration::from_millis(2);

/// The thread and its client, whose connections are served on it.
#[derive(Debug)]
pub(crate) struct PieceThread {
    client: Client,
    thread: OwnThread,
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
        let thread = OwnThread::start("remote-read");
        let thread = thread.map_err(|error| wrong(format!("no thread to read on: {error}")))?;
        Ok(PieceThread { client, thread })
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
        self.thread.spawn(read.in_current_span());
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
    let mut unwanted = pin!(sender.closed());
    let (mut arrived, mut waits) = (BytesMut::with_capacity(FIRST_BYTES), 0_u32);
    loop {
        let part = match at_once(&mut answer).await {
            Some(part) => part,
            None => {
                // What long answers have sent so far is handed on when there is more of it.
                let is_long = waits >= WAITS_AT_ONCE;
                if !is_long && !arrived.is_empty() && sender.send(Ok(arrived.split())).await.is_err() {
                    return;
                }
                if is_long {
                    // Not by the runtime, which every packet would wake.
                    std::thread::sleep(GATHER);
                }
                waits = waits.saturating_add(1);
                tokio::select! {
                    part = answer.chunk() => part,
                    () = &mut unwanted => return,
                }
            }
        };
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
        let is_due = end.is_some() || arrived.len() >= PIECE_BYTES;
        if is_due && !arrived.is_empty() && sender.send(Ok(arrived.split())).await.is_err() {
            return;
        }
        match end {
            Some(Ok(())) => return,
            // Nobody to tell is as good as told.
            Some(Err(error)) => return drop(sender.send(Err(error)).await),
            None => {}
        }
    }
}

/// The next part of an answer if it is there when the task of the connection has had its turn; `None` if it must be waited for.
async fn at_once(answer: &mut Response) -> Option<reqwest::Result<Option<Bytes>>> {
    if let Some(part) = answer.chunk().now_or_never() {
        return Some(part);
    }
    let mut had_turn = false;
    poll_fn(|context| match std::mem::replace(&mut had_turn, true) {
        true => Poll::Ready(()),
        // Behind the task of the connection, which was woken above.
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
    answer.chunk().now_or_never()
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
