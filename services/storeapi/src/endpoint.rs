//! A StoreAPI server at another address: the connection to it and its `Info`.

mod calls;
mod parts;
mod promql;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tithon_chunks::ErrorKind;
use tithon_proto::ConvertError;
use tithon_proto::thanos::info::{InfoRequest, info_client::InfoClient};
use tithon_runtime::{ClientCalls, ClientTls, DialOptions, GrpcChannel, GrpcEncoding, Metrics, now_ms};
use tonic::Status;
use tonic::transport::Endpoint as Dial;

pub use self::parts::PartPieces;
pub use self::promql::{PromqlPiece, PromqlPieces};
use crate::status::go_status;
use crate::{Apis, StoreApi, StoreApiError, StoreInfo};

/// A StoreAPI server at an address, or a group of servers with the same data. Connects and reconnects by itself. Clones
/// share the connections.
///
/// As a [`StoreApi`] it yields series in the order the server sends them. They are out of order if the server breaks
/// the rules, or if labels are removed here because the server cannot remove them.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    address: String,
    /// The server, or the servers of a group, which answer in turn.
    peers: RwLock<Vec<Arc<Peer>>>,
    /// Number of calls so far, which decides whose turn it is.
    calls: AtomicUsize,
    options: EndpointOptions,
    state: RwLock<State>,
}

/// One server and the connection to it.
struct Peer {
    address: String,
    channel: GrpcChannel,
    /// Whether it answered the last `Info`.
    answers: AtomicBool,
}

/// How an endpoint is called.
#[derive(Clone)]
pub struct EndpointOptions {
    /// Timeout of connecting and of `Info` calls.
    pub info_timeout: Duration,
    /// Longest time without data in a call; zero means no limit.
    pub response_timeout: Duration,
    /// Longest message that is accepted, in bytes.
    pub message_bytes_max: usize,
    /// TLS of the connection; `None` is clear text.
    pub tls: Option<ClientTls>,
    /// Whether it is asked even if it has not answered lately, so that its failure shows in every answer. Other
    /// endpoints are skipped until they answer `Info` again.
    pub strict: bool,
    /// The info of an endpoint that is not strict is forgotten when it has not answered for this long.
    pub unhealthy_timeout: Duration,
    /// Counts the calls; `None` counts none.
    pub calls: Option<ClientCalls>,
    /// Compression of requests, which is also asked for in answers.
    pub encoding: Option<GrpcEncoding>,
    /// What named it, for logs: a flag.
    pub named_by: &'static str,
}

/// Metrics of calls to endpoints, `grpc_client_*`.
pub fn client_calls(metrics: &Metrics) -> ClientCalls {
    const SERVICES: [&str; 9] = [
        "thanos.Store",
        "thanos.info.Info",
        "thanos.Rules",
        "thanos.Targets",
        "thanos.Metadata",
        "thanos.Exemplars",
        "thanos.Status",
        "thanos.Query",
        "tithon.Parts",
    ];
    ClientCalls::new(metrics, tithon_proto::FILE_DESCRIPTOR_SET, &SERVICES)
}

/// Flow-control window of a connection. Calls share a connection but each has its own window, so this one is as large
/// as possible: a slow reader must not block other calls.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// Largest HTTP/2 frame that servers may send, in bytes. Larger frames need fewer system calls on both sides; each call holds
/// one that is not complete yet.
const FRAME_BYTES: u32 = 64 << 10;

/// The error of a group whose DNS name was not resolved yet.
const NO_ADDRESS: &str = "no address is known";

#[derive(Default)]
struct State {
    info: Option<StoreInfo>,
    health: Health,
}

/// Results of the last `Info` calls to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Time of the last answer in milliseconds since 1970; 0 if there was none.
    pub last_check_ms: i64,
    /// Error since the last answer; `None` while it answers.
    pub last_error: Option<String>,
}

