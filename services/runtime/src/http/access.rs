//! Access control of the HTTP server: passwords, rate limit and headers of the web configuration, around all routes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use sha2::{Digest, Sha256};
use tracing::error;

use super::web_config::{WebConfig, WebConfigError};

/// Number of password checks that are cached; bcrypt takes a tenth of a second for each.
const REMEMBERED_MAX: usize = 1000;
/// Hash that an unknown user's password is compared with, so that the answer takes as long as for a known user.
const NOBODYS_HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// The web configuration in the file's current version. Clones share it.
#[derive(Clone)]
pub(super) struct Access {
    path: Arc<PathBuf>,
    current: Arc<Mutex<(Option<SystemTime>, Arc<WebConfig>)>>,
    /// Cached checks: whether user, hash and password match, by the SHA-256 of the three.
    remembered: Arc<Mutex<HashMap<[u8; 32], bool>>>,
    /// Passwords are checked one at a time, so that wrong ones cannot occupy all CPUs.
    checking: Arc<tokio::sync::Mutex<()>>,
    bucket: Arc<Mutex<Tokens>>,
}

/// Token bucket of the rate limit: number of further requests allowed now.
struct Tokens {
    left: f64,
    at: Instant,
}

impl Access {
    /// Reads the file. Fails when it is invalid, with the place of the mistake.
    pub(super) fn new(path: PathBuf) -> Result<Access, WebConfigError> {
        let config = WebConfig::read(&path)?;
        let burst = config.rate_limit().map_or(0, |(_, burst)| burst);
        let written = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
        Ok(Access {
            path: Arc::new(path),
            current: Arc::new(Mutex::new((written, Arc::new(config)))),
            remembered: Arc::default(),
            checking: Arc::default(),
            bucket: Arc::new(Mutex::new(Tokens { left: f64::from(burst), at: Instant::now() })),
        })
    }

    /// The configuration, read again if the file has changed.
    pub(super) fn config(&self) -> Result<Arc<WebConfig>, WebConfigError> {
        let written = std::fs::metadata(&*self.path).and_then(|m| m.modified()).ok();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != written || written.is_none() {
            current.1 = Arc::new(WebConfig::read(&self.path)?);
            current.0 = written;
        }
        Ok(Arc::clone(&current.1))
    }

    fn is_within_rate(&self, config: &WebConfig) -> bool {
        let Some((interval, burst)) = config.rate_limit() else { return true };
        let mut tokens = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = now.duration_since(tokens.at).as_secs_f64() / interval.as_secs_f64();
        tokens.left = (tokens.left + earned).min(f64::from(burst));
        tokens.at = now;
        let within = tokens.left >= 1.0;
        if within {
            tokens.left -= 1.0;
        }
        within
    }

    async fn knows(&self, config: &WebConfig, headers: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(headers) else { return false };
        let hash = config.hash_of(&user);
        let compared = hash.unwrap_or(NOBODYS_HASH).to_owned();
        let key = digest([&user, &compared, &password]);
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = remembered().get(&key).copied();
        let right = match known {
            Some(right) => right,
            None => {
                let _turn = self.checking.lock().await;
                let check = move || bcrypt::verify(password, &compared).unwrap_or(false);
                let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
                let mut remembered = remembered();
                if remembered.len() >= REMEMBERED_MAX {
                    remembered.clear();
                }
                remembered.insert(key, right);
                right
            }
        };
        right && hash.is_some()
    }
}

fn digest(parts: [&str; 3]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// User and password of an `Authorization: Basic` header.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Passes a request to the routes, or refuses it.
pub(super) async fn check(State(access): State<Access>, request: Request<Body>, next: Next) -> Response {
    let config = match access.config() {
        Ok(config) => config,
        Err(error) => {
            error!(error = %error, "the web configuration cannot be used");
            return refusal(StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    if !access.is_within_rate(&config) {
        return refusal(StatusCode::TOO_MANY_REQUESTS);
    }
    let mut response = if !config.has_users() || access.knows(&config, request.headers()).await {
        next.run(request).await
    } else {
        let mut refused = refusal(StatusCode::UNAUTHORIZED);
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        refused
    };
    for (name, value) in config.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn refusal(status: StatusCode) -> Response {
    (status, format!("{}\n", status.canonical_reason().unwrap_or_default())).into_response()
}
