//! TLS of a server. Thanos `pkg/tls/options.go`; Prometheus exporter-toolkit `web/tls_config.go`.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{NamedGroup, ServerConfig};

use super::files::{Pem, Reloaded, Stamp, certificates, private_key, roots, stamp};
use super::verifier::ClientVerifier;
use super::{TlsError, TlsVersion, versions};

/// Whether clients must show certificates, in the words of the web configuration (`client_auth_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked for one, and none is checked.
    Request,
    /// They must show one, and none is checked.
    RequireAny,
    /// If they show one, it must be signed by the client CA.
    VerifyIfGiven,
    /// They must show one that is signed by the client CA.
    RequireAndVerify,
}

impl ClientAuth {
    /// Reads `client_auth_type`.
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

/// What the TLS of a server is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsOptions {
    /// The certificate chain.
    pub cert: Pem,
    /// Its private key.
    pub key: Pem,
    /// Who signs client certificates.
    pub client_ca: Option<Pem>,
    /// Whether clients must show certificates.
    pub client_auth: ClientAuth,
    /// One of these must be in a client's certificate; empty allows all.
    pub client_allowed_sans: Vec<String>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest version that is spoken.
    pub max_version: TlsVersion,
    /// Suites of TLS 1.2 by their names in Go; empty leaves the choice to the library. Those of 1.3 are not chosen.
    pub cipher_suites: Vec<String>,
    /// Curves by their names in Go, the preferred one first; empty leaves the choice to the library.
    pub curves: Vec<String>,
    /// Protocols offered by ALPN, the preferred one first.
    pub alpn: Vec<&'static str>,
}

impl ServerTlsOptions {
    /// A server with a certificate and TLS 1.3, and with a client CA one that demands certificates of clients: what
    /// `--grpc-server-tls-*` describes.
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

    /// The library's ciphers and curves, less those that were not asked for.
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

/// The TLS of a server, as its files have it now. Clones share it.
#[derive(Clone)]
pub struct ServerTls {
    options: Arc<ServerTlsOptions>,
    current: Arc<Reloaded<ServerConfig>>,
}

impl ServerTls {
    /// Reads the files. Errors name what is missing or does not fit.
    pub fn new(options: ServerTlsOptions) -> Result<ServerTls, TlsError> {
        let current = Reloaded::new(options.stamp(), options.config()?);
        Ok(ServerTls { options: Arc::new(options), current: Arc::new(current) })
    }

    /// What the next connection is to use: the files are read again when one of them has changed. When they cannot be
    /// used, what was read before stays, with a warning.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.get(self.options.stamp(), || self.options.config())
    }
}
