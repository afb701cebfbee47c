//! Pages and services that are added to a server while it runs; until then it answers that the process is starting.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tithon_chunks::ErrorKind;
use tower::ServiceExt;

use crate::calls::CallMetrics;
use crate::http::measure;
use crate::request_id::{RequestName, name_request};
use crate::request_log::log_request;
use crate::{GrpcServices, HttpMetrics, RequestLog, RuntimeError, to_status};

/// Middleware that gives each request an ID, which the calls it causes inherit.
async fn named(mut request: Request, next: Next) -> Response {
    name_request(request.headers_mut());
    RequestName::of(request.headers()).scope(next.run(request)).await
}

/// The error until the pages or services are there.
const STARTING: &str = "the process is starting";

/// The pages of an HTTP server, set later. Clones share them.
#[derive(Clone, Default)]
pub struct LatePages(Arc<OnceLock<Router>>);

impl LatePages {
    /// Sets the pages, measured by `metrics` and logged by `log`. Only the first call has an effect.
    pub fn set(&self, pages: Router, metrics: HttpMetrics, log: RequestLog) {
        let pages = pages.layer(axum::middleware::from_fn_with_state(metrics, measure));
        let pages = match log.is_for_http() {
            true => pages.layer(axum::middleware::from_fn_with_state(log, log_request)),
            false => pages,
        };
        let pages = pages.layer(axum::middleware::from_fn(named));
        let _first_counts = self.0.set(pages);
    }

    /// Adds these pages to `router`, for paths that it does not have; they answer 503 until they are set.
    pub fn behind(&self, router: Router) -> Router {
        let pages = self.clone();
        router.fallback(async move |request: Request| pages.answer(request).await)
    }

    async fn answer(&self, request: Request) -> Response {
        match self.0.get() {
            Some(pages) => match pages.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            None => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], STARTING).into_response(),
        }
    }
}

/// The services of a gRPC server, set later. Clones share them.
#[derive(Clone, Default)]
pub struct LateServices {
    routes: Arc<OnceLock<tonic::service::Routes>>,
    calls: Option<CallMetrics>,
}

impl LateServices {
    pub(crate) fn counted_by(calls: Option<CallMetrics>) -> LateServices {
        LateServices { routes: Arc::default(), calls }
    }

    /// Sets the services, and reflection of them from `descriptors`. Only the first call has an effect.
    ///
    /// Fails when the descriptors are invalid.
    pub fn set(&self, services: GrpcServices, descriptors: &'static [u8]) -> Result<(), RuntimeError> {
        if let Some(calls) = &self.calls {
            calls.begin_at_zero(&services.names);
        }
        let _first_counts = self.routes.set(services.with_reflection(descriptors)?.routes);
        Ok(())
    }

    /// Services for a server to start with, which answer `Unavailable` until the real ones are set.
    pub fn services(&self) -> GrpcServices {
        let late = self.clone();
        let router = Router::new().fallback(async move |request: Request| late.answer(request).await);
        GrpcServices { routes: tonic::service::Routes::from(router), names: Vec::new(), is_late: true }
    }

    async fn answer(&self, request: Request) -> Response {
        let Some(routes) = self.routes.get() else {
            return to_status(ErrorKind::Unavailable, STARTING).into_http();
        };
        match routes.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => to_status(ErrorKind::Internal, error.to_string()).into_http(),
        }
    }
}
