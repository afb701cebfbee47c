//! Large objects: segments, and a manifest that joins them into one object.
//! <https://docs.openstack.org/swift/latest/overview_large_objects.html>

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use http::Method;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use serde::Serialize;

use super::auth::generic;
use super::client::{Request, Swift};

/// Prefix of segments; listings leave it out.
pub(super) const SEGMENTS: &str = "segments/";

/// A segment in a manifest.
#[derive(Clone, Serialize)]
struct Segment {
    path: String,
    etag: String,
    size_bytes: usize,
}

/// An upload in progress. The object exists once the manifest is written.
#[derive(Debug)]
pub(super) struct LargeUpload {
    store: Swift,
    key: String,
    /// Prefix of the names of this upload's segments.
    prefix: String,
    /// Segments by position; `None` while one is being uploaded.
    segments: Arc<Mutex<Vec<Option<Segment>>>>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)
    }
}

impl LargeUpload {
    pub(super) fn new(store: Swift, location: &Path) -> LargeUpload {
        // The time and process ID keep uploads of the same object from sharing segments.
        let now = tithon_runtime::since_1970().as_nanos();
        let prefix = format!("{SEGMENTS}{location}/{now:x}-{:x}/", std::process::id());
        LargeUpload { store, key: location.to_string(), prefix, segments: Arc::default() }
    }

    fn container(&self) -> &str {
        match self.store.config.large_object_segments_container_name.as_str() {
            "" => self.store.container(),
            other => other,
        }
    }
}

#[async_trait]
impl MultipartUpload for LargeUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let position = {
            let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
            segments.push(None);
            segments.len() - 1
        };
        let (store, container, segments) =
            (self.store.clone(), self.container().to_owned(), Arc::clone(&self.segments));
        let key = format!("{}{position:08}", self.prefix);
        let put = async move {
            let size_bytes = data.content_length();
            let request = Request { body: data.into(), ..Request::new(Method::PUT, &container, &key) };
            let answer = store.demand(&request).await?;
            let etag = answer.text("etag").unwrap_or_default().trim_matches('"').to_owned();
            let segment = Segment { path: format!("/{container}/{key}"), etag, size_bytes };
            segments.lock().unwrap_or_else(PoisonError::into_inner)[position] = Some(segment);
            Ok(())
        };
        put.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let segments: Option<Vec<Segment>> = segments.into_iter().collect();
        let segments = segments.ok_or_else(|| generic("a segment is missing"))?;
        let plain = Request::new(Method::PUT, self.store.container(), &self.key);
        let answer = if self.store.config.use_dynamic_large_objects {
            let headers = [("x-object-manifest", format!("{}/{}", self.container(), self.prefix))];
            self.store.demand(&Request { headers: &headers, ..plain }).await?
        } else {
            let body = serde_json::to_vec(&segments).map_err(generic)?.into();
            let query = [("multipart-manifest", "put")];
            self.store.demand(&Request { query: &query, body, ..plain }).await?
        };
        let e_tag = answer.text("etag").map(str::to_owned);
        Ok(PutResult { e_tag, version: None, extensions: Default::default() })
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.delete_segments(self.container(), &self.prefix).await
    }
}
