//! Parts of all series.

use tithon_engine::SeriesShard;

use crate::thanos::ShardInfo;

/// The part that is asked for; `None` is all series.
pub fn shard_from_wire(wire: ShardInfo) -> Option<SeriesShard> {
    SeriesShard::from_signed(wire.shard_index, wire.total_shards, wire.by, wire.labels)
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
