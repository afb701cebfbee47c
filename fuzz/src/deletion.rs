//! Requests to delete series, as a bucket has them: bytes in, no panic out, and what was read is written and read the same.

use tithon_bucket::DeletionRecord;
use tithon_engine::BlockId;

/// Parses the bytes as the request that they say they are.
pub fn parse_request(data: &[u8]) {
    let id = BlockId::from_parts(3, 5);
    // An error is fine; a panic is what is looked for.
    let Ok(record) = DeletionRecord::parse(id, data) else { return };
    let written = record.to_json();
    let again = DeletionRecord::parse(id, &written).expect("what was written can be read");
    assert_eq!(again.to_json(), written);
}
