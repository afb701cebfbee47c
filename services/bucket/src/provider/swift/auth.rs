//! Authentication: Keystone's protocols of versions 3 and 2, and version 1, which is Swift's own.
//! <https://docs.openstack.org/api-ref/identity/v3/>

use http::StatusCode;
use object_store::{Error, Result};
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PROVIDER, SwiftConfig};

/// A token and the URL to use it with.
#[derive(Clone)]
pub(super) struct Session {
    /// The account's URL, without a trailing slash.
    pub(super) storage_url: String,
    pub(super) token: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "session at {}", self.storage_url)
    }
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    interface: String,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    url: String,
    #[serde(default, rename = "publicURL")]
    public_url: String,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Token3 {
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Answer3 {
    token: Token3,
}

#[derive(Deserialize)]
struct Token2 {
    id: String,
}

#[derive(Deserialize)]
struct Access2 {
    token: Token2,
    #[serde(default, rename = "serviceCatalog")]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Answer2 {
    access: Access2,
}

pub(super) fn generic(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: PROVIDER, source: reason.into() }
}

impl SwiftConfig {
    /// Requests a token, without retries.
    pub(super) async fn authenticate(&self, client: &Client) -> Result<Session> {
        let base = self.auth_url.trim_end_matches('/');
        match self.version() {
            Some(3) => {
                let response =
                    send(self, client.post(format!("{base}/auth/tokens")).body(self.body_3())).await?;
                let token = header(&response, "x-subject-token")?;
                let answer: Answer3 = read(response).await?;
                Ok(Session { storage_url: self.endpoint(&answer.token.catalog)?, token })
            }
            Some(2) => {
                let response = send(self, client.post(format!("{base}/tokens")).body(self.body_2())).await?;
                let answer: Answer2 = read(response).await?;
                let storage_url = self.endpoint(&answer.access.catalog)?;
                Ok(Session { storage_url, token: answer.access.token.id })
            }
            _ => {
                let request = client
                    .get(base)
                    .header("x-auth-user", &self.username)
                    .header("x-auth-key", self.password.expose());
                let response = send(self, request).await?;
                let storage_url = header(&response, "x-storage-url")?.trim_end_matches('/').to_owned();
                Ok(Session { storage_url, token: header(&response, "x-auth-token")? })
            }
        }
    }

    fn user_domain(&self) -> Value {
        named(
            &[("name", &self.user_domain_name), ("id", &self.user_domain_id)],
            named(&[("name", &self.domain_name), ("id", &self.domain_id)], json!({"id": "default"})),
        )
    }

    fn user(&self) -> Value {
        if self.user_id.is_empty() {
            json!({"name": self.username, "domain": self.user_domain()})
        } else {
            json!({"id": self.user_id})
        }
    }

    fn body_3(&self) -> String {
        let secret = self.application_credential_secret.expose();
        let mut auth = if !self.application_credential_id.is_empty() {
            let credential = json!({"id": self.application_credential_id, "secret": secret});
            json!({"identity": {"methods": ["application_credential"], "application_credential": credential}})
        } else if !self.application_credential_name.is_empty() {
            let name = &self.application_credential_name;
            let credential = json!({"name": name, "secret": secret, "user": self.user()});
            json!({"identity": {"methods": ["application_credential"], "application_credential": credential}})
        } else {
            let mut user = self.user();
            user["password"] = self.password.expose().into();
            json!({"identity": {"methods": ["password"], "password": {"user": user}}})
        };
        // An application credential is bound to a project, so it has no scope.
        if auth["identity"]["methods"][0] == "password" {
            if !self.project_id.is_empty() {
                auth["scope"] = json!({"project": {"id": self.project_id}});
            } else if !self.project_name.is_empty() {
                let domain = [("name", &self.project_domain_name), ("id", &self.project_domain_id)];
                let domain = named(&domain.map(|(key, value)| (key, value.as_str())), self.user_domain());
                auth["scope"] = json!({"project": {"name": self.project_name, "domain": domain}});
            }
        }
        json!({"auth": auth}).to_string()
    }

