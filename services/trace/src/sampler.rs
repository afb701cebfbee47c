//! Samplers of traces: OpenTelemetry's, a rate limit like Jaeger's, and the header that forces a trace.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// Attribute of a span whose trace is kept whatever the sampler decides. Thanos `pkg/tracing/tracing.go`.
const FORCED: &str = "thanos.force_tracing";

/// How traces are sampled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sampling {
    Always,
    Never,
    /// Samples this share of traces, by their IDs, so that all processes choose the same ones.
    Ratio(f64),
    /// Samples at most this many traces per second of those that begin in this process.
    PerSecond(f64),
    /// Follows the caller's decision; traces that begin here are sampled by the inner sampler.
    Parent(Box<Sampling>),
}

impl Sampling {
    /// The sampler, which always accepts spans with `thanos.force_tracing`.
    pub(crate) fn sampler(&self) -> Forced {
        Forced(self.plain())
    }

    fn plain(&self) -> Box<dyn ShouldSample> {
        match self {
            Sampling::Always => Sampler::AlwaysOn.into(),
            Sampling::Never => Sampler::AlwaysOff.into(),
            Sampling::Ratio(ratio) => Sampler::TraceIdRatioBased(*ratio).into(),
            Sampling::PerSecond(rate) => Rate::new(*rate).into(),
            Sampling::Parent(root) => Sampler::ParentBased(root.plain()).into(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Forced(Box<dyn ShouldSample>);

impl ShouldSample for Forced {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let forced = attributes.iter().any(|attribute| attribute.key.as_str() == FORCED);
        if forced {
            return decided(parent, SamplingDecision::RecordAndSample);
        }
        self.0.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

fn decided(parent: Option<&Context>, decision: SamplingDecision) -> SamplingResult {
    let trace_state = parent.map(|cx| cx.span().span_context().trace_state().clone()).unwrap_or_default();
    SamplingResult { decision, attributes: Vec::new(), trace_state }
}

/// Rate limit: at most `per_second` traces per second, and as many at once, but at least one. Jaeger
/// `utils.RateLimiter`.
#[derive(Clone, Debug)]
struct Rate {
    per_second: f64,
    balance: Arc<Mutex<(f64, Instant)>>,
}

impl Rate {
    fn new(per_second: f64) -> Rate {
        Rate { per_second, balance: Arc::new(Mutex::new((per_second.max(1.0), Instant::now()))) }
    }

    fn admits(&self, now: Instant) -> bool {
        let mut balance = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
        let (credits, last) = *balance;
        let earned = now.saturating_duration_since(last).as_secs_f64() * self.per_second;
        let credits = (credits + earned).min(self.per_second.max(1.0));
        let admitted = self.per_second > 0.0 && credits >= 1.0;
        *balance = (if admitted { credits - 1.0 } else { credits }, now);
        admitted
    }
}

impl ShouldSample for Rate {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let admitted = self.admits(Instant::now());
        let decision = if admitted { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        decided(parent, decision)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn decision(sampler: &dyn ShouldSample, attributes: &[KeyValue]) -> SamplingDecision {
        let id = TraceId::from_bytes([1; 16]);
        sampler.should_sample(None, id, "x", &SpanKind::Server, attributes, &[]).decision
    }

    #[test]
    fn a_forced_trace_passes_every_sampler() {
        for sampling in [Sampling::Never, Sampling::Ratio(0.0), Sampling::Parent(Box::new(Sampling::Never))] {
            let sampler = sampling.sampler();
            assert_eq!(decision(&sampler, &[]), SamplingDecision::Drop, "{sampling:?}");
            let forced = [KeyValue::new(FORCED, "true")];
            assert_eq!(decision(&sampler, &forced), SamplingDecision::RecordAndSample, "{sampling:?}");
        }
        assert_eq!(decision(&Sampling::Always.sampler(), &[]), SamplingDecision::RecordAndSample);
    }

    #[test]
    fn a_rate_lets_so_many_a_second_through() {
        let rate = Rate::new(2.0);
        let begin = Instant::now();
        let admitted = |ms: u64| rate.admits(begin + Duration::from_millis(ms));
        assert_eq!(
            [0, 0, 0, 500, 500, 3000, 3000, 3000].map(admitted),
            [true, true, false, true, false, true, true, false]
        );
        let slow = Rate::new(0.5);
        let admitted = |ms: u64| slow.admits(begin + Duration::from_millis(ms));
        assert_eq!([0, 1000, 2000, 2001].map(admitted), [true, false, true, false]);
        assert!(!Rate::new(0.0).admits(begin));
    }
}
