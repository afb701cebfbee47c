//! TLS of servers. Thanos `pkg/tls/options.go`; Prometheus exporter-toolkit `web/tls_config.go`.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{NamedGroup, ServerConfig};

use super::files::{Pem, Reloaded, Stamp, certificates, private_key, roots, stamp};
use super::verifier::ClientVerifier;
use super::{TlsError, TlsVersion, versions};

/// Whether clients must present certificates; the values of `client_auth_type` in the web configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Certificates are not requested.
    #[default]
    None,
    /// Certificates are requested but not verified.
    Request,
    /// A certificate is required but not verified.
    RequireAny,
    /// A certificate is optional but must be signed by the client CA.
    VerifyIfGiven,
    /// A certificate signed by the client CA is required.
    RequireAndVerify,
}

impl ClientAuth {
    /// Parses `client_auth_type`. Fails when it is unknown.
    pub fn parse(text: &str) -> Result<ClientAuth, TlsError> {
        match text {
            "" | "NoClientCert" => Ok(ClientAuth::None),
            "RequestClientCert" => Ok(ClientAuth::Request),
            "RequireAnyClientCert" | "RequireClientCert" => Ok(ClientAuth::RequireAny),
            "VerifyClientCertIfGiven" => Ok(ClientAuth::VerifyIfGiven),
            "RequireAndVerifyClientCert" => Ok(ClientAuth::RequireAndVerify),
            _ => Err(TlsError::Unknown {
                what: "client_auth_type",
                name: text.to_owned(),
                known: "NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, \
                        RequireAndVerifyClientCert"
                    .to_owned(),
            }),
        }
    }
}

/// TLS options of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsOptions {
    /// The certificate chain.
    pub cert: Pem,
    /// Its private key.
    pub key: Pem,
    /// CA certificates that clients' certificates are verified with.
    pub client_ca: Option<Pem>,
    /// Whether clients must present certificates.
    pub client_auth: ClientAuth,
    /// Names of which a client's certificate must have one; empty allows any.
    pub client_allowed_sans: Vec<String>,
    /// The oldest version to support.
    pub min_version: TlsVersion,
    /// The newest version to support.
    pub max_version: TlsVersion,
    /// TLS 1.2 cipher suites, with Go's names; empty for the library's choice. The suites of TLS 1.3 are fixed.
    pub cipher_suites: Vec<String>,
    /// Curves, with Go's names, the preferred one first; empty for the library's choice.
    pub curves: Vec<String>,
    /// ALPN protocols, the preferred one first.
    pub alpn: Vec<&'static str>,
}

impl ServerTlsOptions {
    /// Options of `--grpc-server-tls-*`: a certificate and TLS 1.3; with a client CA, clients must present
    /// certificates.
    pub fn grpc(cert: Pem, key: Pem, client_ca: Option<Pem>) -> ServerTlsOptions {
        let client_auth = if client_ca.is_some() { ClientAuth::RequireAndVerify } else { ClientAuth::None };
        ServerTlsOptions {
            cert,
            key,
            client_ca,
            client_auth,
            client_allowed_sans: Vec::new(),
            min_version: TlsVersion::V13,
            max_version: TlsVersion::V13,
            cipher_suites: Vec::new(),
            curves: Vec::new(),
            alpn: vec!["h2"],
        }
    }

    fn stamp(&self) -> Stamp {
        stamp([&self.cert, &self.key].into_iter().chain(&self.client_ca))
    }

    fn config(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(self.provider()?);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(self.min_version, self.max_version)?)?;
        let builder = match self.verifier(&provider)? {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
            None => builder.with_no_client_auth(),
        };
        let (chain, key) = (certificates(&self.cert, "certificate")?, private_key(&self.key, "private key")?);
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Option<ClientVerifier>, TlsError> {
        if self.client_auth == ClientAuth::None {
            return match self.client_ca {
                Some(_) => Err(TlsError::Settings(
                    "client CAs are given but client_auth_type does not ask for certificates".to_owned(),
                )),
                None => Ok(None),
            };
        }
        let verifies = matches!(self.client_auth, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify);
        let chain = match (&self.client_ca, verifies) {
            (Some(ca), true) => {
                let roots = roots(ca, "client CA")?;
                let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
                Some(builder.build().map_err(|e| TlsError::Settings(e.to_string()))?)
            }
            (None, true) => {
                return Err(TlsError::Settings(
                    "client_auth_type verifies certificates but no client CA is given".to_owned(),
                ));
            }
            (_, false) => None,
        };
        Ok(Some(ClientVerifier {
            chain,
            mandatory: matches!(self.client_auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify),
            allowed_sans: self.client_allowed_sans.clone(),
            algorithms: provider.signature_verification_algorithms,
        }))
    }

    /// The library's ciphers and curves, reduced to the configured ones.
    fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            let name = |suite: &rustls::SupportedCipherSuite| format!("{:?}", suite.suite());
            let known: Vec<String> =
                provider.cipher_suites.iter().filter(|s| s.tls13().is_none()).map(name).collect();
            for asked in self.cipher_suites.iter().filter(|asked| !is_tls13(asked)) {
                if !known.contains(asked) {
                    return Err(unknown("cipher suite", asked, &known.join(", ")));
                }
            }
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || self.cipher_suites.contains(&name(suite)));
        }
        if !self.curves.is_empty() {
            let groups = self.curves.iter().map(|name| curve(name)).collect::<Result<Vec<_>, _>>()?;
            let find = |group: &NamedGroup| provider.kx_groups.iter().find(|g| g.name() == *group).copied();
            provider.kx_groups = groups.iter().filter_map(find).collect();
        }
        Ok(provider)
    }
}

fn is_tls13(suite: &str) -> bool {
    matches!(suite, "TLS_AES_128_GCM_SHA256" | "TLS_AES_256_GCM_SHA384" | "TLS_CHACHA20_POLY1305_SHA256")
}

fn curve(name: &str) -> Result<NamedGroup, TlsError> {
    match name {
        "X25519" => Ok(NamedGroup::X25519),
        "CurveP256" => Ok(NamedGroup::secp256r1),
        "CurveP384" => Ok(NamedGroup::secp384r1),
        _ => Err(unknown("curve", name, "X25519, CurveP256, CurveP384")),
    }
}

fn unknown(what: &'static str, name: &str, known: &str) -> TlsError {
    TlsError::Unknown { what, name: name.to_owned(), known: known.to_owned() }
}

/// TLS of a server, with its files in their current version. Clones share it.
#[derive(Clone)]
pub struct ServerTls {
    options: Arc<ServerTlsOptions>,
    current: Arc<Reloaded<ServerConfig>>,
}

impl ServerTls {
    /// Reads the files. Fails when one is missing or invalid.
    pub fn new(options: ServerTlsOptions) -> Result<ServerTls, TlsError> {
        let current = Reloaded::new(options.stamp(), options.config()?);
        Ok(ServerTls { options: Arc::new(options), current: Arc::new(current) })
    }

    /// The configuration of the next connection. Changed files are read again; if they are invalid, the last
    /// configuration stays, with a warning.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.get(self.options.stamp(), || self.options.config())
    }
}
