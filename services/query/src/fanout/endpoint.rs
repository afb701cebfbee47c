//! A StoreAPI server: what it says of itself, and calls to it.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::SelectedSeries;
use tithon_promql::{Charge, OverBudget};
use tithon_proto::thanos::info::{InfoRequest, info_client::InfoClient};
use tithon_proto::thanos::store_client::StoreClient;
use tithon_runtime::ClientTls;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint as Dial};
use tonic::{Request, Status};

use super::wire;
use super::{LabelsRequest, SeriesRequest, SourceInfo, SourceLabels, bytes_of};
use crate::job::Job;

/// The longest message that is accepted, bytes: at least and at most, whatever a request may hold.
const MESSAGE_BYTES: (u64, u64) = (16 << 20, 512 << 20);

/// A StoreAPI server by its address. Connects by itself, again and again if need be.
pub struct Endpoint {
    address: String,
    channel: Channel,
    settings: EndpointSettings,
    state: RwLock<State>,
}

/// How long an endpoint may take, and whom it is asked for.
#[derive(Clone, Debug)]
struct EndpointSettings {
    info_timeout: Duration,
    response_timeout: Duration,
    tenant: String,
}

#[derive(Default)]
struct State {
    info: Option<SourceInfo>,
    strips_labels: bool,
    shards: bool,
    last_error: Option<String>,
}

/// Why an endpoint cannot be asked or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address is none.
    #[error("endpoint {address:?}: {reason}")]
    Address {
        /// As given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's resolver of names cannot be used.
    #[error("resolver of endpoint names: {reason}")]
    Resolver {
        /// What is wrong with it.
        reason: String,
    },
    /// It has never said what it holds.
    #[error("{store}: {reason}")]
    NeverSeen {
        /// The endpoint, in Thanos's words.
        store: String,
        /// What the last attempt met.
        reason: String,
    },
    /// A call failed.
    #[error("{call} {store}: {status}")]
    Call {
        /// What was tried, in Thanos's words.
        call: &'static str,
        /// The endpoint, in Thanos's words.
        store: String,
        /// The status, as Go prints it.
        status: String,
    },
    /// It was silent for too long.
    #[error("failed to receive any data in {silence:?} from {store}: context canceled")]
    Silent {
        /// How long.
        silence: Duration,
        /// The endpoint, in Thanos's words.
        store: String,
    },
    /// It sent something that cannot be read.
    #[error("receive series from {store}: {error}")]
    Message {
        /// The endpoint, in Thanos's words.
        store: String,
        /// What is wrong with it.
        error: tithon_proto::ConvertError,
    },
}

impl EndpointError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            EndpointError::Address { .. } => ErrorKind::Invalid,
            EndpointError::Message { .. } => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        }
    }
}

/// Series that an endpoint sent with the charge for them, warnings beside them, and the error that ended them early.
pub(crate) struct Received {
    pub(crate) series: Vec<SelectedSeries>,
    pub(crate) charge: Charge,
    pub(crate) warnings: Vec<String>,
    pub(crate) error: Option<EndpointError>,
}

/// Why no more is received.
enum Ended {
    /// The endpoint failed.
    Endpoint(EndpointError),
    /// It sends more than the request may hold.
    OverBudget(OverBudget),
}

impl From<EndpointError> for Ended {
    fn from(error: EndpointError) -> Ended {
        Ended::Endpoint(error)
    }
}

impl Endpoint {
    /// An endpoint at `address` (`host:port`), with the time limits of `options`, behind TLS where it is given. Nothing is
    /// sent yet; must be called inside a tokio runtime.
    pub fn new(
        address: &str,
        options: &crate::QueryOptions,
        tls: Option<ClientTls>,
    ) -> Result<Endpoint, EndpointError> {
        let dial = Dial::from_shared(format!("http://{address}"))
            .map_err(|e| EndpointError::Address { address: address.to_owned(), reason: e.to_string() })?
            .connect_timeout(options.info_timeout)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .tcp_nodelay(true);
        Ok(Endpoint {
            address: address.to_owned(),
            channel: tithon_runtime::dial(dial, tls),
            settings: EndpointSettings {
                info_timeout: options.info_timeout,
                response_timeout: options.store_response_timeout,
                tenant: options.default_tenant.clone(),
            },
            state: RwLock::default(),
        })
    }

