//! Receives long answers of Prometheus on a thread of their own, in large pieces.
//!
//! Prometheus sends each frame of remote read by itself. Threads of the process would be woken for each of them, which costs more than
//! all other work on it. This thread rests a little before it reads more of a long answer.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt;
use futures::future::poll_fn;
use reqwest::RequestBuilder;
use tithon_runtime::{HttpAnswer, HttpClient, HttpError, OwnThread};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use crate::prometheus::{ANSWER_BYTES_MAX, Prometheus, failed};
use crate::{HttpClientConfig, PrometheusError};

/// Size at which a piece is handed on.
const PIECE_BYTES: usize = 256 << 10;
/// Size of the buffers that pieces of long answers are cut from.
const BUFFER_BYTES: usize = 4 * PIECE_BYTES;
/// Number of pieces that wait for the reader.
const PIECES_AHEAD: usize = 2;
/// Number of waits for data in an answer before it counts as long.
const WAITS_AT_ONCE: u32 = 64;
/// How long more of a long answer is left to arrive before it is read. The whole thread rests that long.
const GATHER: Duration = Duration::from_millis(2);

/// The thread and its client, whose connections are served on it.
#[derive(Debug)]
pub(crate) struct PieceThread {
    client: HttpClient,
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
        let client = config.http_client().map_err(|error| wrong(error.to_string()))?;
        let thread = OwnThread::start("remote-read");
        let thread = thread.map_err(|error| wrong(format!("no thread to read on: {error}")))?;
        Ok(PieceThread { client, thread })
    }

    /// The client whose requests [`PieceThread::send`] takes.
    pub(crate) fn client(&self) -> &HttpClient {
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
        let (prometheus, client) = (prometheus.clone(), self.client.clone());
        let read = async move {
            let sent = tokio::select! {
                sent = prometheus.send_by(&client, request) => sent,
                () = sender.closed() => return,
            };
            match sent {
                Ok(answer) => {
                    // If nobody waits any more, the first piece ends this too.
                    let _ = begin.send(Ok((answer.url.to_string(), answer.content_type.clone())));
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
async fn receive(mut answer: HttpAnswer, sender: &mpsc::Sender<Result<BytesMut, PrometheusError>>) {
    let mut unwanted = pin!(sender.closed());
    let (mut arrived, mut waits) = (BytesMut::new(), 0_u32);
    loop {
        let is_long = waits >= WAITS_AT_ONCE;
        if is_long && arrived.is_empty() && arrived.capacity() < PIECE_BYTES {
            arrived.reserve(BUFFER_BYTES);
        }
        let read = match at_once(&mut answer, &mut arrived).await {
            Some(read) => read,
            None => {
                // What long answers have sent so far is handed on when there is more of it.
                if !is_long && !arrived.is_empty() && sender.send(Ok(arrived.split())).await.is_err() {
                    return;
                }
                if is_long {
                    // Not by the runtime, which every packet would wake.
                    std::thread::sleep(GATHER);
                }
                waits = waits.saturating_add(1);
                tokio::select! {
                    read = answer.read(&mut arrived) => read,
                    () = &mut unwanted => return,
                }
            }
        };
        let has_ended = !matches!(read, Ok(true));
        let is_due = has_ended || arrived.len() >= PIECE_BYTES;
        if is_due && !arrived.is_empty() && sender.send(Ok(arrived.split())).await.is_err() {
            return;
        }
        match read {
            Ok(true) => {}
            Ok(false) => return,
            // Nobody to tell is as good as told.
            Err(error) => return drop(sender.send(Err(failed(&answer.url, error))).await),
        }
    }
}

/// Reads more of an answer if it is there when other tasks have had their turn; `None` if it must be waited for.
async fn at_once(answer: &mut HttpAnswer, arrived: &mut BytesMut) -> Option<Result<bool, HttpError>> {
    if let Some(read) = answer.read(arrived).now_or_never() {
        return Some(read);
    }
    let mut had_turn = false;
    poll_fn(|context| match std::mem::replace(&mut had_turn, true) {
        true => Poll::Ready(()),
        // Behind the task of the connection, which the general client has and which was woken above.
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
    answer.read(arrived).now_or_never()
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
