//! Write-ahead logs: bytes in, no panic out; what is read is written and read again.

use tithon_head::{Record, SegmentReader};

/// Reads the bytes as a segment, and each record of it.
pub fn wal_segment(data: &[u8]) {
    let mut reader = SegmentReader::new(data);
    let mut before = 0;
    while let Ok(Some(bytes)) = reader.next_record() {
        wal_record(bytes);
        assert!(reader.offset() > before && reader.offset() <= data.len() as u64, "records lie in the file");
        before = reader.offset();
    }
}

/// Reads the bytes as a record.
pub fn wal_record(data: &[u8]) {
    let Ok(record) = Record::decode(data) else { return };
    let again = record.encode();
    let mut written = Vec::new();
    for bytes in &again {
        written.extend(Record::decode(bytes).expect("what was written is read").encode());
    }
    assert_eq!(written.len(), again.len());
    // Where there are two, the base of the first may have been a sample of the second.
    assert!(again.len() > 1 || written == again, "{record:?}");
}
