//! AZURE: Azure Blob Storage. thanos-io/objstore `providers/azure/`.

mod connection_string;
mod container;

use std::env;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use serde::Deserialize;

use self::connection_string::ConnectionString;
use super::{Opened, without_effect};
use crate::config::{HttpConfig, Secret, Span, require};
use crate::connector::Connector;
use crate::{BucketError, ConfigError};

const PROVIDER: &str = "AZURE";

/// The keys of an AZURE bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AzureConfig {
    /// Tenant ID of the application; used with `client_id` and `client_secret`.
    pub az_tenant_id: String,
    /// Client ID of the application.
    pub client_id: String,
    /// Client secret of the application.
    pub client_secret: Secret,
    /// Name of the storage account.
    pub storage_account: String,
    /// Key of the storage account, base64.
    pub storage_account_key: Secret,
    /// Connection string: account, key or signature, and endpoint in one text.
    pub storage_connection_string: Secret,
    /// Whether to create the container if it does not exist.
    pub storage_create_container: bool,
    /// Name of the container.
    pub container: String,
    /// Domain that follows the account's name in the host.
    pub endpoint: String,
    /// Client ID of a managed identity.
    pub user_assigned_id: String,
    /// Number of retries if the two settings below are 0.
    pub max_retries: u32,
    /// Retries of reads; has no effect, since `pipeline_config` decides for all requests.
    pub reader_config: AzureReader,
    /// Retries of failed requests.
    pub pipeline_config: AzurePipeline,
    /// Settings of the HTTP client.
    pub http_config: HttpConfig,
    /// Without effect, as in Thanos.
    pub msi_resource: String,
}

/// `reader_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AzureReader {
    /// Without effect.
    pub max_retry_requests: u32,
}

/// `pipeline_config`; zeros mean the defaults of Azure's library.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AzurePipeline {
    /// Number of retries; 0 means three.
    pub max_tries: u32,
    /// Timeout of one attempt, including its body; 0 means that of `http_config`.
    pub try_timeout: Span,
    /// Pause before the first retry; 0 means 800 ms.
    pub retry_delay: Span,
    /// Longest pause between retries; 0 means a minute.
    pub max_retry_delay: Span,
}

impl Default for AzureConfig {
    fn default() -> AzureConfig {
        AzureConfig {
            az_tenant_id: String::new(),
            client_id: String::new(),
            client_secret: Secret::default(),
            storage_account: String::new(),
            storage_account_key: Secret::default(),
            storage_connection_string: Secret::default(),
            storage_create_container: true,
            container: String::new(),
            endpoint: "blob.core.windows.net".to_owned(),
            user_assigned_id: String::new(),
            max_retries: 0,
            reader_config: AzureReader::default(),
            pipeline_config: AzurePipeline::default(),
            http_config: HttpConfig::default(),
            msi_resource: String::new(),
        }
    }
}

fn invalid(key: &'static str, reason: &str) -> ConfigError {
    ConfigError::Invalid { provider: PROVIDER, key, reason: reason.to_owned() }
}

impl AzureConfig {
    pub(super) fn check(self) -> Result<AzureConfig, ConfigError> {
        let required =
            [("storage_account", self.storage_account.is_empty()), ("container", self.container.is_empty())];
        require(PROVIDER, &required)?;
        let has_key = !self.storage_account_key.is_empty();
        let has_string = !self.storage_connection_string.is_empty();
        if has_key && has_string {
            return Err(invalid("storage_connection_string", "excludes storage_account_key"));
        }
        if !self.user_assigned_id.is_empty() && (has_key || has_string) {
            let reason = "excludes storage_account_key and storage_connection_string";
            return Err(invalid("user_assigned_id", reason));
        }
        let application =
            [self.az_tenant_id.is_empty(), self.client_id.is_empty(), self.client_secret.is_empty()];
        if application.iter().any(|empty| *empty) && !application.iter().all(|empty| *empty) {
            return Err(invalid("client_secret", "az_tenant_id, client_id and client_secret go together"));
        }
        if has_key && BASE64_STANDARD.decode(self.storage_account_key.expose()).is_err() {
            return Err(invalid("storage_account_key", "this is not base64"));
        }
        if has_string {
            ConnectionString::parse(self.storage_connection_string.expose())
                .map_err(|reason| invalid("storage_connection_string", reason))?;
        }
        self.http_config.check(PROVIDER)?;
        without_effect(
            PROVIDER,
            &[("reader_config.max_retry_requests", self.reader_config.max_retry_requests > 0)],
        );
        Ok(self)
    }

