//! Requests to delete series, beside the blocks: `deletions/ID.json` while one is in force, `deletions/done/ID.json` when it was
//! carried out. Neither is in a block's folder, so that nothing that looks for blocks sees them. They are written once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::BlockId;
use tithon_engine::plan::SeriesDeletion;
use tithon_index::{MatchOp, Matcher};

use crate::retry::Operation;
use crate::{Bucket, BucketError};

/// Where requests in force lie.
pub(crate) const FOLDER: &str = "deletions";
const DONE: &str = "deletions/done";
const VERSION: u32 = 1;

/// A request and what is said of it.
#[derive(Clone, Debug)]
pub struct DeletionRecord {
    /// What is deleted.
    pub deletion: SeriesDeletion,
    /// Who asked for it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was carried out, milliseconds since the Unix epoch; `None` while it is in force.
    pub done_ms: Option<i64>,
}

/// Why an object is no request.
#[derive(Debug, thiserror::Error)]
pub enum DeletionError {
    /// Not JSON, or of another shape.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A version that this build lacks.
    #[error("version {0} is not supported, expected {VERSION}")]
    Version(u32),
    /// The content is of another request.
    #[error("is of request {found}, expected {expected}")]
    WrongId {
        /// In the content.
        found: String,
        /// In the object's name.
        expected: BlockId,
    },
    /// A matcher that cannot be.
    #[error("selector {selector}: {source}")]
    Matcher {
        /// From 1.
        selector: usize,
        /// What is wrong with it.
        source: tithon_index::MatcherError,
    },
    /// A selector that selects everything, or none at all.
    #[error("selector {selector}: it selects series without any label, and so all there are")]
    Everything {
        /// From 1; 0 where there is no selector.
        selector: usize,
    },
}

impl DeletionError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            DeletionError::Version(_) => ErrorKind::Unsupported,
            DeletionError::Matcher { source, .. } => source.kind(),
            _ => ErrorKind::Corrupt,
        }
    }
}

/// The content of an object.
#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    id: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    reason: String,
    selectors: Vec<Vec<MatcherText>>,
    min_time: i64,
    max_time: i64,
    #[serde(default)]
    include_later: bool,
    data: Vec<Data>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done_ms: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct MatcherText {
    name: String,
    op: String,
    value: String,
}

/// A level-1 block, and the time of the block that it was found in; both ends included.
#[derive(Serialize, Deserialize)]
struct Data {
    source: String,
    min_time: i64,
    max_time: i64,
}

impl DeletionRecord {
    /// Reads the bytes of an object whose name says that it is request `id`.
    pub fn parse(id: BlockId, bytes: &[u8]) -> Result<DeletionRecord, DeletionError> {
        /// All that every version has.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(DeletionError::Version(version));
        }
        let content: Content = serde_json::from_slice(bytes)?;
        if content.id.parse() != Ok(id) {
            return Err(DeletionError::WrongId { found: content.id, expected: id });
        }
        let mut data = BTreeMap::new();
        for Data { source, min_time, max_time } in content.data {
            let source: BlockId = source.parse().map_err(<serde_json::Error as serde::de::Error>::custom)?;
            data.insert(source, TimeRange::new(min_time, max_time));
        }
        let selectors = selectors(&content.selectors)?;
        let deletion = SeriesDeletion {
            id,
            selectors,
            range: TimeRange::new(content.min_time, content.max_time),
            data,
            include_later: content.include_later,
        };
        let Content { author, reason, done_ms, .. } = content;
        Ok(DeletionRecord { deletion, author, reason, done_ms })
    }

    /// The object's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let SeriesDeletion { id, selectors, range, data, include_later } = &self.deletion;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let matcher = |matcher: &Matcher| MatcherText {
            name: text(matcher.name()),
            op: matcher.op().as_str().to_owned(),
            value: text(matcher.value()),
        };
        let data = data.iter().map(|(source, range)| Data {
            source: source.to_string(),
            min_time: range.min.0,
            max_time: range.max.0,
        });
        let content = Content {
            version: VERSION,
            id: id.to_string(),
            author: self.author.clone(),
            reason: self.reason.clone(),
            selectors: selectors.iter().map(|all| all.iter().map(matcher).collect()).collect(),
            min_time: range.min.0,
            max_time: range.max.0,
            include_later: *include_later,
            data: data.collect(),
            done_ms: self.done_ms,
        };
        serde_json::to_vec_pretty(&content).expect("strings and numbers always serialise")
    }
}