/// Why an endpoint cannot be asked or failed.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address is invalid.
    #[error("endpoint {address:?}: {reason}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The endpoint has never answered `Info`.
    #[error("Addr: {address}: {reason}")]
    NeverSeen {
        /// The endpoint's address.
        address: String,
        /// Error of the last attempt.
        reason: String,
    },
    /// A call failed.
    #[error("{call} {store}: {status}")]
    Call {
        /// Thanos's words for the call.
        call: &'static str,
        /// Thanos's name of the endpoint.
        store: String,
        /// The status as Go prints it.
        status: String,
    },
    /// No data came for too long.
    #[error("failed to receive any data in {silence:?} from {store}: context canceled")]
    Silent {
        /// The longest time allowed.
        silence: Duration,
        /// Thanos's name of the endpoint.
        store: String,
    },
    /// A message of the endpoint cannot be read.
    #[error("receive series from {store}: {error}")]
    Message {
        /// Thanos's name of the endpoint.
        store: String,
        /// What is wrong with the message.
        error: ConvertError,
    },
}

impl EndpointError {
    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            EndpointError::Address { .. } => ErrorKind::Invalid,
            EndpointError::Message { .. } => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        }
    }
}

impl From<EndpointError> for StoreApiError {
    fn from(error: EndpointError) -> StoreApiError {
        StoreApiError::new(error.kind(), error)
    }
}

impl Endpoint {
    /// An endpoint at `address` (`host:port`). Connects at the first call. Must be called inside a tokio runtime.
    ///
    /// Fails when the address is invalid.
    pub fn new(address: &str, options: EndpointOptions) -> Result<Endpoint, EndpointError> {
        let endpoint = Endpoint::group(address, options);
        endpoint.set_addresses([address.to_owned()])?;
        Ok(endpoint)
    }

    /// An endpoint of several servers with the same data, which answer in turn. It has none before
    /// [`Endpoint::set_addresses`].
    pub fn group(name: &str, options: EndpointOptions) -> Endpoint {
        let (address, peers, calls) = (name.to_owned(), RwLock::default(), AtomicUsize::new(0));
        Endpoint(Arc::new(Inner { address, peers, calls, options, state: RwLock::default() }))
    }

    /// Sets the addresses of the servers; connections to addresses that stay are kept. Must be called inside a tokio
    /// runtime.
    ///
    /// Fails when an address is invalid.
    pub fn set_addresses(&self, addresses: impl IntoIterator<Item = String>) -> Result<(), EndpointError> {
        let mut peers = self.0.peers.write().unwrap_or_else(PoisonError::into_inner);
        let mut now = Vec::new();
        for address in addresses {
            now.push(match peers.iter().find(|peer| peer.address == address) {
                Some(known) => Arc::clone(known),
                None => Arc::new(Peer::new(address, &self.0.options)?),
            });
        }
        *peers = now;
        Ok(())
    }

    /// The connection for the next call: the servers that answered the last `Info` take turns, or all if none did.
    pub(crate) fn channel(&self) -> Result<GrpcChannel, EndpointError> {
        let peers = self.peers();
        let answering: Vec<&Arc<Peer>> =
            peers.iter().filter(|peer| peer.answers.load(Ordering::Relaxed)).collect();
        let choice = if answering.is_empty() { peers.iter().collect() } else { answering };
        let turn = self.0.calls.fetch_add(1, Ordering::Relaxed).checked_rem(choice.len());
        match turn.and_then(|turn| choice.get(turn)) {
            Some(peer) => Ok(peer.channel.clone()),
            None => Err(EndpointError::NeverSeen {
                address: self.0.address.clone(),
                reason: NO_ADDRESS.to_owned(),
            }),
        }
    }

