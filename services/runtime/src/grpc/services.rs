//! The set of gRPC services that a process serves.

use std::convert::Infallible;

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::Request;
use tonic::server::NamedService;
use tonic::service::Routes;

/// gRPC services that are served together, and their full names, which reflection lists.
#[derive(Clone, Debug, Default)]
pub struct GrpcServices {
    pub(super) routes: Routes,
    pub(super) names: Vec<&'static str>,
}

impl GrpcServices {
    /// One more service, such as the server that tonic generates.
    pub fn with<S>(self, service: S) -> GrpcServices
    where
        S: Service<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        let mut names = self.names;
        names.push(S::NAME);
        GrpcServices { routes: self.routes.add_service(service), names }
    }
}
