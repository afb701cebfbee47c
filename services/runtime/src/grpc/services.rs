//! The set of gRPC services that a process serves.

use std::convert::Infallible;

use crate::RuntimeError;

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::Request;
use tonic::server::NamedService;
use tonic::service::Routes;

/// gRPC services that are served together, and their full names, which reflection lists.
#[derive(Clone, Debug, Default)]
pub struct GrpcServices {
    pub(crate) routes: Routes,
    pub(crate) names: Vec<&'static str>,
    /// Whether more services, and reflection of them, come later.
    pub(crate) is_late: bool,
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
        GrpcServices { routes: self.routes.add_service(service), names, ..self }
    }

    /// The same services and reflection of them, v1 and v1alpha, over `descriptors`, an encoded `FileDescriptorSet`.
    pub(crate) fn with_reflection(self, descriptors: &'static [u8]) -> Result<GrpcServices, RuntimeError> {
        let reflection = || {
            let mut builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            for name in self.names.iter().copied().chain(["grpc.health.v1.Health"]) {
                builder = builder.with_service_name(name);
            }
            builder
        };
        let unreadable = |e: tonic_reflection::server::Error| RuntimeError::Descriptors(e.to_string());
        let (v1, v1alpha) =
            (reflection().build_v1().map_err(unreadable)?, reflection().build_v1alpha().map_err(unreadable)?);
        Ok(GrpcServices { routes: self.routes.add_service(v1).add_service(v1alpha), ..self })
    }
}
