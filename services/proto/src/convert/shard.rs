//! Parts of all series.

use tithon_engine::SeriesShard;

use crate::thanos::ShardInfo;

/// The part that is asked for; all series where there is less than one part. An index that is negative is as big as
/// upstream's cast makes it, and belongs to no part.
pub fn shard_from_wire(wire: ShardInfo) -> Option<SeriesShard> {
    let total = u64::try_from(wire.total_shards).ok().filter(|total| *total > 0)?;
    Some(SeriesShard { index: wire.shard_index.cast_unsigned(), total, by: wire.by, labels: wire.labels })
}

/// The part as a message.
pub fn shard_to_wire(shard: &SeriesShard) -> ShardInfo {
    ShardInfo {
        shard_index: shard.index.cast_signed(),
        total_shards: i64::try_from(shard.total).unwrap_or(i64::MAX),
        by: shard.by,
        labels: shard.labels.clone(),
    }
}
