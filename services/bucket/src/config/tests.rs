//! Configurations of all providers: what is accepted, what is refused, and that errors contain no secrets.

use std::time::Duration;

use super::*;
use crate::{AzureConfig, BucketLookup, GcsConfig, S3Config, SwiftConfig};

fn parse(yaml: &str) -> Result<BucketConfig, String> {
    BucketConfig::parse(yaml).map_err(|e| e.to_string())
}

fn s3(keys: &str) -> Result<S3Config, String> {
    let keys: String = keys.lines().map(|line| format!("  {line}\n")).collect();
    match parse(&format!("type: S3\nconfig:\n  bucket: b\n  endpoint: h:1\n{keys}"))?.provider {
        Provider::S3(config) => Ok(*config),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_filesystem_bucket() {
    let plain = BucketConfig::filesystem("/d");
    assert_eq!(parse("type: FILESYSTEM\nconfig:\n  directory: /d\n"), Ok(plain.clone()));
    assert_eq!(parse("type: filesystem\nconfig: {directory: /d, other: 1}\nprefix: '/'"), Ok(plain));
    assert_eq!(
        parse("# x\n---\ntype: FILESYSTEM\nconfig: {directory: /d}\n---\ntype: [\n").unwrap().prefix,
        ""
    );
    let prefixed = parse("{type: FILESYSTEM, config: {directory: /d/x}, prefix: /a/b/}").unwrap();
    assert_eq!(
        (prefixed.provider, prefixed.prefix.as_str()),
        (BucketConfig::filesystem("/d/x").provider, "a/b")
    );
}

#[test]
fn hedged_requests() {
    let yaml =
        |hedging: &str| format!("type: FILESYSTEM\nconfig: {{directory: /d}}\nhedging_config: {hedging}");
    let hedging = parse(&yaml("{enabled: true}")).unwrap().hedging;
    assert_eq!((hedging.enabled, hedging.up_to, hedging.quantile), (true, 3, 0.9));
    assert!(!parse(&yaml("{}")).unwrap().hedging.enabled);
    assert!(parse(&yaml("{up_too: 2}")).unwrap_err().contains("up_too"));
    assert!(parse(&yaml("{up_to: 0}")).unwrap_err().contains("hedging_config.up_to: found 0"));
    assert!(parse(&yaml("{quantile: 2}")).unwrap_err().contains("hedging_config.quantile: found 2"));
}

#[test]
fn an_s3_bucket() {
    let base = S3Config { bucket: "b".to_owned(), endpoint: "h:1".to_owned(), ..S3Config::default() };
    assert_eq!(s3(""), Ok(base.clone()));
    let all = "access_key: a\nsecret_key: 12345\ninsecure: true\nbucket_lookup_type: path\nmax_retries: 3\n\
               put_user_metadata: {X-Amz-Storage-Class: GLACIER}\nlist_objects_version: v2\npart_size: 67108864\n\
               http_config:\n  idle_conn_timeout: 1m30s\n  response_header_timeout: 0\n  insecure_skip_verify: true\n\
               sse_config:\n  type: SSE-S3";
    let config = s3(all).unwrap();
    assert_eq!(config.secret_key.expose(), "12345");
    assert_eq!((config.insecure, config.max_retries, config.part_size), (true, 3, Some(64 << 20)));
    assert_eq!(config.bucket_lookup_type, BucketLookup::Path);
    assert_eq!(config.http_config.idle_conn_timeout, Span(Duration::from_secs(90)));
    assert_eq!(config.http_config.response_header_timeout.limit(), None);
    // Keys without a value keep their defaults, as in Go.
    assert_eq!(
        s3("region:\nsession_token:\nsecret_key:\naccess_key: ''\nbucket_lookup_type: auto"),
        Ok(base)
    );
}

/// The examples from Thanos's documentation, and keys of every provider.
#[test]
fn every_provider() {
    for yaml in [
        "type: GCS\nconfig:\n  bucket: b\n  service_account: |-\n    {\"type\": \"service_account\", \"disable_oauth\": true, \"private_key\": \"\", \"private_key_id\": \"\", \"client_email\": \"\"}\n  max_retries: 1",
        "type: AZURE\nconfig:\n  storage_account: a\n  storage_account_key: aGk=\n  container: c\n  msi_resource: x\n  \
         pipeline_config: {max_tries: 1, try_timeout: 5s}\n  reader_config: {max_retry_requests: 0}",
        "type: AZURE\nconfig: {storage_account: a, container: c, storage_connection_string: AccountName=a;AccountKey=aGk=}",
        "type: SWIFT\nconfig: {auth_url: 'http://k/v3', container_name: c, username: u, password: p, timeout: 5m}",
        "type: COS\nconfig: {bucket: b, region: r, app_id: 1250000000, secret_id: i, secret_key: k, new: 1}",
        "type: COS\nconfig: {endpoint: 'https://b-1.cos.r.myqcloud.com', secret_id: i, secret_key: k}",
        "type: ALIYUNOSS\nconfig: {endpoint: oss-cn-x.aliyuncs.com, bucket: b, access_key_id: i, access_key_secret: k}",
        "type: OBS\nconfig: {endpoint: obs.x.myhuaweicloud.com, bucket: b, access_key: i, secret_key: k}",
        "type: BOS\nconfig: {endpoint: bj.bcebos.com, bucket: b, access_key: i, secret_key: k, other: 1}",
        "type: S3\nconfig: {bucket: b, endpoint: s3.eu-west-1.amazonaws.com, access_key: i, secret_key: k}\nprefix: p",
    ] {
        let config = BucketConfig::parse(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        crate::Bucket::open(&config).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    }
}

#[test]
fn what_is_refused() {
    let check = |yaml: &str, want: &str| {
        let error = parse(yaml).expect_err(yaml);
        assert!(error.contains(want), "{yaml:?}: {error}");
    };
    check("type: FILESYSTEM", "config.directory is missing");
    check("type: FILESYSTEM\nconfig: {directory: ''}", "config.directory is missing");
    check("type: FILESYSTEM\nconfig: {directory: [1]}", "key \"directory\"");
    check("config: {}", "type is missing");
    check("type: OCI\nconfig: {provider: raw}", "OCI: type is not supported");
    check("type: FLOPPY", "\"FLOPPY\" is not a provider");
    check("type: FILESYSTEM\nprefx: x", "prefx");
    check("type: [", "objstore config: ");
    for provider in ["S3", "GCS", "AZURE", "SWIFT", "COS", "ALIYUNOSS", "OBS", "BOS"] {
        check(&format!("type: {provider}"), &format!("{provider}: "));
        check(&format!("type: {provider}\nconfig: {{}}"), " is missing");
    }
    for provider in ["S3", "GCS", "AZURE", "SWIFT", "OBS"] {
        check(
            &format!("type: {provider}\nconfig:\n  buckt: x\n"),
            "line 3, column 3, key \"buckt\": unknown field",
        );
    }
    check(
        "type: GCS\nconfig: {bucket: b, service_account: '{\"type\": \"external_account\"}'}",
        "service_account",
    );
    check(
        "type: GCS\nconfig: {bucket: b, http_config: {idle_conn_timeout: 5x}}",
        "key \"idle_conn_timeout\"",
    );
    let azure = |keys: &str| format!("type: AZURE\nconfig: {{storage_account: a, container: c, {keys}}}");
    check(&azure("storage_account_key: aGk=, storage_connection_string: x"), "excludes storage_account_key");
    check(&azure("storage_account_key: aGk=, user_assigned_id: x"), "user_assigned_id: excludes");
    check(&azure("client_id: x"), "go together");
    check(&azure("storage_account_key: '!'"), "not base64");
    check("type: SWIFT\nconfig: {auth_url: 'http://k', container_name: c}", "auth_version");
}

#[test]
fn what_s3_refuses() {
    for (keys, want) in [
        ("endpoint: https://h", "duplicate"),
        ("access_key: a", "must be given together"),
        ("secret_key: a", "must be given together"),
        ("aws_sdk_auth: true\naccess_key: a\nsecret_key: b", "excludes access_key"),
        ("signature_version2: true", "signature_version2 is not supported"),
        ("list_objects_version: v1", "list_objects_version is not supported"),
        ("list_objects_version: v3", "expected v1 or v2"),
        ("bucket_lookup_type: dns", "key \"bucket_lookup_type\""),
        ("disable_multipart: true", "disable_multipart is not supported"),
        ("part_size: 1000", "5 MiB"),
        ("sse_config: {type: SSE-X}", "expected SSE-S3"),
        ("sse_config: {type: SSE-KMS}", "kms_key_id is missing"),
        (
            "sse_config: {type: SSE-KMS, kms_key_id: x, kms_encryption_context: {a: b}}",
            "kms_encryption_context",
        ),
        ("sse_config: {type: SSE-C}", "encryption_key is missing"),
        ("http_config: {tls_config: {cert_file: /x}}", "must be given together"),
        ("http_config: {tls_config: {cert: /x}}", "unknown field"),
    ] {
        let error = s3(keys).expect_err(keys);
        assert!(error.contains(want), "{keys:?}: {error}");
    }
}

/// An error has the place and key of a mistake, but neither the secret beside it nor other text.
#[test]
fn mistakes_do_not_tell_secrets() {
    for (yaml, parts) in [
        ("type: S3\nconfig:\n  secret_key: hunter2\n bucket: x\n", &["line "][..]),
        ("type: S3\nconfig:\n  secret_key: 'hunter2\n", &["line "]),
        ("type: S3\nconfig: {secret_key: hunter2\n", &["line "]),
        ("type: [hunter2]\n", &["line 1, column ", "key \"type\""]),
        ("type: FILESYSTEM\nprefix: {secret: hunter2}\n", &["line 2, column ", "key \"prefix\""]),
        ("type: S3\nsecret_kee: hunter2\n", &["line 2, column ", "unknown field", "secret_kee"]),
        ("type: S3\ntype: hunter2\n", &["line 2, column "]),
        ("{type: S3, secret_key hunter2}", &["line 1, column "]),
        ("hunter2", &["objstore config: "]),
        ("- hunter2\n- hunter2", &["objstore config: "]),
        ("type: S3\nconfig: &a\n  x: *hunter2\n", &["objstore config: "]),
        ("%hunter2\n---\ntype: S3", &["objstore config: "]),
        ("type: S3\nconfig:\n  secret_key: [hunter2]\n", &["line 3, column ", "key \"secret_key\""]),
        ("type: GCS\nconfig:\n  bucket: b\n  service_account: '{hunter2'\n", &["not the JSON of a key"]),
        (
            "type: GCS\nconfig:\n  bucket: b\n  service_account: '{\"private_key\": [\"hunter2\"]}'\n",
            &["JSON"],
        ),
        (
            "type: AZURE\nconfig: {storage_account: a, container: c, storage_account_key: hunter2}",
            &["base64"],
        ),
        (
            "type: AZURE\nconfig: {storage_account: a, container: c, storage_connection_string: hunter2}",
            &["KEY=VALUE"],
        ),
    ] {
        let error = BucketConfig::parse(yaml).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter"), "{yaml:?}: {shown}");
        assert!(parts.iter().all(|part| shown.contains(part)), "{yaml:?}: {shown}");
    }
}

/// All secrets of all providers, in valid configurations and in ones with an unknown or missing key.
#[test]
fn debug_and_errors_do_not_tell_secrets() {
    let secret = "aHVudGVyMg==";
    let of = |provider: &str, keys: &str| format!("type: {provider}\nconfig: {{{keys}}}");
    let configs = [
        of(
            "S3",
            &format!("bucket: b, endpoint: h, access_key: i, secret_key: {secret}, session_token: {secret}"),
        ),
        of(
            "GCS",
            &format!(
                "bucket: b, service_account: '{{\"type\":\"service_account\",\"private_key\":\"{secret}\"}}'"
            ),
        ),
        of("AZURE", &format!("storage_account: a, container: c, storage_account_key: {secret}")),
        of(
            "AZURE",
            &format!(
                "storage_account: a, container: c, storage_connection_string: AccountName=a;AccountKey={secret}"
            ),
        ),
        of(
            "AZURE",
            &format!(
                "storage_account: a, container: c, az_tenant_id: t, client_id: i, client_secret: {secret}"
            ),
        ),
        of(
            "SWIFT",
            &format!(
                "auth_url: 'http://k/v3', container_name: c, password: {secret}, application_credential_secret: {secret}"
            ),
        ),
        of("COS", &format!("bucket: b, region: r, app_id: a, secret_id: i, secret_key: {secret}")),
        of("ALIYUNOSS", &format!("endpoint: h, bucket: b, access_key_id: i, access_key_secret: {secret}")),
        of("OBS", &format!("endpoint: h, bucket: b, access_key: i, secret_key: {secret}")),
        of("BOS", &format!("endpoint: h, bucket: b, access_key: i, secret_key: {secret}")),
        of("OCI", &format!("provider: raw, privatekey: {secret}, passphrase: {secret}")),
    ];
    for yaml in &configs {
        let shown = match BucketConfig::parse(yaml) {
            Ok(config) => match crate::Bucket::open(&config) {
                Ok(bucket) => format!("{config:?} {bucket:?}"),
                Err(error) => format!("{config:?} {error} {error:?}"),
            },
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(secret) && !shown.contains("hunter2"), "{yaml}: {shown}");
        for broken in [
            yaml.replace("config: {", "config: {zz: 1, "),
            yaml.replace(": i,", ": [i],"),
            yaml.replace("}", ""),
        ] {
            if let Err(error) = BucketConfig::parse(&broken) {
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains(secret), "{broken}: {shown}");
            }
        }
    }
    let defaults =
        format!("{:?} {:?} {:?}", GcsConfig::default(), AzureConfig::default(), SwiftConfig::default());
    assert!(defaults.contains("<none>"));
}
