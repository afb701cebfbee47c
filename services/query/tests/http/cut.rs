//! A store whose mapped files are cut while its chunks are used: results made of the lost bytes are thrown away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::stream;
use serde_json::json;
use tithon_chunks::{EncodedChunk, Encoding, ErrorKind, TimeRange, Timestamp, XorEncoder};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesBatch, SeriesRequest};
use tithon_index::Labels;
use tithon_query::QueryOptions;
use tithon_storeapi::{
    LabelsAnswer, LabelsFuture, Lease, Mapped, SeriesPart, SeriesStream, StoreApi, StoreApiError, StoreInfo,
};

use crate::endpoints::get;
use crate::{Sources, ask, serve};

/// A store with two series until its file was cut a number of times, and with one afterwards.
#[derive(Clone, Debug)]
struct Shrinking {
    cuts_left: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Held {
    cuts_left: Arc<AtomicUsize>,
}

impl Mapped for Held {
    fn name(&self) -> String {
        "block 01HRKP0D00SZ6QE7ZSYT6RDQTH".to_owned()
    }

    fn check(&self) -> Result<(), StoreApiError> {
        let less = |left: usize| left.checked_sub(1);
        let text = "block 01HRKP0D00SZ6QE7ZSYT6RDQTH: index was truncated while mapped";
        match self.cuts_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(_) => Err(StoreApiError::new(ErrorKind::Aborted, text)),
            Err(_) => Ok(()),
        }
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        bytes.len() == 3
    }
}

impl StoreApi for Shrinking {
    fn name(&self) -> String {
        "shrinking".to_owned()
    }

    fn info(&self) -> Option<StoreInfo> {
        Some(StoreInfo::new("store", TimeRange::ALL))
    }

    fn series(&self, request: SeriesRequest) -> SeriesStream {
        let n = 1 + usize::from(self.cuts_left.load(Ordering::SeqCst) > 0);
        let is_damaged = request.matchers.iter().any(|m| m.value() == b"damaged");
        let series = (0..n).map(|i| {
            let mut encoder = XorEncoder::new();
            encoder.push(1_710_039_990_000, 1.0);
            let data = if is_damaged { vec![0, 5, 0].into() } else { encoder.finish().into() };
            let (min_time, max_time) = (Timestamp(1_710_039_990_000), Timestamp(1_710_039_990_000));
            let chunk = EncodedChunk { encoding: Encoding::Xor, min_time, max_time, data };
            let labels = Labels::from_pairs([("__name__", "up"), ("i", &i.to_string())]);
            SelectedSeries { labels, chunks: vec![chunk] }
        });
        let batch = SeriesBatch { series: series.collect() };
        let lease = Lease::new(vec![Arc::new(Held { cuts_left: Arc::clone(&self.cuts_left) })]);
        stream::iter([Ok(SeriesPart::Lease(lease)), Ok(SeriesPart::Series(batch))]).boxed()
    }

    fn labels(&self, _: LabelsRequest) -> LabelsFuture {
        Box::pin(std::future::ready(Ok(LabelsAnswer::default())))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_of_bytes_that_were_gone_does_not_count() {
    let source = Shrinking { cuts_left: Arc::default() };
    let address = serve(QueryOptions::default(), Sources::of(source.clone())).await;
    let count = |text: &str| get("/api/v1/query", json!([["query", text], ["time", "1710040000"]]));
    for cuts in [0, 1, 2] {
        source.cuts_left.store(cuts, Ordering::SeqCst);
        let (status, answer) = ask(address, &count("count(up)")).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["data"]["result"][0]["value"][1], "1", "{cuts}: {answer}");
    }
    source.cuts_left.store(100, Ordering::SeqCst);
    let (status, answer) = ask(address, &count("count(up)")).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer["error"].as_str().unwrap_or_default().contains("truncated while mapped"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_cannot_be_decoded_is_named_with_its_block() {
    let source = Shrinking { cuts_left: Arc::default() };
    let address = serve(QueryOptions::default(), Sources::of(source)).await;
    let query = r#"max_over_time(up{i!="damaged"}[1h])"#;
    let (status, answer) =
        ask(address, &get("/api/v1/query", json!([["query", query], ["time", "1710040000"]]))).await;
    assert_eq!(status, 200, "{answer}");
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains("block 01HRKP0D00SZ6QE7ZSYT6RDQTH: chunk of series"), "{answer}");
}