    fn retries(&self) -> RetryConfig {
        let AzurePipeline { max_tries, retry_delay, max_retry_delay, .. } = &self.pipeline_config;
        let max_retries = [*max_tries, self.max_retries, 3].into_iter().find(|n| *n > 0).unwrap_or(3);
        let backoff = BackoffConfig {
            init_backoff: retry_delay.limit().unwrap_or(Duration::from_millis(800)),
            max_backoff: max_retry_delay.limit().unwrap_or(Duration::from_secs(60)),
            base: 2.0,
        };
        RetryConfig { backoff, max_retries: max_retries as usize, ..RetryConfig::default() }
    }

    fn client_options(&self) -> ClientOptions {
        let options = Connector::options(&self.http_config).with_allow_http(true);
        match self.pipeline_config.try_timeout.limit() {
            Some(timeout) => options.with_timeout(timeout),
            None => options,
        }
    }

    /// The account's URL and name, and the parsed connection string if there is one.
    fn service(&self) -> Result<(String, String, Option<ConnectionString>), ConfigError> {
        if !self.storage_connection_string.is_empty() {
            let parsed = ConnectionString::parse(self.storage_connection_string.expose())
                .map_err(|reason| invalid("storage_connection_string", reason))?;
            return Ok((parsed.url.clone(), parsed.account.clone(), Some(parsed)));
        }
        let url = match self.endpoint.contains("://") {
            true => self.endpoint.trim_end_matches('/').to_owned(),
            false => format!("https://{}.{}", self.storage_account, self.endpoint),
        };
        Ok((url, self.storage_account.clone(), None))
    }

    fn store(&self) -> Result<MicrosoftAzure, BucketError> {
        let (url, account, connection) = self.service()?;
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(account)
            .with_container_name(&self.container)
            .with_endpoint(url)
            .with_client_options(self.client_options())
            .with_http_connector(Connector::new(&self.http_config))
            .with_retry(self.retries());
        builder = match connection {
            Some(connection) => connection.credentials(builder),
            None if !self.storage_account_key.is_empty() => {
                builder.with_access_key(self.storage_account_key.expose())
            }
            None if !self.client_secret.is_empty() => builder.with_client_secret_authorization(
                &self.client_id,
                self.client_secret.expose(),
                &self.az_tenant_id,
            ),
            None if !self.user_assigned_id.is_empty() => {
                of_environment(builder.with_client_id(&self.user_assigned_id), &MACHINE)
            }
            None => of_environment(builder, &ENVIRONMENT),
        };
        builder = of_environment(builder, &AUTHORITY);
        builder.build().map_err(|source| BucketError::Store { provider: PROVIDER, source })
    }

    pub(super) fn open(&self) -> Result<Opened, BucketError> {
        Ok(Opened::new(self.store()?, &self.container))
    }
}

/// Variable with the endpoint for tokens of the machine's identity.
const MACHINE: [(&str, AzureConfigKey); 1] = [("IDENTITY_ENDPOINT", AzureConfigKey::MsiEndpoint)];
/// Variable with the host of the token authority, for clouds other than the public one.
const AUTHORITY: [(&str, AzureConfigKey); 1] = [("AZURE_AUTHORITY_HOST", AzureConfigKey::AuthorityHost)];
/// Variables of Azure's libraries: an application, a workload identity of a cluster, or the machine's identity.
const ENVIRONMENT: [(&str, AzureConfigKey); 5] = [
    ("AZURE_TENANT_ID", AzureConfigKey::AuthorityId),
    ("AZURE_CLIENT_ID", AzureConfigKey::ClientId),
    ("AZURE_CLIENT_SECRET", AzureConfigKey::ClientSecret),
    ("AZURE_FEDERATED_TOKEN_FILE", AzureConfigKey::FederatedTokenFile),
    MACHINE[0],
];

fn of_environment(
    builder: MicrosoftAzureBuilder,
    variables: &[(&str, AzureConfigKey)],
) -> MicrosoftAzureBuilder {
    let set =
        |(name, key): &(&str, AzureConfigKey)| Some((*key, env::var(name).ok().filter(|v| !v.is_empty())?));
    variables.iter().filter_map(set).fold(builder, |builder, (key, value)| builder.with_config(key, value))
}
