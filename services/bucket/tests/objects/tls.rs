//! S3 over TLS: which certificates `http_config` trusts.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tithon_bucket::{Bucket, BucketConfig};

use crate::fleet::{Fleet, Kind, SECRET};
use crate::look::look;

#[test]
fn certificates() {
    if !crate::enabled() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "store.test".to_owned()]).unwrap();
    let server = server.signed_by(&key, &ca).unwrap();
    std::fs::write(file("ca.pem"), ca.pem()).unwrap();
    std::fs::write(file("cert.pem"), server.pem()).unwrap();
    std::fs::write(file("key.pem"), key.serialize_pem()).unwrap();

    let fleet = Fleet::start_with(Kind::S3, &["--cert", &file("cert.pem"), "--key", &file("key.pem")]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let reach = |http: &str| {
        let yaml = format!(
            "type: S3\nconfig:\n  bucket: thanos\n  endpoint: '127.0.0.1:{}'\n  access_key: tithon\n  \
             secret_key: {SECRET}\n  max_retries: 1\n  http_config:\n{http}",
            fleet.port
        );
        let bucket = Bucket::open(&BucketConfig::parse(&yaml).unwrap()).unwrap();
        runtime.block_on(look(&bucket)).map(drop).map_err(|error| format!("{error:?}"))
    };
    let ca = format!("    tls_config:\n      ca_file: {}\n", file("ca.pem"));
    assert_eq!(reach(&ca), Ok(()));
    assert_eq!(reach(&format!("{ca}      server_name: store.test\n")), Ok(()));
    assert_eq!(reach("    insecure_skip_verify: true\n"), Ok(()));
    assert_eq!(reach("    tls_config:\n      insecure_skip_verify: true\n"), Ok(()));
    for (http, want) in [
        ("    idle_conn_timeout: 1s\n".to_owned(), "UnknownIssuer"),
        (format!("{ca}      server_name: other.test\n"), "NotValidForName"),
    ] {
        let error = reach(&http).unwrap_err();
        assert!(error.contains(want), "{http}: {error}");
    }
    eprintln!("objects: TLS as http_config has it");
}
