//! Pages and services of a server that runs already: until they are there, it answers that the process is starting.

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

/// Middleware: requests have names, also for the calls that they cause.
async fn named(mut request: Request, next: Next) -> Response {
    name_request(request.headers_mut());
    RequestName::of(request.headers()).scope(next.run(request)).await
}

/// What is said of the time before.
const STARTING: &str = "the process is starting";

/// The pages of an HTTP server. Clones share them.
#[derive(Clone, Default)]
pub struct LatePages(Arc<OnceLock<Router>>);

impl LatePages {
    /// From now on requests are answered by `pages`, measured by `metrics`, and logged as `log` says. Only the first call counts.
    pub fn set(&self, pages: Router, metrics: HttpMetrics, log: RequestLog) {
        let pages = pages.layer(axum::middleware::from_fn_with_state(metrics, measure));
        let pages = match log.is_for_http() {
            true => pages.layer(axum::middleware::from_fn_with_state(log, log_request)),
            false => pages,
        };
        let pages = pages.layer(axum::middleware::from_fn(named));
        let _first_counts = self.0.set(pages);
    }

    /// `router` with these pages behind its own: 503 until they are there.
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

/// The services of a gRPC server. Clones share them.
#[derive(Clone, Default)]
pub struct LateServices {
    routes: Arc<OnceLock<tonic::service::Routes>>,
    calls: Option<CallMetrics>,
}

impl LateServices {
    pub(crate) fn counted_by(calls: Option<CallMetrics>) -> LateServices {
        LateServices { routes: Arc::default(), calls }
    }

    /// From now on calls are answered by `services`, and by reflection of them over `descriptors`. Only the first call counts.
    pub fn set(&self, services: GrpcServices, descriptors: &'static [u8]) -> Result<(), RuntimeError> {
        if let Some(calls) = &self.calls {
            calls.begin_at_zero(&services.names);
        }
        let _first_counts = self.routes.set(services.with_reflection(descriptors)?.routes);
        Ok(())
    }

    /// What a server is given: code Unavailable until the services are there.
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
