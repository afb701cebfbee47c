//! Stores that fail: one that dies at a chosen request, before or after it is carried out, and one that fails one
//! request in four and takes it another time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// When requests fail.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// Never; requests are counted.
    Count,
    /// From the request of this number on, counted from 1; `after` lets that one be carried out unheard.
    DieAt { request: u64, after: bool },
    /// One in four, before it is carried out.
    NowAndThen,
    /// Never, but a bit of each uploaded object whose key contains this is another one, at this place from its end.
    Flips { key: &'static str, from_end: usize },
    /// Never, but of each uploaded object whose key contains this the end is missing.
    Truncates { key: &'static str },
}

/// A store whose requests may fail.
#[derive(Clone)]
pub struct FaultyStore {
    objects: Arc<InMemory>,
    fate: Fate,
    requests: Arc<AtomicU64>,
    /// Called before every request.
    before: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("fate", &self.fate).finish_non_exhaustive()
    }
}

impl FaultyStore {
    pub fn new(objects: Arc<InMemory>, fate: Fate) -> FaultyStore {
        FaultyStore { objects, fate, requests: Arc::default(), before: Arc::new(|| ()) }
    }

    /// The same store, which calls this before every request.
    pub fn with_hook(self, before: impl Fn() + Send + Sync + 'static) -> FaultyStore {
        FaultyStore { before: Arc::new(before), ..self }
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Whether the next request is carried out, and whether its answer arrives.
    fn next(&self) -> (bool, bool) {
        (self.before)();
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        match self.fate {
            Fate::Count | Fate::Flips { .. } | Fate::Truncates { .. } => (true, true),
            Fate::DieAt { request, after } => {
                let lives = number < request;
                (lives || (after && number == request), lives)
            }
            Fate::NowAndThen => {
                // A sequence that no pattern of requests keeps step with.
                let works = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 != 0;
                (works, works)
            }
        }
    }

    /// What is stored of an upload.
    fn stored(&self, path: &Path, payload: PutPayload) -> PutPayload {
        let mut bytes: Vec<u8> = payload.iter().flat_map(|part| part.iter().copied()).collect();
        match self.fate {
            Fate::Flips { key, from_end } if path.as_ref().contains(key) => {
                let at = bytes.len() - from_end;
                bytes[at] ^= 4;
            }
            Fate::Truncates { key } if path.as_ref().contains(key) => bytes.truncate(bytes.len() - 1),
            _ => return payload,
        }
        bytes.into()
    }

    async fn pass<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let (carried_out, answered) = self.next();
        let result = if carried_out { request.await } else { Err(failure()) };
        if answered { result } else { Err(failure()) }
    }
}

fn failure() -> Error {
    Error::Generic { store: "faulty", source: "the connection is gone".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty store")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let payload = self.stored(path, payload);
        self.pass(self.objects.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.pass(self.objects.put_multipart_opts(path, options)).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.pass(self.objects.get_opts(path, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |path: Path| {
            let store = store.clone();
            async move {
                store.pass(store.objects.delete(&path)).await?;
                Ok(path)
            }
        };
        paths.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.next() {
            (true, true) => self.objects.list(prefix),
            _ => stream::once(async { Err(failure()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.pass(self.objects.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.pass(self.objects.copy_opts(from, to, options)).await
    }
}
