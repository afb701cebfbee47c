//! Credentials for S3, searched in Thanos's order. minio-go `pkg/credentials`.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};

use crate::BucketError;
use crate::config::Secret;

/// Credentials and where they come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// An access key, with a token if it is temporary.
    Keys { id: String, key: Secret, token: Secret },
    /// Temporary credentials, fetched when needed. The settings of the builder say from where; without any, from the
    /// machine's metadata server.
    Fetched(Vec<(Key, String)>),
    /// Requests are not signed.
    Anonymous,
}

impl Credentials {
    /// Finds credentials in the configuration, else in the environment, else in the credentials file of Amazon's tools.
    /// Otherwise fetches temporary ones for a token of the cluster, the container or the machine. With
    /// `AWS_EC2_METADATA_DISABLED=true` the machine is not asked and requests are anonymous.
    pub(super) fn find(id: &str, key: &Secret, token: &Secret) -> Result<Credentials, BucketError> {
        if !id.is_empty() {
            return Ok(Credentials::Keys { id: id.to_owned(), key: key.clone(), token: token.clone() });
        }
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let file = match variable("AWS_SHARED_CREDENTIALS_FILE") {
            Some(path) => Some(PathBuf::from(path)),
            None => variable("HOME").map(|home| Path::new(&home).join(".aws/credentials")),
        };
        let text = match file.map(|path| (std::fs::read_to_string(&path), path)) {
            Some((Err(source), path)) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(BucketError::Local { path, source });
            }
            Some((Ok(text), _)) => text,
            _ => String::new(),
        };
        Ok(Credentials::of_environment(variable, &text))
    }

    fn of_environment(variable: impl Fn(&str) -> Option<String>, file: &str) -> Credentials {
        let either = |a: &str, b: &str| variable(a).or_else(|| variable(b));
        if let Some((id, key)) = either("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY")
            .zip(either("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"))
        {
            let token = variable("AWS_SESSION_TOKEN").unwrap_or_default();
            return Credentials::Keys { id, key: key.into(), token: token.into() };
        }
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let mut section = section(file, &profile);
        if let Some((id, key)) =
            section.remove("aws_access_key_id").zip(section.remove("aws_secret_access_key"))
        {
            let token = section.remove("aws_session_token").unwrap_or_default();
            return Credentials::Keys { id, key: key.into(), token: token.into() };
        }
        let settings = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
            ("AWS_ROLE_ARN", Key::RoleArn),
            ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
        ];
        let found: Vec<_> =
            settings.into_iter().filter_map(|(name, key)| Some((key, variable(name)?))).collect();
        let no_machine =
            variable("AWS_EC2_METADATA_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        if found.is_empty() && no_machine { Credentials::Anonymous } else { Credentials::Fetched(found) }
    }

    pub(super) fn apply(self, builder: AmazonS3Builder) -> AmazonS3Builder {
        match self {
            Credentials::Keys { id, key, token } => {
                let builder = builder.with_access_key_id(id).with_secret_access_key(key.expose());
                if token.is_empty() { builder } else { builder.with_token(token.expose()) }
            }
            Credentials::Fetched(settings) => {
                settings.into_iter().fold(builder, |builder, (key, value)| builder.with_config(key, value))
            }
            Credentials::Anonymous => builder.with_skip_signature(true),
        }
    }
}

/// The `key = value` lines of the section `[name]`.
fn section(text: &str, name: &str) -> BTreeMap<String, String> {
    let mut lines = text.lines().map(str::trim);
    let is_head = |line: &str| line.starts_with('[');
    let wanted = |line: &str| line.trim_start_matches('[').trim_end_matches(']').trim() == name;
    lines.by_ref().find(|line| is_head(line) && wanted(line));
    let pairs = lines.take_while(|line| !is_head(line)).filter(|line| !line.starts_with(['#', ';']));
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.trim().to_lowercase(), value.trim().to_owned()))
    };
    pairs.filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], file: &str) -> Credentials {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Credentials::of_environment(value, file)
    }

    fn keys(id: &str, key: &str, token: &str) -> Credentials {
        let secret = |text: &str| Secret::from(text.to_owned());
        Credentials::Keys { id: id.to_owned(), key: secret(key), token: secret(token) }
    }

    #[test]
    fn the_environment_comes_before_the_file_and_that_before_the_machine() {
        let file = "# x\n[default]\naws_access_key_id = A\naws_secret_access_key=B=\n\n[other]\n\
                    AWS_ACCESS_KEY_ID=C\naws_secret_access_key = D\naws_session_token = E\n";
        let environment = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_KEY", "y"), ("AWS_SESSION_TOKEN", "z")];
        assert_eq!(found(&environment, file), keys("x", "y", "z"));
        assert_eq!(found(&[("AWS_ACCESS_KEY_ID", "x")], file), keys("A", "B=", ""));
        assert_eq!(found(&[("AWS_PROFILE", "other")], file), keys("C", "D", "E"));
        let web = [("AWS_PROFILE", "none"), ("AWS_ROLE_ARN", "r"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "f")];
        let settings = vec![(Key::WebIdentityTokenFile, "f".to_owned()), (Key::RoleArn, "r".to_owned())];
        assert_eq!(found(&web, file), Credentials::Fetched(settings));
        assert_eq!(found(&[], ""), Credentials::Fetched(Vec::new()));
        assert_eq!(found(&[("AWS_EC2_METADATA_DISABLED", "true")], ""), Credentials::Anonymous);
    }
}
