//! Series as many as wanted, the same each time: names, scrapes and values as a fleet of hosts has them.

/// Shape of a synthetic block.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Number of series.
    pub n_series: usize,
    /// First scrape, milliseconds.
    pub start_ms: i64,
    /// Scrapes of each series.
    pub n_scrapes: usize,
    /// Milliseconds from scrape to scrape.
    pub step_ms: i64,
}

/// Labels of series `i`, sorted by name; they ascend with `i`.
pub fn labels(i: usize) -> [(&'static str, String); 4] {
    [
        ("__name__", format!("metric_{:04}", i / 1000)),
        ("instance", format!("host-{:04}:9100", i % 1000)),
        ("job", format!("job-{}", i % 7)),
        ("replica_set", format!("rs-{:02}", i % 31)),
    ]
}

impl Fleet {
    /// Time of each scrape.
    pub fn times(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.n_scrapes as i64).map(|i| self.start_ms + i * self.step_ms)
    }

    /// Values of series `i`, one a scrape: a counter where `i` is even, else a gauge of three digits.
    pub fn values(&self, i: usize) -> impl Iterator<Item = f64> + '_ {
        let seed = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.start_ms as u64;
        let mut random = seed | 1;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        // Counters go on from one block to the next.
        let mut count = (self.start_ms / self.step_ms.max(1)) as f64 * 25.0 + (i % 1000) as f64;
        (0..self.n_scrapes).map(move |_| {
            if i.is_multiple_of(2) {
                count += (next() % 50) as f64;
                count
            } else {
                (next() % 1000) as f64
            }
        })
    }
}