    fn body_2(&self) -> String {
        let user = json!({"username": self.username, "password": self.password.expose()});
        let mut auth = json!({"passwordCredentials": user});
        if !self.project_id.is_empty() {
            auth["tenantId"] = self.project_id.as_str().into();
        } else if !self.project_name.is_empty() {
            auth["tenantName"] = self.project_name.as_str().into();
        }
        json!({"auth": auth}).to_string()
    }

    /// The public URL of the object store in the region.
    fn endpoint(&self, catalog: &[Service]) -> Result<String> {
        let services = catalog.iter().filter(|service| service.kind == "object-store");
        let endpoints = services.flat_map(|service| &service.endpoints);
        let fits = |endpoint: &&Endpoint| {
            let region = endpoint.region.as_deref().unwrap_or_default();
            let is_public = endpoint.interface.is_empty() || endpoint.interface == "public";
            is_public && (self.region_name.is_empty() || self.region_name == region)
        };
        let found = endpoints.into_iter().find(fits);
        let url = found.map(|found| if found.url.is_empty() { &found.public_url } else { &found.url });
        let url = url.ok_or_else(|| generic("the catalogue has no public object store in this region"))?;
        Ok(url.trim_end_matches('/').to_owned())
    }
}

/// An object of the first pair with a non-empty value, else `otherwise`.
fn named(pairs: &[(&str, &str)], otherwise: Value) -> Value {
    let pair = pairs.iter().find(|(_, value)| !value.is_empty());
    pair.map_or(otherwise, |(key, value)| json!({*key: value}))
}

async fn send(config: &SwiftConfig, request: RequestBuilder) -> Result<Response> {
    let request = request.header("content-type", "application/json").header("accept", "application/json");
    let response = request.send().await.map_err(generic)?;
    let (status, path) = (response.status(), config.auth_url.clone());
    let refused = || format!("asked for a token, the server answers with status {status}").into();
    match status {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED => Err(Error::Unauthenticated { path, source: refused() }),
        StatusCode::FORBIDDEN => Err(Error::PermissionDenied { path, source: refused() }),
        _ => Err(generic(refused())),
    }
}

async fn read<T: for<'de> Deserialize<'de>>(response: Response) -> Result<T> {
    let body = response.bytes().await.map_err(generic)?;
    // The error leaves out the parser's message, since the body holds a token.
    serde_json::from_slice(&body).map_err(|_| generic("the answer with the token is not what is expected"))
}

fn header(response: &Response, name: &str) -> Result<String> {
    let value = response.headers().get(name).and_then(|value| value.to_str().ok());
    Ok(value.ok_or_else(|| generic(format!("the answer with the token has no header {name}")))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> SwiftConfig {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn what_keystone_is_asked_for() {
        let by_name = config("{username: u, password: p, domain_name: d, project_name: t}");
        let user = r#"{"domain":{"name":"d"},"name":"u","password":"p"}"#;
        assert_eq!(
            by_name.body_3(),
            format!(
                r#"{{"auth":{{"identity":{{"methods":["password"],"password":{{"user":{user}}}}},"scope":{{"project":{{"domain":{{"name":"d"}},"name":"t"}}}}}}}}"#
            )
        );
        assert_eq!(
            by_name.body_2(),
            r#"{"auth":{"passwordCredentials":{"password":"p","username":"u"},"tenantName":"t"}}"#
        );
        let application = config("{application_credential_id: a, application_credential_secret: s}");
        assert_eq!(
            application.body_3(),
            r#"{"auth":{"identity":{"application_credential":{"id":"a","secret":"s"},"methods":["application_credential"]}}}"#
        );
    }

    #[test]
    fn the_endpoint_of_the_region() {
        let catalog = r#"[{"type":"compute","endpoints":[{"interface":"public","region":"r","url":"http://c"}]},
            {"type":"object-store","endpoints":[{"interface":"admin","region":"r","url":"http://a"},
            {"interface":"public","region":"q","url":"http://q/"},{"interface":"public","region":"r","url":"http://r"}]}]"#;
        let catalog: Vec<Service> = serde_json::from_str(catalog).unwrap();
        assert_eq!(config("{region_name: r}").endpoint(&catalog).unwrap(), "http://r");
        assert_eq!(config("{}").endpoint(&catalog).unwrap(), "http://q");
        assert!(config("{region_name: z}").endpoint(&catalog).is_err());
    }
}
