//! An object store over Swift's own protocol. <https://docs.openstack.org/api-ref/object-store/>

use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http::{Method, StatusCode};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use super::auth::generic;
use super::client::{Answer, Request, Swift};
use super::large::LargeUpload;

#[async_trait]
impl ObjectStore for Swift {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if !matches!(options.mode, PutMode::Overwrite) {
            let source = "conditional writes".into();
            return Err(Error::NotSupported { source });
        }
        let request = Request {
            body: payload.into(),
            ..Request::new(Method::PUT, self.container(), location.as_ref())
        };
        let answer = self.demand(&request).await?;
        let e_tag = answer.text("etag").map(str::to_owned);
        Ok(PutResult { e_tag, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(LargeUpload::new(self.clone(), location)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !options.head {
            return self.get(location, options.range.as_ref()).await;
        }
        let answer = self.head(location).await?;
        let size = answer.number("content-length").ok_or_else(|| generic("the object has no size"))?;
        Ok(GetResult {
            meta: answer.meta(location, size),
            payload: GetResultPayload::Stream(stream::empty().boxed()),
            range: 0..0,
            attributes: Attributes::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |path: Path| {
            let store = store.clone();
            async move { store.delete_one(&path).await.map(|()| path) }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let listed = async move { store.list_all(prefix.as_ref(), false).await };
        stream::once(listed).map_ok(|listed| stream::iter(listed.objects).map(Ok)).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.list_all(prefix, true).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if !matches!(options.mode, CopyMode::Overwrite) {
            return Err(Error::NotSupported { source: "conditional copies".into() });
        }
        let headers = [("destination", format!("{}/{to}", self.container()))];
        let method = Method::from_bytes(b"COPY").map_err(generic)?;
        let request = Request { headers: &headers, ..Request::new(method, self.container(), from.as_ref()) };
        self.demand(&request).await.map(drop)
    }
}

impl Swift {
    async fn head(&self, location: &Path) -> Result<Answer> {
        self.demand(&Request::new(Method::HEAD, self.container(), location.as_ref())).await
    }

    async fn get(&self, location: &Path, range: Option<&GetRange>) -> Result<GetResult> {
        let headers: Vec<_> = range.map(|range| ("range", range.to_string())).into_iter().collect();
        let request =
            Request { headers: &headers, ..Request::new(Method::GET, self.container(), location.as_ref()) };
        let answer = self.demand(&request).await?;
        let len = answer.body.len() as u64;
        let (start, size) = match (answer.status, answer.text("content-range").and_then(content_range)) {
            (StatusCode::PARTIAL_CONTENT, Some(found)) => found,
            (StatusCode::PARTIAL_CONTENT, None) => {
                return Err(generic("an answer in part has no Content-Range"));
            }
            _ => (0, len),
        };
        let whole = answer.status != StatusCode::PARTIAL_CONTENT;
        let body = match range.map(|range| range.as_range(size)) {
            // A server may ignore the range and return the whole object.
            Some(Ok(range)) if whole => answer.body.slice(range.start as usize..range.end as usize),
            Some(Err(error)) => return Err(generic(error)),
            _ => answer.body.clone(),
        };
        let start = if whole {
            range.and_then(|range| range.as_range(size).ok()).map_or(0, |r| r.start)
        } else {
            start
        };
        let range = start..start + body.len() as u64;
        Ok(GetResult {
            meta: answer.meta(location, size),
            payload: GetResultPayload::Stream(stream::iter([Ok(body)]).boxed()),
            range,
            attributes: Attributes::default(),
            extensions: Default::default(),
        })
    }

    /// Deletes an object, with its segments if it has any.
    async fn delete_one(&self, location: &Path) -> Result<()> {
        let head = self.head(location).await?;
        let key = location.as_ref();
        if head.text("x-static-large-object").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let query = [("multipart-manifest", "delete")];
            let request = Request { query: &query, ..Request::new(Method::DELETE, self.container(), key) };
            self.demand(&request).await?;
            return Ok(());
        }
        self.demand(&Request::new(Method::DELETE, self.container(), key)).await?;
        match head.text("x-object-manifest").and_then(|manifest| manifest.split_once('/')) {
            Some((container, prefix)) => self.delete_segments(container, prefix).await,
            None => Ok(()),
        }
    }
}

impl Answer {
    fn meta(&self, location: &Path, size: u64) -> ObjectMeta {
        let seconds = self.text("x-timestamp").and_then(|text| text.parse::<f64>().ok());
        let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
        let e_tag = self.text("etag").map(str::to_owned);
        ObjectMeta {
            location: location.clone(),
            last_modified: (UNIX_EPOCH + since).into(),
            size,
            e_tag,
            version: None,
        }
    }
}

/// The start of the range and the size of the object in `bytes 0-9/100`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}
