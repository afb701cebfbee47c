//! Lists a container, page by page.

use std::time::SystemTime;

use http::{Method, StatusCode};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};
use serde::Deserialize;

use super::auth::generic;
use super::client::{Request, Swift, refused};
use super::large::SEGMENTS;

/// An entry of a page.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Folder { subdir: String },
    Object(Object),
}

#[derive(Deserialize)]
struct Object {
    name: String,
    bytes: u64,
    #[serde(default)]
    hash: Option<String>,
    /// Time in UTC, without a zone.
    last_modified: String,
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Entry::Folder { subdir } => subdir,
            Entry::Object(object) => &object.name,
        }
    }
}

impl Swift {
    /// Lists all objects below a prefix; with `by_folder`, names of folders stand for what is in them. Segments are
    /// left out.
    pub(super) async fn list_all(&self, prefix: Option<&Path>, by_folder: bool) -> Result<ListResult> {
        let prefix = prefix.map(Path::as_ref).filter(|prefix| !prefix.is_empty());
        let prefix = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let mut out =
            ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Default::default() };
        let mut marker = String::new();
        loop {
            let page = self.page(self.container(), &prefix, &marker, by_folder).await?;
            let Some(last) = page.last() else { return Ok(out) };
            marker = last.name().to_owned();
            for entry in page {
                match entry {
                    entry if entry.name().starts_with(SEGMENTS) => {}
                    Entry::Folder { subdir } => {
                        out.common_prefixes.push(Path::parse(subdir.trim_end_matches('/'))?)
                    }
                    Entry::Object(object) => out.objects.extend(self.meta(object).await?),
                }
            }
        }
    }

    /// The metadata of an entry. The listing has no size for objects with a dynamic manifest, so these are asked for
    /// it; `None` if the object was deleted meanwhile.
    async fn meta(&self, object: Object) -> Result<Option<ObjectMeta>> {
        let size = match object.bytes {
            0 => {
                let request = Request::new(Method::HEAD, self.container(), &object.name);
                let answer = self.send(&request).await?;
                match answer.status {
                    StatusCode::NOT_FOUND => return Ok(None),
                    status if !status.is_success() => return Err(refused(&object.name, status)),
                    _ => answer.text("content-length").and_then(|text| text.parse().ok()).unwrap_or_default(),
                }
            }
            size => size,
        };
        let time = humantime::parse_rfc3339_weak(&object.last_modified);
        let time: SystemTime = time.map_err(|_| generic("an object of the listing has no time"))?;
        let location = Path::parse(&object.name)?;
        Ok(Some(ObjectMeta { location, last_modified: time.into(), size, e_tag: object.hash, version: None }))
    }

    async fn page(&self, container: &str, prefix: &str, marker: &str, by_folder: bool) -> Result<Vec<Entry>> {
        let mut query = vec![("format", "json"), ("prefix", prefix), ("marker", marker)];
        if by_folder {
            query.push(("delimiter", "/"));
        }
        let request = Request { query: &query, ..Request::new(Method::GET, container, "") };
        let answer = self.send(&request).await?;
        match answer.status {
            StatusCode::NO_CONTENT => Ok(Vec::new()),
            // A missing container must not look like an empty one.
            StatusCode::NOT_FOUND => Err(generic(format!("container {container:?} does not exist"))),
            status if !status.is_success() => Err(refused(container, status)),
            _ => serde_json::from_slice(&answer.body).map_err(generic),
        }
    }

    /// Deletes all objects in a container with a prefix.
    pub(super) async fn delete_segments(&self, container: &str, prefix: &str) -> Result<()> {
        let mut marker = String::new();
        loop {
            let page = self.page(container, prefix, &marker, false).await?;
            let Some(last) = page.last() else { return Ok(()) };
            marker = last.name().to_owned();
            for entry in &page {
                let answer = self.send(&Request::new(Method::DELETE, container, entry.name())).await?;
                if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
                    return Err(refused(entry.name(), answer.status));
                }
            }
        }
    }
}
