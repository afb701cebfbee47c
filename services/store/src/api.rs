//! Implements [`StoreApi`] for [`Store`]: its errors get the kinds, and so the gRPC codes, of Thanos's store gateway.

use std::ops::Range;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use tithon_bucket::BucketBlock;
use tithon_chunks::ErrorKind;
use tithon_engine::{LabelsRequest, SeriesRequest};
use tithon_proto::ConvertError;
use tithon_storeapi::{LabelsFuture, Mapped, SeriesStream, StoreApi, StoreApiError, StoreInfo};

use crate::{Store, StoreError};

impl StoreApi for Store {
    fn name(&self) -> String {
        "local blocks".to_owned()
    }

    fn info(&self) -> Option<StoreInfo> {
        Some(self.advertised())
    }

    fn series(&self, request: SeriesRequest) -> SeriesStream {
        self.select(request).map(|part| part.map_err(series_error)).boxed()
    }

    fn labels(&self, request: LabelsRequest) -> LabelsFuture {
        let store = self.clone();
        async move { store.find_labels(request).await.map_err(labels_error) }.boxed()
    }

    fn reads_hints(&self) -> bool {
        true
    }
}

/// Makes the error of a `Series` call: an unreadable block aborts it, and a missing aggregate has the code `Unknown`.
fn series_error(error: StoreError) -> StoreApiError {
    let kind = match &error {
        StoreError::Chunk { source: ConvertError::NoAggregate(_), .. } => ErrorKind::Unknown,
        error if error.spares_other_blocks() => ErrorKind::Aborted,
        error => error.kind(),
    };
    StoreApiError::new(kind, error)
}

/// Makes the error of a label call: an unreadable block is an internal error.
fn labels_error(error: StoreError) -> StoreApiError {
    let kind = if error.spares_other_blocks() { ErrorKind::Internal } else { error.kind() };
    StoreApiError::new(kind, error)
}

/// A block whose mapped files the chunks of an answer may be slices of.
#[derive(Debug)]
pub(crate) struct LentBlock(pub(crate) Arc<BucketBlock>);

impl Mapped for LentBlock {
    fn name(&self) -> String {
        format!("block {}", self.0.id())
    }

    fn check(&self) -> Result<(), StoreApiError> {
        self.0.check().map_err(|error| series_error(error.into()))
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.0.holds(bytes)
    }

    fn release(&self, addresses: &Range<usize>) {
        if let Some(block) = self.0.mapped() {
            block.release_at(addresses);
        }
    }
}