    /// The address as given.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it last said it holds; `None` before it has said anything.
    pub fn info(&self) -> Option<SourceInfo> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.info.clone().map(|info| SourceInfo { last_error: state.last_error.clone(), ..info })
    }

    /// Asks it what it holds. A failure is kept for [`Endpoint::info`].
    pub(crate) async fn refresh(&self) {
        let mut client = InfoClient::new(self.channel.clone());
        let call = client.info(InfoRequest::default());
        let answer = match tokio::time::timeout(self.settings.info_timeout, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(go_status(&status)),
            Err(_) => Err(format!("no answer to Info in {:?}", self.settings.info_timeout)),
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(info) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let store = info.store.unwrap_or_default();
                state.strips_labels = store.supports_without_replica_labels;
                state.shards = store.supports_sharding;
                state.last_error = None;
                state.info = Some(SourceInfo {
                    name: self.address.clone(),
                    component: info.component_type,
                    label_sets: info
                        .label_sets
                        .iter()
                        .map(|set| tithon_proto::labels_from_wire(&set.labels))
                        .collect(),
                    range: TimeRange::new(store.min_time, store.max_time),
                    last_check_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
                    last_error: None,
                });
            }
            Err(reason) => {
                if state.last_error.as_ref() != Some(&reason) {
                    tracing::warn!(endpoint = %self.address, error = %reason, "endpoint does not answer");
                }
                state.last_error = Some(reason);
            }
        }
    }

    /// Selects series; keeps what came before a failure.
    ///
    /// Errors: [`OverBudget`] when the endpoint sends more than the request may hold.
    pub(crate) async fn series(
        &self,
        request: &SeriesRequest,
        partial: bool,
        job: &Job,
    ) -> Result<Received, OverBudget> {
        let mut received =
            Received { series: Vec::new(), charge: job.charge(), warnings: Vec::new(), error: None };
        match self.receive(request, partial, job, &mut received).await {
            Ok(()) => {}
            Err(Ended::Endpoint(error)) => received.error = Some(error),
            Err(Ended::OverBudget(over)) => return Err(over),
        }
        let (strips_labels, shards) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.strips_labels, state.shards)
        };
        if !strips_labels {
            wire::strip_labels(&mut received.series, &request.without_labels);
        }
        if let Some(shard) = request.shard.as_ref().filter(|_| !shards || !strips_labels) {
            let mut buffer = Vec::new();
            received.series.retain(|series| shard.holds(&series.labels, &mut buffer));
        }
        if !received.series.is_sorted_by(|a, b| a.labels <= b.labels) {
            received.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        Ok(received)
    }

    async fn receive(
        &self,
        request: &SeriesRequest,
        partial: bool,
        job: &Job,
        into: &mut Received,
    ) -> Result<(), Ended> {
        self.check_seen()?;
        let message = self.with_tenant(wire::series_request(request, partial));
        let mut client = self.store_client(job);
        let silent = |silence| EndpointError::Silent { silence, store: self.describe() };
        let call = self.in_time(client.series(message)).await.map_err(silent)?;
        let mut stream = call.map_err(|status| self.failed("fetch series for", &status))?.into_inner();
        loop {
            let frame = self.in_time(stream.message()).await.map_err(silent)?;
            let Some(frame) = frame.map_err(|status| self.failed("receive series from", &status))? else {
                return Ok(());
            };
            let (n_series, n_warnings) = (into.series.len(), into.warnings.len());
            wire::accept(frame, &mut into.series, &mut into.warnings)
                .map_err(|error| EndpointError::Message { store: self.describe(), error })?;
            let warnings = into.warnings[n_warnings..].iter().map(|w| w.len() as u64);
            let bytes = into.series[n_series..].iter().map(bytes_of).chain(warnings).sum();
            into.charge.grow(bytes).map_err(Ended::OverBudget)?;
        }
    }

    /// Waits no longer than an endpoint may be silent; else says how long that is.
    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Duration> {
        let longest = self.settings.response_timeout;
        if longest.is_zero() {
            return Ok(answer.await);
        }
        tokio::time::timeout(longest, answer).await.map_err(|_| longest)
    }

    /// Label names or values, and warnings beside them.
    pub(crate) async fn labels(
        &self,
        request: &LabelsRequest,
        partial: bool,
        job: &Job,
    ) -> Result<SourceLabels, EndpointError> {
        self.check_seen()?;
        let mut client = self.store_client(job);
        let late = |_| Status::deadline_exceeded("context deadline exceeded");
        let (values, warnings) = match &request.values_of {
            None => {
                let message = self.with_tenant(wire::label_names_request(request, partial));
                let answer = self.in_time(client.label_names(message)).await.map_err(late).flatten();
                let answer =
                    answer.map_err(|s| self.failed("fetch label names from store", &s))?.into_inner();
                (answer.names, answer.warnings)
            }
            Some(label) => {
                let message = self.with_tenant(wire::label_values_request(request, label, partial));
                let answer = self.in_time(client.label_values(message)).await.map_err(late).flatten();
                let answer =
                    answer.map_err(|s| self.failed("fetch label values from store", &s))?.into_inner();
                (answer.values, answer.warnings)
            }
        };
        Ok(SourceLabels { found: values.into_iter().map(|v| v.to_vec()).collect(), warnings })
    }

    /// A client for a request. A message is counted when it is there, so no single one may be a large part of what the
    /// request may hold.
    fn store_client(&self, job: &Job) -> StoreClient<Channel> {
        let bytes = (job.bytes_max() / 8).clamp(MESSAGE_BYTES.0, MESSAGE_BYTES.1);
        StoreClient::new(self.channel.clone())
            .max_decoding_message_size(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn with_tenant<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Ok(tenant) = MetadataValue::try_from(&self.settings.tenant) {
            request.metadata_mut().insert("thanos-tenant", tenant);
        }
        request
    }

    /// Fails for an endpoint that has never answered, without asking it again: the next refresh will.
    fn check_seen(&self) -> Result<(), EndpointError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match (&state.info, &state.last_error) {
            (None, Some(reason)) => Err(EndpointError::NeverSeen {
                store: format!("Addr: {}", self.address),
                reason: reason.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn failed(&self, call: &'static str, status: &Status) -> EndpointError {
        EndpointError::Call { call, store: self.describe(), status: go_status(status) }
    }

    /// `Addr: host:port MinTime: 1 MaxTime: 2`.
    pub(crate) fn describe(&self) -> String {
        let range = self.info().map_or(TimeRange::ALL, |info| info.range);
        format!("Addr: {} MinTime: {} MaxTime: {}", self.address, range.min, range.max)
    }
}

/// A status as Go's gRPC prints it.
fn go_status(status: &Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.address).finish_non_exhaustive()
    }
}
