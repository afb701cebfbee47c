//! TLS of clients, such as a querier's connections to endpoints. Thanos `pkg/tls/options.go`.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::files::{Pem, Reloaded, Stamp, certificates, private_key, roots, stamp};
use super::{TlsError, TlsVersion, versions};

/// TLS options of a client, set by `--grpc-client-tls-*` and `--grpc-client-server-name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsOptions {
    /// CA certificates that the server's is verified with; `None` for the system's.
    pub ca: Option<Pem>,
    /// The client's certificate and key.
    pub identity: Option<(Pem, Pem)>,
    /// Name to verify in the server's certificate; `None` for the host that is connected to.
    pub server_name: Option<String>,
    /// Accepts any certificate.
    pub skip_verify: bool,
    /// The oldest version to support.
    pub min_version: TlsVersion,
}

impl ClientTlsOptions {
    fn stamp(&self) -> Stamp {
        stamp(self.ca.iter().chain(self.identity.iter().flat_map(|(cert, key)| [cert, key])))
    }

    fn config(&self) -> Result<ClientConfig, TlsError> {
        let roots = match &self.ca {
            _ if self.skip_verify => Arc::new(RootCertStore::empty()),
            Some(ca) => roots(ca, "server CA")?,
            None => system_roots()?,
        };
        let mut config = self.config_with(roots, None)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// The configuration for servers whose certificate is signed by one of `roots` and has `name`, or the host's name
    /// if that is `None`.
    fn config_with(
        &self,
        roots: Arc<RootCertStore>,
        name: Option<ServerName<'static>>,
    ) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(self.min_version, TlsVersion::V13)?)?;
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        } else if roots.is_empty() {
            builder.with_root_certificates(roots)
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            let verifier = verifier.map_err(|e| TlsError::Settings(e.to_string()))?;
            match name {
                Some(name) => {
                    builder.dangerous().with_custom_certificate_verifier(Arc::new(Named { name, verifier }))
                }
                None => builder.with_webpki_verifier(verifier),
            }
        };
        Ok(match &self.identity {
            Some((cert, key)) => builder.with_client_auth_cert(
                certificates(cert, "client certificate")?,
                private_key(key, "client key")?,
            )?,
            None => builder.with_no_client_auth(),
        })
    }
}

fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        return Err(TlsError::Settings(
            "the system has no CA certificates: name one that signs the servers' certificates".to_owned(),
        ));
    }
    Ok(Arc::new(store))
}

/// TLS of a client, with its files in their current version. Clones share it.
#[derive(Clone)]
pub struct ClientTls {
    options: Arc<ClientTlsOptions>,
    current: Arc<Reloaded<ClientConfig>>,
}

impl ClientTls {
    /// Reads the files. Fails when one is missing or invalid.
    pub fn new(options: ClientTlsOptions) -> Result<ClientTls, TlsError> {
        let current = Reloaded::new(options.stamp(), options.config()?);
        Ok(ClientTls { options: Arc::new(options), current: Arc::new(current) })
    }

    /// The configuration of the next connection. Changed files are read again, as by [`super::ServerTls::config`].
    pub fn config(&self) -> Arc<ClientConfig> {
        self.current.get(self.options.stamp(), || self.options.config())
    }

    /// The name that the certificate of the server at `host` must have. Fails when it is no valid name.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.options.server_name.as_deref().unwrap_or(host).to_owned();
        ServerName::try_from(name.clone())
            .map_err(|e| TlsError::Settings(format!("server name {name:?}: {e}")))
    }
}

/// TLS for an HTTP client that takes a complete configuration; the files are read once. If the system has no
/// certificates, no server is trusted.
///
/// Fails when a file is missing or invalid.
pub fn http_tls(options: &ClientTlsOptions) -> Result<ClientConfig, TlsError> {
    let roots = match &options.ca {
        Some(ca) => roots(ca, "server CA")?,
        None => system_roots().unwrap_or_else(|_| Arc::new(RootCertStore::empty())),
    };
    let name = options.server_name.as_deref().map(|name| {
        ServerName::try_from(name.to_owned())
            .map_err(|e| TlsError::Settings(format!("server name {name:?}: {e}")))
    });
    options.config_with(roots, name.transpose()?)
}

/// Verifies the server's certificate against `name` instead of the host's name.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Accepts every certificate, for `--grpc-client-tls-skip-verify`.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
