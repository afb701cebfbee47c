//! TLS flags of gRPC servers and clients. Thanos `pkg/tls/options.go`, `cmd/thanos/config.go`.

use clap::Args;
use tithon_runtime::{ClientTls, ClientTlsOptions, Pem, ServerTls, ServerTlsOptions, TlsError, TlsVersion};

/// `--grpc-server-tls-*`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Servers")]
pub struct GrpcServerTlsFlags {
    /// PEM file with the server's certificate; with a certificate and key, gRPC uses TLS only.
    #[arg(long = "grpc-server-tls-cert", value_name = "FILE", default_value = "", hide_default_value = true)]
    server_cert: String,
    /// PEM file with the certificate's key.
    #[arg(long = "grpc-server-tls-key", value_name = "FILE", default_value = "", hide_default_value = true)]
    server_key: String,
    /// PEM file with the CA that must have signed the clients' certificates; without it clients need none.
    #[arg(
        long = "grpc-server-tls-client-ca",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    server_client_ca: String,
    /// Oldest TLS version to support: 1.2 or 1.3; 1.0 and 1.1 mean 1.2.
    #[arg(long = "grpc-server-tls-min-version", value_name = "VERSION", default_value = "1.3",
          value_parser = parse_version)]
    server_min_version: TlsVersion,
    /// Cipher suites of TLS 1.2 with Go's names; may be given several times.
    #[arg(long = "grpc-server-tls-ciphers", value_name = "NAME")]
    server_ciphers: Vec<String>,
    /// Curves with Go's names, such as X25519 or CurveP256; may be given several times.
    #[arg(long = "grpc-server-tls-curves", value_name = "NAME")]
    server_curves: Vec<String>,
}

impl GrpcServerTlsFlags {
    /// The TLS of the server; `None` for clear text. Fails when files are missing or invalid.
    pub fn load(&self) -> Result<Option<ServerTls>, TlsError> {
        let together = || TlsError::Together("--grpc-server-tls-cert", "--grpc-server-tls-key");
        let (Some(cert), Some(key)) = (pem(&self.server_cert), pem(&self.server_key)) else {
            return match (&*self.server_cert, &*self.server_key, &*self.server_client_ca) {
                ("", "", "") => Ok(None),
                _ => Err(together()),
            };
        };
        let options = ServerTlsOptions {
            min_version: self.server_min_version,
            cipher_suites: self.server_ciphers.clone(),
            curves: self.server_curves.clone(),
            ..ServerTlsOptions::grpc(cert, key, pem(&self.server_client_ca))
        };
        ServerTls::new(options).map(Some)
    }
}

/// `--grpc-client-*`: TLS of the connections to endpoints.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Endpoints")]
pub struct GrpcClientTlsFlags {
    /// Use TLS to connect to endpoints.
    #[arg(long = "grpc-client-tls-secure", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    client_secure: bool,
    /// Accept any certificate of endpoints.
    #[arg(long = "grpc-client-tls-skip-verify", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    client_skip_verify: bool,
    /// PEM file with the client's certificate for endpoints.
    #[arg(long = "grpc-client-tls-cert", value_name = "FILE", default_value = "", hide_default_value = true)]
    client_cert: String,
    /// PEM file with the certificate's key.
    #[arg(long = "grpc-client-tls-key", value_name = "FILE", default_value = "", hide_default_value = true)]
    client_key: String,
    /// PEM file with the CA that must have signed the endpoints' certificates; the system's CAs by default.
    #[arg(long = "grpc-client-tls-ca", value_name = "FILE", default_value = "", hide_default_value = true)]
    client_ca: String,
    /// Name to verify in the endpoints' certificates; the host of the address by default.
    #[arg(
        long = "grpc-client-server-name",
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    client_server_name: String,
    /// Oldest TLS version to support: 1.2 or 1.3; 1.0 and 1.1 mean 1.2.
    #[arg(long = "grpc-client-tls-min-version", value_name = "VERSION", default_value = "1.3",
          value_parser = parse_version)]
    client_min_version: TlsVersion,
}

impl GrpcClientTlsFlags {
    /// The TLS of the client; `None` for clear text. Fails when files are missing or invalid.
    pub fn load(&self) -> Result<Option<ClientTls>, TlsError> {
        self.options()?.map(ClientTls::new).transpose()
    }

    /// The options of the client's TLS, before its files are read.
    pub fn options(&self) -> Result<Option<ClientTlsOptions>, TlsError> {
        if !self.client_secure {
            return Ok(None);
        }
        let identity = match (pem(&self.client_cert), pem(&self.client_key)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(TlsError::Together("--grpc-client-tls-cert", "--grpc-client-tls-key")),
        };
        let options = ClientTlsOptions {
            ca: pem(&self.client_ca),
            identity,
            server_name: (!self.client_server_name.is_empty()).then(|| self.client_server_name.clone()),
            skip_verify: self.client_skip_verify,
            min_version: self.client_min_version,
        };
        Ok(Some(options))
    }
}

fn pem(path: &str) -> Option<Pem> {
    (!path.is_empty()).then(|| Pem::File(path.into()))
}

fn parse_version(text: &str) -> Result<TlsVersion, String> {
    TlsVersion::parse(text).map_err(|e| e.to_string())
}
