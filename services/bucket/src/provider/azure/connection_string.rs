//! Azure's connection strings: `Key=Value;...`.
//! <https://learn.microsoft.com/en-us/azure/storage/common/storage-configure-connection-string>

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

/// The account and key of the emulator Azurite, from its documentation.
const EMULATOR: &str = "AccountName=devstoreaccount1;BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;\
    AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The parts of a connection string.
pub(super) struct ConnectionString {
    /// The account's URL, without a trailing slash.
    pub(super) url: String,
    pub(super) account: String,
    key: Option<String>,
    signature: Option<String>,
}

impl ConnectionString {
    /// Fails with a reason that contains nothing of the text, since it has secrets.
    pub(super) fn parse(text: &str) -> Result<ConnectionString, &'static str> {
        let pairs: Vec<(&str, &str)> = text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').ok_or("expected KEY=VALUE between semicolons"))
            .collect::<Result<_, _>>()?;
        let value = |wanted: &str| {
            pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
        };
        if value("UseDevelopmentStorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return ConnectionString::parse(EMULATOR);
        }
        let (key, signature) = (value("AccountKey"), value("SharedAccessSignature"));
        if key.is_some_and(|key| BASE64_STANDARD.decode(key).is_err()) {
            return Err("AccountKey is not base64");
        }
        if key.is_none() && signature.is_none() {
            return Err("AccountKey or SharedAccessSignature is missing");
        }
        let account = value("AccountName").unwrap_or_default();
        let url = match value("BlobEndpoint") {
            Some(url) if url.contains("://") => url.trim_end_matches('/').to_owned(),
            Some(_) => return Err("BlobEndpoint is not a URL"),
            None if account.is_empty() => return Err("AccountName is missing"),
            None => {
                let scheme = value("DefaultEndpointsProtocol").unwrap_or("https");
                let suffix = value("EndpointSuffix").unwrap_or("core.windows.net");
                format!("{scheme}://{account}.blob.{suffix}")
            }
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(ConnectionString {
            url,
            account: account.to_owned(),
            key: owned(key),
            signature: owned(signature),
        })
    }

    pub(super) fn credentials(self, builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
        match (self.key, self.signature) {
            (Some(key), _) => builder.with_access_key(key),
            (None, Some(signature)) => builder.with_config(AzureConfigKey::SasKey, signature),
            (None, None) => builder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_and_where_it_is() {
        for (text, url, account) in [
            ("AccountName=a;AccountKey=aGk=", "https://a.blob.core.windows.net", "a"),
            (
                "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=aGk=;EndpointSuffix=x.cn;",
                "http://a.blob.x.cn",
                "a",
            ),
            ("BlobEndpoint=http://h:1/a/;AccountName=a;AccountKey=aGk=", "http://h:1/a", "a"),
            ("BlobEndpoint=https://a.x;SharedAccessSignature=sv=1&sig=z%3D", "https://a.x", ""),
            ("UseDevelopmentStorage=true", "http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"),
        ] {
            let parsed = ConnectionString::parse(text).unwrap();
            assert_eq!((parsed.url.as_str(), parsed.account.as_str()), (url, account), "{text}");
        }
        for text in ["", "hunter2", "AccountName=a;AccountKey=!", "AccountName=a", "AccountKey=aGk="] {
            assert!(ConnectionString::parse(text).is_err(), "{text}");
        }
    }
}
