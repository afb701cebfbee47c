//! Faults of real servers end in errors that name them, and never look like an empty bucket.

use std::time::{Duration, Instant};

use tithon_bucket::{Bucket, BucketConfig};

use crate::fleet::{Fleet, Kind, SECRET};
use crate::look::look;

#[test]
fn faults() {
    if !crate::enabled() {
        return;
    }
    for kind in [Kind::S3, Kind::Azure, Kind::Swift] {
        let mut fleet = Fleet::start(kind);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let list = |yaml: &str| runtime.block_on(listed(yaml));
        // This creates the container of AZURE.
        assert_eq!(list(&fleet.yaml()), Ok(0));

        let missing = list(&fleet.yaml_of("missing", SECRET)).unwrap_err();
        assert!(missing.contains("404") || missing.contains("does not exist"), "{missing}");

        let wrong = "hunter3hunter3";
        let refused = list(&fleet.yaml_of("thanos", wrong)).unwrap_err();
        assert!(["401", "403"].iter().any(|status| refused.contains(status)), "{refused}");
        let right = list(&fleet.yaml()).map(|n| n.to_string()).unwrap_or_else(|error| error);
        for told in [&missing, &refused, &right] {
            assert!(!told.contains(SECRET) && !told.contains(wrong), "{told}");
        }

        let bucket = Bucket::open(&BucketConfig::parse(&fleet.yaml()).unwrap()).unwrap();
        fleet.kill();
        let down = runtime.block_on(look(&bucket)).map(drop).unwrap_err();
        assert_eq!(down.kind(), tithon_chunks::ErrorKind::Unavailable, "{down}");
        fleet.launch();
        // After a restart Azurite has lost recent writes for a moment, and Swift's proxy answers before its backends
        // do, and reports their objects as missing until then.
        let deadline = Instant::now() + Duration::from_secs(30);
        while list(&fleet.yaml()) != Ok(0) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(list(&fleet.yaml()), Ok(0));
        runtime.block_on(look(&bucket)).unwrap();
        eprintln!("objects: faults of {kind:?} told");
    }
}

/// The number of blocks, or the error.
async fn listed(yaml: &str) -> Result<usize, String> {
    let told = |error| format!("{error} {error:?}");
    let bucket = Bucket::connect(&BucketConfig::parse(yaml).unwrap()).await.map_err(told)?;
    let found = look(&bucket).await.map_err(told)?;
    Ok(found.new.len())
}
