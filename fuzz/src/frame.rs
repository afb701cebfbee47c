//! Frames of `Series` answers, as servers send them: bytes in, no panic out, and raw chunks are sent on as they came.

use bytes::Bytes;
use tithon_chunks::Encoding;
use tithon_proto::{ReceivedFrame, SeriesWriter};

/// Reads the bytes as a frame, writes its series, and reads them again.
pub fn read_frame(data: &[u8]) {
    let Ok(ReceivedFrame::Series(series)) = ReceivedFrame::read(Bytes::copy_from_slice(data)) else { return };
    let mut writer = SeriesWriter::default();
    for one in series {
        if one.chunks.iter().any(|chunk| chunk.encoding == Encoding::Aggregate) {
            continue;
        }
        let mut written = Vec::new();
        writer.append(&mut written, &one.labels, &one.chunks, &[]).expect("an encoding that was read");
        let Ok(ReceivedFrame::Series(again)) = ReceivedFrame::read(written.into()) else {
            panic!("what was written can be read");
        };
        let [again] = again.as_slice() else { panic!("one series was written") };
        assert_eq!(again.labels, one.labels);
        assert_eq!(again.chunks.len(), one.chunks.len());
    }
}
