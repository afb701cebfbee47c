//! TLS of a client: how a querier reaches its endpoints. Thanos `pkg/tls/options.go`.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::files::{Pem, Reloaded, Stamp, certificates, private_key, roots, stamp};
use super::{TlsError, TlsVersion, versions};

/// What `--grpc-client-tls-*` and `--grpc-client-server-name` describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsOptions {
    /// Who signs server certificates; without it the system's certificates are used.
    pub ca: Option<Pem>,
    /// The client's own certificate and its key.
    pub identity: Option<(Pem, Pem)>,
    /// The name that the server's certificate must have; without it the host that is connected to.
    pub server_name: Option<String>,
    /// Any certificate will do.
    pub skip_verify: bool,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

impl ClientTlsOptions {
    fn stamp(&self) -> Stamp {
        stamp(self.ca.iter().chain(self.identity.iter().flat_map(|(cert, key)| [cert, key])))
    }

    fn config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(self.min_version, TlsVersion::V13)?)?;
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        } else {
            let roots = match &self.ca {
                Some(ca) => roots(ca, "server CA")?,
                None => system_roots()?,
            };
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_webpki_verifier(verifier.map_err(|e| TlsError::Settings(e.to_string()))?)
        };
        let mut config = match &self.identity {
            Some((cert, key)) => builder.with_client_auth_cert(
                certificates(cert, "client certificate")?,
                private_key(key, "client key")?,
            )?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
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

/// The TLS of a client, as its files have it now. Clones share it.
#[derive(Clone)]
pub struct ClientTls {
    options: Arc<ClientTlsOptions>,
    current: Arc<Reloaded<ClientConfig>>,
}

impl ClientTls {
    /// Reads the files. Errors name what is missing or does not fit.
    pub fn new(options: ClientTlsOptions) -> Result<ClientTls, TlsError> {
        let current = Reloaded::new(options.stamp(), options.config()?);
        Ok(ClientTls { options: Arc::new(options), current: Arc::new(current) })
    }

    /// What the next connection is to use; changed files are read again, as [`super::ServerTls::config`] does.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.current.get(self.options.stamp(), || self.options.config())
    }

    /// The name that the certificate of the server at `host` must have.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.options.server_name.as_deref().unwrap_or(host).to_owned();
        ServerName::try_from(name.clone())
            .map_err(|e| TlsError::Settings(format!("server name {name:?}: {e}")))
    }
}

/// Accepts every certificate, as `--grpc-client-tls-skip-verify` asks for.
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
