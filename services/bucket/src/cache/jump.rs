//! Chooses the server of a key, the same one as Thanos: jump consistent hash (Lamping and Veach, 2014) of the key's
//! XXH64 over the addresses in natural order. Thanos `pkg/cacheutil/memcached_server_selector.go`.

use std::cmp::Ordering;

use xxhash_rust::xxh64::xxh64;

/// The index of a key's server among `servers` servers, of which there must be at least one.
pub(super) fn server_of(key: &str, servers: usize) -> usize {
    jump(xxh64(key.as_bytes(), 0), servers)
}

fn jump(mut hash: u64, buckets: usize) -> usize {
    let (mut bucket, mut next) = (0i64, 0i64);
    while next < buckets as i64 {
        bucket = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1i64 << 31) as f64 / ((hash >> 33) + 1) as f64)) as i64;
    }
    bucket as usize
}

/// Natural order: runs of digits are compared as numbers.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (runs(a).into_iter(), runs(b).into_iter());
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                _ => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Splits a text where digits begin or end.
fn runs(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        out.push(run);
        rest = behind;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from the paper's reference code.
    #[test]
    fn known_hashes() {
        for (hash, buckets, expected) in
            [(1, 1, 0), (42, 57, 43), (0xdead_10cc, 1, 0), (0xdead_10cc, 666, 361), (256, 1024, 520)]
        {
            assert_eq!(jump(hash, buckets), expected, "{hash} {buckets}");
        }
    }

    #[test]
    fn numbers_in_addresses_count_as_numbers() {
        let mut addresses = ["cache-10:11211", "cache-9:11211", "cache-9:2", "a", "cache-1:11211"];
        addresses.sort_by(|a, b| natural(a, b));
        assert_eq!(addresses, ["a", "cache-1:11211", "cache-9:2", "cache-9:11211", "cache-10:11211"]);
    }
}
