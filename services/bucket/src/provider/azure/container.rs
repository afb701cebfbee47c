//! Creates the container of a bucket if `storage_create_container` is set.
//! <https://learn.microsoft.com/en-us/rest/api/storageservices/create-container>

use backon::Retryable;
use http::{Method, StatusCode};
use object_store::azure::AzureAuthorizer;
use object_store::client::{HttpClient, HttpConnector, HttpRequestBody};

use super::{AzureConfig, PROVIDER};
use crate::connector::Connector;
use crate::{BucketError, Retry};

impl AzureConfig {
    /// Creates the container if that is configured and it does not exist.
    pub(crate) async fn make_container(&self) -> Result<(), BucketError> {
        if !self.storage_create_container {
            return Ok(());
        }
        let store = self.store()?;
        let (url, account, _) = self.service()?;
        let url = format!("{url}/{}?restype=container", self.container);
        let failed = |source| BucketError::Store { provider: PROVIDER, source };
        let client = Connector::new(&self.http_config).connect(&self.client_options()).map_err(failed)?;
        let ask = |method: Method| {
            let (client, credentials, url, account) = (&client, store.credentials(), &url, &account);
            let ask = move || {
                let (method, credentials) = (method.clone(), credentials.clone());
                async move {
                    let credential = credentials.get_credential().await?;
                    request(client, &AzureAuthorizer::new(&credential, account), method, url).await
                }
            };
            let retries = self.retries();
            let attempts = u32::try_from(retries.max_retries).unwrap_or(u32::MAX).saturating_add(1);
            let retry = Retry { attempts, first_pause: retries.backoff.init_backoff };
            async move { ask.retry(retry.pauses()).await }
        };
        if ask(Method::HEAD).await.map_err(failed)? != StatusCode::NOT_FOUND {
            return Ok(());
        }
        match ask(Method::PUT).await.map_err(failed)? {
            StatusCode::CREATED | StatusCode::CONFLICT => Ok(()),
            status => {
                let source = format!("the container cannot be made: status {status}").into();
                Err(failed(object_store::Error::Generic { store: PROVIDER, source }))
            }
        }
    }
}

/// Sends a request and returns the status. Fails when the server does not answer or is too busy.
async fn request(
    client: &HttpClient,
    authorizer: &AzureAuthorizer<'_>,
    method: Method,
    url: &str,
) -> object_store::Result<StatusCode> {
    let generic = |source| object_store::Error::Generic { store: PROVIDER, source };
    let request = http::Request::builder().method(method).uri(url).header("content-length", "0");
    let mut request = request.body(HttpRequestBody::empty()).map_err(|e| generic(e.into()))?;
    authorizer.try_authorize(&mut request)?;
    let status = client.execute(request).await.map_err(|e| generic(e.into()))?.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(generic(format!("the server answers with status {status}").into()));
    }
    Ok(status)
}