fn selectors(texts: &[Vec<MatcherText>]) -> Result<Vec<Vec<Matcher>>, DeletionError> {
    let mut selectors = Vec::with_capacity(texts.len());
    for (selector, texts) in (1..).zip(texts) {
        let mut matchers = Vec::with_capacity(texts.len());
        for MatcherText { name, op, value } in texts {
            let all = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
            let found = all.into_iter().find(|known| known.as_str() == op).ok_or_else(|| {
                let what = format!("op is {op:?}, expected =, !=, =~ or !~");
                <serde_json::Error as serde::de::Error>::custom(what)
            })?;
            let matcher = Matcher::new(found, name.as_str(), value.as_str());
            matchers.push(matcher.map_err(|source| DeletionError::Matcher { selector, source })?);
        }
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(DeletionError::Everything { selector });
        }
        selectors.push(matchers);
    }
    if selectors.is_empty() { Err(DeletionError::Everything { selector: 0 }) } else { Ok(selectors) }
}

/// The requests in force, as a bucket has them. What was read once is not read again.
#[derive(Clone, Debug, Default)]
pub struct Deletions {
    known: BTreeMap<BlockId, Arc<DeletionRecord>>,
    unreadable: BTreeMap<BlockId, String>,
}

impl Deletions {
    /// The requests, by id.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Arc<DeletionRecord>> {
        self.known.values()
    }

    /// Objects that are no requests, and why; what they ask for is not known.
    pub fn unreadable(&self) -> &BTreeMap<BlockId, String> {
        &self.unreadable
    }

    /// Follows what a listing found: reads what is new and lets go of what is gone. Fails where the bucket does not answer; then
    /// everything stays as it was.
    pub(crate) async fn update(
        &mut self,
        bucket: &Bucket,
        ids: &BTreeSet<BlockId>,
    ) -> Result<(), BucketError> {
        let mut next = Deletions::default();
        for id in ids {
            if let Some(known) = self.known.get(id) {
                next.known.insert(*id, Arc::clone(known));
                continue;
            }
            match bucket.deletion(FOLDER, *id).await {
                Ok(Some(record)) => drop(next.known.insert(*id, Arc::new(record))),
                Ok(None) => {}
                Err(BucketError::Deletion { source, .. }) => {
                    next.unreadable.insert(*id, source.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        *self = next;
        Ok(())
    }
}

/// The id that an object is named after.
pub(crate) fn id_of(name: &str) -> Option<BlockId> {
    name.strip_suffix(".json")?.parse().ok()
}

impl Bucket {
    /// Puts a request into force.
    pub async fn put_deletion(&self, record: &DeletionRecord) -> Result<(), BucketError> {
        self.put(&path(FOLDER, record.deletion.id), record.to_json().into()).await
    }

    /// Takes a request out of force; answers whether it was.
    pub async fn cancel_deletion(&self, id: BlockId) -> Result<bool, BucketError> {
        let path = path(FOLDER, id);
        let was_there = self.exists(&path).await?;
        self.delete(&path).await?;
        Ok(was_there)
    }

    /// Keeps a request as carried out, and takes it out of force.
    pub async fn finish_deletion(&self, record: &DeletionRecord, now_ms: i64) -> Result<(), BucketError> {
        let done = DeletionRecord { done_ms: Some(now_ms), ..record.clone() };
        self.put(&path(DONE, done.deletion.id), done.to_json().into()).await?;
        self.delete(&path(FOLDER, done.deletion.id)).await
    }

    /// The requests that were carried out, by id. Those that cannot be read are left out.
    pub async fn finished_deletions(&self) -> Result<Vec<DeletionRecord>, BucketError> {
        let mut found = Vec::new();
        for id in self.deletion_ids(DONE).await? {
            match self.deletion(DONE, id).await {
                Ok(record) => found.extend(record),
                Err(error @ BucketError::Deletion { .. }) => {
                    tracing::warn!(request = %id, error = %error, "a request that was carried out cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn deletion(&self, folder: &str, id: BlockId) -> Result<Option<DeletionRecord>, BucketError> {
        let path = path(folder, id);
        let Some(bytes) = self.get(&path).await? else { return Ok(None) };
        let at_fault = |source| BucketError::Deletion { path: path.to_string(), source };
        DeletionRecord::parse(id, &bytes).map(Some).map_err(at_fault)
    }

    /// The ids that objects of a folder are named after, ascending.
    async fn deletion_ids(&self, folder: &str) -> Result<Vec<BlockId>, BucketError> {
        let prefix = Path::from(folder);
        let list = || async {
            match self.store().list_with_delimiter(Some(&prefix)).await {
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                result => result.map(|found| found.objects),
            }
        };
        let objects = self.retrying(Operation::Iter, list).await.map_err(BucketError::object(&prefix))?;
        let mut ids: Vec<BlockId> =
            objects.iter().filter_map(|object| id_of(object.location.filename()?)).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

fn path(folder: &str, id: BlockId) -> Path {
    Path::from(format!("{folder}/{id}.json"))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    fn record(n: u64) -> DeletionRecord {
        let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
        let deletion = SeriesDeletion {
            id: BlockId::from_parts(n, 5),
            selectors: vec![
                vec![matcher(MatchOp::Equal, "job", "x"), matcher(MatchOp::NotRegex, "pod", "a.*")],
                vec![matcher(MatchOp::Regex, "__name__", "a|b")],
            ],
            range: TimeRange::new(-5, i64::MAX),
            data: [(BlockId::from_parts(1, 2), TimeRange::new(0, 7))].into(),
            include_later: true,
        };
        DeletionRecord { deletion, author: "me".to_owned(), reason: "why".to_owned(), done_ms: None }
    }

    const JSON: &str = r#"{"version": 1, "id": "00000000030000000000000005", "author": "me",
        "selectors": [[{"name": "job", "op": "=", "value": "x"}]], "min_time": 0, "max_time": 9,
        "data": [{"source": "00000000010000000000000002", "min_time": 0, "max_time": 7}]}"#;

    #[test]
    fn what_is_written_is_read() {
        let written = record(3);
        let read = DeletionRecord::parse(written.deletion.id, &written.to_json()).unwrap();
        assert_eq!(read.to_json(), written.to_json());
        assert_eq!(read.deletion.selectors, written.deletion.selectors);
        let by_hand = DeletionRecord::parse(BlockId::from_parts(3, 5), JSON.as_bytes()).unwrap();
        assert_eq!((by_hand.deletion.range, by_hand.author.as_str()), (TimeRange::new(0, 9), "me"));
        assert_eq!(by_hand.deletion.data[&BlockId::from_parts(1, 2)], TimeRange::new(0, 7));
    }

    #[test]
    fn what_is_no_request_is_told() {
        for (from, to, want) in [
            ("\"version\": 1", "\"version\": 2", "version 2 is not supported, expected 1"),
            ("0003", "0004", "expected 00000000030000000000000005"),
            ("\"op\": \"=\"", "\"op\": \"==\"", "op is \"==\", expected =, !=, =~ or !~"),
            ("\"op\": \"=\"", "\"op\": \"!=\"", "selector 1: it selects series without any label"),
            ("[[{\"name\": \"job\", \"op\": \"=\", \"value\": \"x\"}]]", "[]", "selector 0"),
            ("{\"source\"", "{\"sorce\"", "missing field `source`"),
            ("\"x\"", "\"(\", \"op\": \"=~\"", "duplicate field"),
            ("\"=\", \"value\": \"x\"", "\"=~\", \"value\": \"(\"", "selector 1: "),
            ("]}", "", "EOF"),
        ] {
            let text = JSON.replacen(from, to, 1);
            assert_ne!(text, JSON);
            let error = DeletionRecord::parse(BlockId::from_parts(3, 5), text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(want), "{to}: {error}");
        }
    }

    #[tokio::test]
    async fn requests_come_and_go() {
        let store = Arc::new(InMemory::new());
        let bucket = Bucket::from_store(store.clone(), "");
        check_requests(bucket, &|name, text| {
            let put = PutPayload::from(text.to_owned());
            let store = store.clone();
            Box::pin(async move { drop(store.put(&Path::from(name), put).await.unwrap()) })
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(&crate::BucketConfig::filesystem(dir.path())).unwrap();
        check_requests(bucket, &|name, text| {
            std::fs::write(dir.path().join(name), text).unwrap();
            Box::pin(std::future::ready(()))
        })
        .await;
    }

    type Put<'p> = &'p dyn Fn(&'static str, &'static str) -> futures::future::BoxFuture<'p, ()>;

    async fn check_requests(bucket: Bucket, put: Put<'_>) {
        let mut catalogue = crate::Catalogue::new(bucket.clone(), &[]);
        let ids = |deletions: &Deletions| {
            deletions.all().map(|record| record.deletion.id.unix_ms()).collect::<Vec<_>>()
        };
        for n in [1, 2] {
            bucket.put_deletion(&record(n)).await.unwrap();
        }
        put("deletions/00000000030000000000000005.json", "{}").await;
        put("deletions/x.json", "{}").await;
        catalogue.look().await.unwrap();
        assert_eq!((ids(catalogue.deletions()), catalogue.deletions().unreadable().len()), (vec![1, 2], 1));
        bucket.finish_deletion(&record(1), 77).await.unwrap();
        assert!(bucket.cancel_deletion(record(2).deletion.id).await.unwrap());
        assert!(!bucket.cancel_deletion(record(2).deletion.id).await.unwrap());
        // Nothing that looks for blocks sees them.
        let look = catalogue.look().await.unwrap();
        assert!(look.partial.is_empty() && look.failed.is_empty() && catalogue.blocks().is_empty());
        assert!(ids(catalogue.deletions()).is_empty());
        let done = bucket.finished_deletions().await.unwrap();
        assert_eq!((done.len(), done[0].done_ms), (1, Some(77)));
    }
}
