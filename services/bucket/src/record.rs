//! Small records with compare-and-swap, by which processes that share a bucket coordinate.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

use crate::bucket::whole;
use crate::retry::Operation;
use crate::{Bucket, BucketError};

const FOLDER: &str = "leases";

/// A record as it was last read or written, with its version.
#[derive(Clone, Debug)]
pub struct Record {
    /// Content of the record.
    pub bytes: Bytes,
    version: UpdateVersion,
}

impl Bucket {
    /// Reads a record; `None` if it does not exist. `name` is its key below `leases/`.
    pub async fn record(&self, name: &str) -> Result<Option<Record>, BucketError> {
        let path = path(name);
        let answer = || async {
            let answer = self.store().get(&path).await?;
            let (e_tag, version) = (answer.meta.e_tag.clone(), answer.meta.version.clone());
            let size = answer.range.end - answer.range.start;
            let bytes = whole(answer.bytes().await?, size)?;
            Ok(Record { bytes, version: UpdateVersion { e_tag, version } })
        };
        match self.retrying(Operation::Get, answer).await {
            Ok(record) => {
                self.metrics.fetched(Operation::Get, record.bytes.len());
                Ok(Some(record))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(BucketError::object(&path)(error)),
        }
    }

    /// Writes a record if the current one is `before` (`None`: if there is none). Returns `None` when another one is
    /// there. No two writers may write the same bytes, because after a lost answer the content is compared to find out
    /// who wrote it.
    pub async fn swap_record(
        &self,
        name: &str,
        before: Option<&Record>,
        bytes: Bytes,
    ) -> Result<Option<Record>, BucketError> {
        let path = path(name);
        let mode = before.map_or(PutMode::Create, |record| PutMode::Update(record.version.clone()));
        let put = || {
            let options = PutOptions { mode: mode.clone(), ..PutOptions::default() };
            self.store().put_opts(&path, PutPayload::from(bytes.clone()), options)
        };
        match self.retrying(Operation::Upload, put).await {
            Ok(put) => {
                self.metrics.uploaded(bytes.len() as u64);
                let version = UpdateVersion { e_tag: put.e_tag, version: put.version };
                Ok(Some(Record { bytes, version }))
            }
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }) => {
                // An earlier attempt may have succeeded without its answer arriving.
                Ok(self.record(name).await?.filter(|record| record.bytes == bytes))
            }
            Err(error) => Err(BucketError::object(&path)(error)),
        }
    }
}

impl Bucket {
    /// The names of all records, and when each was written, milliseconds since the Unix epoch.
    pub async fn records(&self) -> Result<Vec<(String, i64)>, BucketError> {
        let prefix = Path::from(FOLDER);
        let list = || async {
            match self.store().list(Some(&prefix)).try_collect::<Vec<_>>().await {
                Err(Error::NotFound { .. }) => Ok(Vec::new()),
                result => result,
            }
        };
        let listed = self.retrying(Operation::Iter, list).await.map_err(BucketError::object(&prefix))?;
        let name = |object: &ObjectMeta| {
            let name = object.location.as_ref().strip_prefix(FOLDER)?.strip_prefix('/')?.to_owned();
            Some((name, object.last_modified.timestamp_millis()))
        };
        Ok(listed.iter().filter_map(name).collect())
    }

    /// Removes a record, whatever is in it: only who has made sure that nobody else writes it may do so.
    pub async fn remove_record(&self, name: &str) -> Result<(), BucketError> {
        self.delete(&path(name)).await
    }
}

fn path(name: &str) -> Path {
    Path::from(format!("{FOLDER}/{name}"))
}
