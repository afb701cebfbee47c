//! Questions to queriers: expressions at one time, and the series that alerts left behind. Thanos `cmd/thanos/rule.go`
//! (`queryFuncCreator`), `pkg/promclient`.

mod answer;
mod config;
mod grpc;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use form_urlencoded::Serializer;
use rand::seq::SliceRandom;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use tithon_index::Labels;
use tithon_runtime::{HttpError, Metrics, Shutdown};
use tithon_storeapi::{PromqlPoints, PromqlSeries};
use tracing::{debug, error, warn};

use self::answer::{Answer, parse_answer};
pub use self::config::{QueryConfig, parse_query_config, queriers_of};
pub(crate) use self::config::{REFRESH_INTERVAL, refresh_interval};
use self::grpc::GrpcQueriers;
use crate::metrics::RuleMetrics;
use crate::peers::{DnsMetrics, Peers, PeersConfig, PeersError, joined, keep};
use crate::{At, Number, SeriesSample, Strategy};

/// Why no querier gave an answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No querier is known.
    #[error("no query API server reachable")]
    NoQuerier,
    /// All queriers failed.
    #[error("no query API server reachable: {url}: {reason}")]
    Failed {
        /// The querier asked last.
        url: String,
        /// Why it gave no answer.
        reason: String,
    },
}

/// How queriers are asked.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// `POST` or `GET`.
    pub is_post: bool,
    /// Parameters that only Thanos knows are left out.
    pub only_prometheus_params: bool,
    /// Step of the queries for `ALERTS_FOR_STATE` at the start.
    pub restore_step: Duration,
    /// Labels of `ALERTS_FOR_STATE` that are ignored when its series are matched with alerts.
    pub restore_ignored_labels: Vec<String>,
    /// Interval between two look-ups of DNS names.
    pub dns_interval: Duration,
    /// Timeout of a query.
    pub timeout: Duration,
}

/// The queriers that rules are evaluated over. Clones share them.
#[derive(Clone)]
pub struct Queriers {
    peers: Arc<[Arc<Peers>]>,
    /// Queriers over gRPC, which are asked if none over HTTP answers.
    grpc: Option<Arc<GrpcQueriers>>,
    options: Arc<QueryOptions>,
    dns: DnsMetrics,
    metrics: RuleMetrics,
}

/// The longest answer that is kept in memory, bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

impl Queriers {
    /// Queriers whose names have not been looked up yet.
    pub fn new(
        configs: Vec<PeersConfig>,
        options: QueryOptions,
        registry: &Metrics,
        metrics: RuleMetrics,
    ) -> Result<Queriers, PeersError> {
        let peers = configs.into_iter().map(|config| Peers::new(config).map(Arc::new));
        Ok(Queriers {
            peers: peers.collect::<Result<Vec<_>, _>>()?.into(),
            grpc: None,
            options: Arc::new(options),
            dns: DnsMetrics::new(registry, "thanos_rule_query_apis"),
            metrics,
        })
    }

    /// The same, and queriers at some addresses that are asked over gRPC where no other answers.
    pub fn and_over_grpc(self, addresses: &[String]) -> Result<Queriers, PeersError> {
        if addresses.is_empty() {
            return Ok(self);
        }
        Ok(Queriers { grpc: Some(Arc::new(GrpcQueriers::new(addresses)?)), ..self })
    }

    /// Keeps the list of queriers up to date until the end.
    pub async fn keep(&self, shutdown: &Shutdown) {
        let over_grpc = self.grpc.iter().map(|queriers| queriers.peers());
        let peers: Vec<Arc<Peers>> = self.peers.iter().chain(over_grpc).cloned().collect();
        keep(&peers, self.options.dns_interval, &self.dns, shutdown).await;
    }

    /// All queriers in random order, those of one configuration together.
    fn shuffled(&self) -> Vec<(Arc<Peers>, Url)> {
        let mut groups: Vec<&Arc<Peers>> = self.peers.iter().collect();
        groups.shuffle(&mut rand::rng());
        let mut all = Vec::new();
        for peers in groups {
            let (urls, again) = peers.urls();
            let mut urls: Vec<&Url> = urls.iter().collect();
            self.metrics.duplicated_queriers.inc_by(again);
            urls.shuffle(&mut rand::rng());
            all.extend(urls.into_iter().map(|url| (Arc::clone(peers), url.clone())));
        }
        all
    }

    /// Evaluates an expression; the first querier that answers counts.
    pub(crate) async fn instant(
        &self,
        expression: &str,
        at: At,
        strategy: Strategy,
    ) -> Result<Vec<SeriesSample>, QueryError> {
        let mut params = vec![("query", expression.to_owned()), ("time", at.moment().to_string())];
        if !self.options.only_prometheus_params {
            params.extend(thanos_params(strategy));
        }
        let method = if self.options.is_post { Method::POST } else { Method::GET };
        let (answer, url) = match (self.first("query", &method, &params, expression).await, &self.grpc) {
            (Err(_), Some(grpc)) => return self.instant_over_grpc(grpc, expression, at, strategy).await,
            (answered, _) => answered?,
        };
        self.tell_warnings(&answer.warnings, expression, strategy);
        let left = answer.n_histograms;
        if left > 0 {
            warn!(expression, left, "native histograms do not come over HTTP and are left out");
        }
        let samples = answer.samples.ok_or_else(|| QueryError::Failed {
            url: url.to_string(),
            reason: "expected a vector or scalar as the result".to_owned(),
        })?;
        Ok(samples.into_iter().map(|sample| SeriesSample { at_ms: at.millis(), ..sample }).collect())
    }