    fn peers(&self) -> Vec<Arc<Peer>> {
        self.0.peers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The address, or the name of the group.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Results of the last `Info` calls.
    pub fn health(&self) -> Health {
        self.state(|state| state.health.clone())
    }

    /// Whether requests are sent to it now: it answered the last `Info`, or it is strict.
    pub fn is_asked(&self) -> bool {
        self.0.options.strict || self.state(|state| state.info.is_some() && state.health.last_error.is_none())
    }

    /// Whether it announced a service; a strict endpoint that has never answered counts as a store.
    pub fn has(&self, api: fn(&Apis) -> bool) -> bool {
        let unseen = Apis { store: true, ..Apis::default() };
        self.state(|state| api(&state.info.as_ref().map_or(unseen, |info| info.apis)))
    }

    /// Calls `Info` and keeps the answer for [`StoreApi::info`], or the error for [`Endpoint::health`]. Logs once when
    /// the endpoint stops answering, and once when it answers again.
    pub async fn refresh(&self) {
        let (peers, timeout) = (self.peers(), self.0.options.info_timeout);
        let answers = futures::future::join_all(peers.iter().map(|peer| peer.info(timeout))).await;
        // Any server of a group answers for all of them.
        let answer =
            answers.into_iter().reduce(|first, next| if first.is_ok() { first } else { next.or(first) });
        let answer = answer.unwrap_or_else(|| Err(NO_ADDRESS.to_owned()));
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let endpoint = &self.0.address;
        match answer {
            Ok(info) => {
                if state.health.last_error.is_some() {
                    tracing::info!(
                        endpoint,
                        component = info.component,
                        "endpoint answers again and gets requests"
                    );
                }
                *state =
                    State { info: Some(info), health: Health { last_check_ms: now_ms(), last_error: None } };
            }
            Err(reason) => self.missed(&mut state, reason),
        }
    }

    /// Records a failed `Info` call.
    fn missed(&self, state: &mut State, reason: String) {
        let (endpoint, options) = (&self.0.address, &self.0.options);
        if state.health.last_error.is_none() {
            let meanwhile = if options.strict {
                "it is strict and still gets requests"
            } else {
                "it gets no requests until it does"
            };
            let named_by = options.named_by;
            tracing::warn!(endpoint, named_by, error = %reason, "endpoint does not answer, {meanwhile}");
        }
        state.health.last_error = Some(reason);
        let silent_ms = now_ms().saturating_sub(state.health.last_check_ms);
        let is_over = u128::try_from(silent_ms).is_ok_and(|ms| ms > options.unhealthy_timeout.as_millis());
        if is_over && !options.strict && state.info.take().is_some() {
            tracing::warn!(endpoint, silent = ?options.unhealthy_timeout, "endpoint was silent for too long");
        }
    }

    fn state<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The longest message that is accepted, in bytes.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.0.options.message_bytes_max
    }

    /// Waits for an answer within the response timeout. Fails with that timeout.
    pub(crate) async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Duration> {
        let longest = self.0.options.response_timeout;
        if longest.is_zero() {
            return Ok(answer.await);
        }
        tokio::time::timeout(longest, answer).await.map_err(|_| longest)
    }

    pub(crate) fn silent(&self, silence: Duration) -> EndpointError {
        EndpointError::Silent { silence, store: self.name() }
    }

    pub(crate) fn failed(&self, call: &'static str, status: &Status) -> EndpointError {
        EndpointError::Call { call, store: self.name(), status: go_status(status) }
    }
}

impl Peer {
    fn new(address: String, options: &EndpointOptions) -> Result<Peer, EndpointError> {
        let dial = Dial::from_shared(format!("http://{address}"))
            .map_err(|e| EndpointError::Address { address: address.clone(), reason: e.to_string() })?
            .connect_timeout(options.info_timeout)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .tcp_nodelay(true);
        let EndpointOptions { tls, calls, encoding, message_bytes_max, .. } = options.clone();
        let channel = tithon_runtime::dial(dial, DialOptions { tls, calls, encoding, message_bytes_max });
        Ok(Peer { address, channel, answers: AtomicBool::new(true) })
    }

    /// Calls `Info`.
    async fn info(&self, timeout: Duration) -> Result<StoreInfo, String> {
        let mut client = InfoClient::new(self.channel.clone());
        let answer = match tokio::time::timeout(timeout, client.info(InfoRequest::default())).await {
            Ok(Ok(answer)) => Ok(StoreInfo::from_wire(answer.into_inner())),
            Ok(Err(status)) => Err(go_status(&status)),
            Err(_) => Err(format!("no answer to Info in {timeout:?}")),
        };
        self.answers.store(answer.is_ok(), Ordering::Relaxed);
        answer
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.0.address).finish_non_exhaustive()
    }
}
