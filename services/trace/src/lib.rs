//! Sends spans to an OpenTelemetry collector, as configured by `--tracing.config`. Thanos `pkg/tracing`,
//! `docs/tracing.md`.
//!
//! Spans are created with `tracing`; requests carry their context in the headers of W3C Trace Context
//! (`tithon_runtime::trace`). This crate parses the configuration and sends the sampled spans over OTLP.

mod config;
mod duration;
mod error;
mod export;
mod jaeger;
mod otlp;
mod plan;
mod sampler;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Runtime;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

pub use self::error::TraceError;
use self::export::OnRuntime;
pub use self::plan::Plan;

/// Time to send the last spans at the end; those not sent by then are lost, as in Thanos.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Sends spans to a collector, until [`Tracing::finish`].
pub struct Tracing {
    provider: SdkTracerProvider,
    /// A runtime of its own for sending, so that sending and the traced work do not delay each other.
    runtime: Runtime,
}

impl Tracing {
    /// Begins to send spans as planned; `None` if the plan sends none. Must not be called on a thread of a runtime.
    ///
    /// Fails when the client or its thread cannot be set up.
    pub fn start(plan: &Plan) -> Result<Option<Tracing>, TraceError> {
        let Some(target) = &plan.target else { return Ok(None) };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tracing")
            .enable_all()
            .build()
            .map_err(TraceError::Runtime)?;
        let exporter = {
            let _inside = runtime.enter();
            target.exporter(runtime.handle())?
        };
        let mut batches = BatchConfigBuilder::default();
        if let Some(spans) = plan.queue_spans {
            batches = batches.with_max_queue_size(spans);
        }
        if let Some(delay) = plan.flush_interval {
            batches = batches.with_scheduled_delay(delay);
        }
        let exporter = OnRuntime::new(exporter, runtime.handle().clone());
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build();
        let attributes = plan.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let mut resource = Resource::builder().with_attributes(attributes);
        if !plan.service_name.is_empty() {
            resource = resource.with_service_name(plan.service_name.clone());
        }
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(plan.sampling.sampler())
            .with_resource(resource.build())
            .build();
        let propagators: Vec<Box<dyn opentelemetry::propagation::TextMapPropagator + Send + Sync>> =
            vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())];
        opentelemetry::global::set_text_map_propagator(
            opentelemetry::propagation::TextMapCompositePropagator::new(propagators),
        );
        Ok(Some(Tracing { provider, runtime }))
    }

    /// The layer that makes OpenTelemetry spans of the spans of Tithon's crates, and of no others.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("tithon"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // Spans have their parents from `tracing`; nothing reads the context of a thread.
            .with_context_activation(false)
            .with_target(false)
            .with_level(false)
            .with_filter(filter_fn(|of| of.is_span() && of.target().starts_with("tithon")))
    }

    /// Sends the remaining spans, within some seconds. Must not be called on a thread of a runtime.
    ///
    /// Fails when spans could not be sent.
    pub fn finish(self) -> Result<(), TraceError> {
        let done = self.provider.shutdown_with_timeout(FLUSH_MAX);
        self.runtime.shutdown_timeout(Duration::from_millis(100));
        done.map_err(|error| TraceError::Unsent(error.to_string()))
    }
}
