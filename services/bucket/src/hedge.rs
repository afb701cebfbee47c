//! Hedged requests: a request that takes longer than most is sent once more, and the first answer counts. Thanos
//! `pkg/exthttp/hedging.go`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::{GetResult, Result};
use prometheus_client::metrics::counter::Counter;
use serde::Deserialize;

use crate::ConfigError;

/// `hedging_config` of the objstore configuration.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HedgingConfig {
    /// Whether slow requests are hedged; off by default.
    pub enabled: bool,
    /// Largest number of requests for one range at the same time, including the first.
    pub up_to: u32,
    /// Quantile of recent durations after which a request is hedged.
    pub quantile: f64,
}

impl Default for HedgingConfig {
    fn default() -> HedgingConfig {
        HedgingConfig { enabled: false, up_to: 3, quantile: 0.9 }
    }
}

impl HedgingConfig {
    /// Fails when a value is out of range.
    pub(crate) fn check(&self) -> std::result::Result<(), ConfigError> {
        let invalid = |key, reason: String| Err(ConfigError::Invalid { provider: "bucket", key, reason });
        if !(0.0..=1.0).contains(&self.quantile) {
            return invalid(
                "hedging_config.quantile",
                format!("found {}, expected a number from 0 to 1", self.quantile),
            );
        }
        if self.up_to == 0 {
            return invalid("hedging_config.up_to", "found 0, expected at least 1".to_owned());
        }
        Ok(())
    }
}

/// Durations of the last requests, whose quantile is the delay before a hedge.
#[derive(Debug)]
pub(crate) struct Hedge {
    config: HedgingConfig,
    times: Mutex<Times>,
    /// Number of hedges sent.
    pub(crate) extra: Counter,
}

#[derive(Debug, Default)]
struct Times {
    last: Vec<Duration>,
    next: usize,
}

/// Number of durations that are kept.
const TIMES: usize = 256;
/// Number of durations below which no request is hedged.
const TIMES_MIN: usize = 16;

impl Times {
    fn add(&mut self, time: Duration) {
        match self.last.get_mut(self.next) {
            Some(oldest) => *oldest = time,
            None => self.last.push(time),
        }
        self.next = (self.next + 1) % TIMES;
    }

    fn quantile(&self, share: f64) -> Option<Duration> {
        let mut times = self.last.clone();
        let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        (times.len() >= TIMES_MIN).then(|| *times.select_nth_unstable(at).1)
    }
}

impl Hedge {
    /// `None` when hedging is off.
    pub(crate) fn new(config: HedgingConfig) -> Option<Hedge> {
        let is_on = config.enabled && config.up_to > 1;
        is_on.then(|| Hedge { config, times: Mutex::default(), extra: Counter::default() })
    }

    /// Sends a request, and hedges while it is slow. Returns the first good answer, or an error when all attempts fail.
    pub(crate) async fn first<F: Future<Output = Result<GetResult>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<GetResult> {
        let begun = Instant::now();
        let delay = self.times.lock().unwrap_or_else(PoisonError::into_inner).quantile(self.config.quantile);
        let mut n_begun = 1;
        let mut running = FuturesUnordered::from_iter([request()]);
        loop {
            let wait = async {
                match delay {
                    Some(delay) if n_begun < self.config.up_to => tokio::time::sleep(delay).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                // There is at least one running request.
                Some(answer) = running.next() => {
                    if answer.is_ok() {
                        self.times.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
                    }
                    if answer.is_ok() || running.is_empty() {
                        return answer;
                    }
                }
                () = wait => {
                    n_begun += 1;
                    self.extra.inc();
                    running.push(request());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{Error, ObjectStore, ObjectStoreExt};

    use super::*;

    async fn store() -> InMemory {
        let store = InMemory::new();
        store.put(&Path::from("object"), "content".into()).await.unwrap();
        store
    }

    fn hedge() -> Hedge {
        let hedge =
            Hedge::new(HedgingConfig { enabled: true, ..HedgingConfig::default() }).expect("it is on");
        for _ in 0..TIMES_MIN {
            hedge.times.lock().unwrap().add(Duration::from_millis(1));
        }
        hedge
    }

    #[test]
    fn it_is_off_by_default_and_its_values_are_checked() {
        assert!(Hedge::new(HedgingConfig::default()).is_none());
        let config = HedgingConfig { quantile: 1.5, ..HedgingConfig::default() };
        assert!(config.check().unwrap_err().to_string().contains("hedging_config.quantile: found 1.5"));
        assert!(HedgingConfig { up_to: 0, ..HedgingConfig::default() }.check().is_err());
    }

    #[test]
    fn the_quantile_is_of_the_last_times() {
        let mut times = Times::default();
        for i in 1..=1000 {
            times.add(Duration::from_millis(i));
        }
        assert_eq!(times.last.len(), TIMES);
        assert_eq!(times.quantile(0.0), Some(Duration::from_millis(745)));
        assert_eq!(times.quantile(1.0), Some(Duration::from_millis(1000)));
    }

    /// The first request hangs, the second is answered.
    #[tokio::test]
    async fn a_request_that_hangs_is_made_again() {
        let (store, hedge, n) = (store().await, hedge(), AtomicUsize::new(0));
        let (store, n) = (&store, &n);
        let answer = hedge.first(|| async move {
            match n.fetch_add(1, Ordering::Relaxed) {
                0 => std::future::pending().await,
                _ => store.get_opts(&Path::from("object"), object_store::GetOptions::default()).await,
            }
        });
        assert_eq!(answer.await.unwrap().bytes().await.unwrap(), "content");
        assert_eq!((n.load(Ordering::Relaxed), hedge.extra.get()), (2, 1));
    }

    /// All requests but the last hang; its failure is returned only after the others', and there are at most `up_to`
    /// requests.
    #[tokio::test]
    async fn no_more_are_made_than_configured() {
        let (hedge, n) = (hedge(), AtomicUsize::new(0));
        let n = &n;
        let answer = hedge.first(|| async move {
            let i = n.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(Error::Generic { store: "test", source: format!("refused {i}").into() })
        });
        assert!(answer.await.unwrap_err().to_string().contains("refused 2"));
        assert_eq!(n.load(Ordering::Relaxed), 3);
    }
}