    /// Evaluates an expression at a whole second, which is all that gRPC can say; native histograms come whole.
    async fn instant_over_grpc(
        &self,
        grpc: &GrpcQueriers,
        expression: &str,
        at: At,
        strategy: Strategy,
    ) -> Result<Vec<SeriesSample>, QueryError> {
        let mut last = QueryError::NoQuerier;
        for client in grpc.shuffled() {
            let asked = client.instant(expression, at.seconds(), strategy == Strategy::Warn);
            let reason = match tokio::time::timeout(self.options.timeout, asked).await {
                Ok(Ok((series, warnings))) => {
                    self.tell_warnings(&warnings, expression, strategy);
                    return Ok(series.into_iter().filter_map(|one| sample_of(one, at)).collect());
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer in {:?}", self.options.timeout),
            };
            error!(address = client.address(), reason, expression, "a querier gave no answer");
            last = QueryError::Failed { url: client.address().to_owned(), reason };
        }
        Err(last)
    }

    /// The last sample of each series that a selector names, from `from` on.
    pub(crate) async fn last_of_range(
        &self,
        selector: &str,
        from: At,
        to: At,
    ) -> Result<Vec<SeriesSample>, QueryError> {
        let step = self.options.restore_step.as_secs().max(1);
        let mut params = vec![
            ("query", selector.to_owned()),
            ("start", from.seconds().to_string()),
            ("end", to.seconds().to_string()),
            ("step", step.to_string()),
        ];
        if !self.options.only_prometheus_params {
            params.extend(thanos_params(Strategy::Warn));
        }
        let (answer, _) = self.first("query_range", &Method::GET, &params, selector).await?;
        let samples = answer.samples.unwrap_or_default().into_iter();
        let ignored = &self.options.restore_ignored_labels;
        let known = |labels: &Labels| {
            labels.to_builder().retain(|name| !ignored.iter().any(|label| label.as_bytes() == name)).finish()
        };
        Ok(samples.map(|sample| SeriesSample { labels: known(&sample.labels), ..sample }).collect())
    }

    /// Asks one querier after the other until one answers.
    async fn first(
        &self,
        path: &str,
        method: &Method,
        params: &[(&str, String)],
        expression: &str,
    ) -> Result<(Answer, Url), QueryError> {
        let mut last = QueryError::NoQuerier;
        let form = Serializer::new(String::new()).extend_pairs(params).finish();
        for (peers, url) in self.shuffled() {
            let url = joined(&url, &["api", "v1", path]);
            match self.ask(&peers, url.clone(), method, &form).await {
                Ok(answer) => return Ok((answer, url)),
                Err(reason) => {
                    error!(%url, reason, expression, "a querier gave no answer");
                    last = QueryError::Failed { url: url.to_string(), reason };
                }
            }
        }
        Err(last)
    }

    async fn ask(&self, peers: &Peers, mut url: Url, method: &Method, form: &str) -> Result<Answer, String> {
        let request = if *method == Method::POST {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            peers.client.requests().post(url).header(CONTENT_TYPE, kind).body(form.to_owned())
        } else {
            url.set_query(Some(form));
            peers.client.requests().get(url)
        };
        let request = peers.authorized(request).map_err(|error| error.to_string())?;
        let request = request.build().map_err(|error| error.without_url().to_string())?;
        let failed = |error: HttpError| tithon_proto::with_causes(&error);
        let asked = async {
            let mut answer = peers.client.send(request).await.map_err(failed)?;
            let mut body = BytesMut::new();
            while answer.read(&mut body).await.map_err(failed)? {
                if body.len() > ANSWER_BYTES_MAX {
                    return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
                }
            }
            parse_answer(answer.status, &body)
        };
        let late = |_| format!("no answer in {:?}", self.options.timeout);
        tokio::time::timeout(self.options.timeout, asked).await.map_err(late)?
    }

    /// Warnings about data count; notes of PromQL about the expression are for the log only.
    fn tell_warnings(&self, all: &[String], expression: &str, strategy: Strategy) {
        let (notes, warnings): (Vec<&String>, Vec<&String>) =
            all.iter().partition(|text| text.starts_with("PromQL "));
        if !notes.is_empty() {
            debug!(expression, ?notes, "PromQL has notes about a rule");
        }
        if !warnings.is_empty() {
            self.metrics.evaluated_with_warnings(strategy);
            warn!(expression, ?warnings, "a querier answered with warnings");
        }
    }
}

/// The only sample of a series.
fn sample_of(series: PromqlSeries, at: At) -> Option<SeriesSample> {
    let value = match series.points {
        PromqlPoints::Float(_, value) => Number::Float(value),
        PromqlPoints::Histogram(_, histogram) => Number::Histogram(histogram),
        PromqlPoints::Many(_) => return None,
    };
    Some(SeriesSample { labels: series.labels, at_ms: at.millis(), value })
}

fn thanos_params(strategy: Strategy) -> [(&'static str, String); 5] {
    [
        ("dedup", "true".to_owned()),
        ("partial_response", (strategy == Strategy::Warn).to_string()),
        ("explain", "false".to_owned()),
        ("analyze", "false".to_owned()),
        ("engine", String::new()),
    ]
}
