//! Memory profiles, by function: what was allocated during the profile, and what of it was still in use at its end.
//!
//! Samples about one allocation per 512 KiB, each byte with equal probability, and scales the samples up. Go
//! `runtime/mprof.go`, `MemProfileRate`.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ProfileError;
use crate::message::{Builder, Frame};

/// Average number of bytes between two samples.
const SAMPLED_BYTES: f64 = 524_288.0;
/// Largest number of frames kept of a stack.
const DEPTH_MAX: usize = 64;
/// Largest number of sampled allocations; further ones are ignored.
const FOLLOWED_MAX: usize = 1 << 20;

static WATCHED: AtomicBool = AtomicBool::new(false);
static FOUND: Mutex<Option<Found>> = Mutex::new(None);
/// A bit for each group of addresses: whether an address in it was sampled. Most freed addresses need no further check.
static MAYBE: [AtomicU64; 1 << 12] = [const { AtomicU64::new(0) }; 1 << 12];

thread_local! {
    /// Bytes until the next sample; negative before the thread's first allocation.
    static LEFT: Cell<i64> = const { Cell::new(-1) };
    /// Whether the thread is taking a sample; its own allocations meanwhile are ignored.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// The samples of a profile.
#[derive(Default)]
struct Found {
    stacks: HashMap<Box<[usize]>, usize>,
    /// By the number of a stack.
    counts: Vec<Counts>,
    /// By address: the number of the stack, and the weight of the sample.
    live: HashMap<usize, (usize, Weight)>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    taken: Weight,
    kept: Weight,
}

#[derive(Clone, Copy, Default)]
struct Weight {
    objects: f64,
    bytes: f64,
}

impl Weight {
    /// The weight of a sampled allocation: what it stands for, given the probability that an allocation of its size is
    /// sampled.
    fn of(size: usize) -> Weight {
        let size = size as f64;
        let objects = 1.0 / -(-size / SAMPLED_BYTES).exp_m1();
        Weight { objects, bytes: objects * size }
    }

    fn add(&mut self, other: Weight) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, other: Weight) {
        self.objects -= other.objects;
        self.bytes -= other.bytes;
    }
}

/// Whether a profile is running.
pub(crate) fn is_watched() -> bool {
    WATCHED.load(Ordering::Relaxed)
}

/// The bytes until the next sample, as in a Poisson process.
fn gap() -> i64 {
    let chance: f64 = rand::random();
    (-(1.0 - chance).ln() * SAMPLED_BYTES) as i64
}

/// Runs `look` unless this thread is already taking a sample, or is ending.
fn looking(look: impl FnOnce()) {
    let begins = LOOKING.try_with(|looking| !looking.replace(true)).unwrap_or(false);
    if begins {
        look();
        LOOKING.set(false);
    }
}

fn group(address: usize) -> (usize, u64) {
    let hash = (address as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((hash >> 52) as usize, 1 << (hash >> 46 & 63))
}

/// Called for each allocation during a profile; address 0 is a failed one.
pub(crate) fn taken(address: usize, size: usize) {
    let size_left = i64::try_from(size).unwrap_or(i64::MAX);
    let is_due = LEFT.try_with(|left| {
        if left.get() < 0 {
            // The thread's first allocation.
            looking(|| left.set(gap()));
        }
        let now = left.get() - size_left;
        left.set(now.max(0));
        now < 0
    });
    if address == 0 || !is_due.unwrap_or(false) {
        return;
    }
    looking(|| {
        LEFT.set(gap());
        let mut stack = Vec::with_capacity(DEPTH_MAX);
        backtrace::trace(|frame| {
            stack.push(frame.ip() as usize);
            stack.len() < DEPTH_MAX
        });
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = found.as_mut().filter(|found| found.live.len() < FOLLOWED_MAX) else { return };
        let next = found.counts.len();
        let number = *found.stacks.entry(stack.into()).or_insert(next);
        if number == next {
            found.counts.push(Counts::default());
        }
        let weight = Weight::of(size);
        found.counts[number].taken.add(weight);
        found.counts[number].kept.add(weight);
        found.live.insert(address, (number, weight));
        let (word, bit) = group(address);
        MAYBE[word].fetch_or(bit, Ordering::Relaxed);
    });
}

/// Called for each deallocation during a profile.
pub(crate) fn given_back(address: usize) {
    let (word, bit) = group(address);
    if MAYBE[word].load(Ordering::Relaxed) & bit == 0 {
        return;
    }
    looking(|| {
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = found.as_mut() else { return };
        if let Some((number, weight)) = found.live.remove(&address) {
            found.counts[number].kept.remove(weight);
        }
    });
}

/// A running profile; dropping it ends the profile.
struct Watching;

impl Watching {
    fn begin() -> Result<Watching, ProfileError> {
        let mut result = Err(ProfileError::Busy);
        looking(|| {
            let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
            if found.is_none() {
                *found = Some(Found::default());
                MAYBE.iter().for_each(|word| word.store(0, Ordering::Relaxed));
                WATCHED.store(true, Ordering::Relaxed);
                result = Ok(Watching);
            }
        });
        result
    }

    fn found(&self) -> Found {
        let mut taken = None;
        looking(|| {
            WATCHED.store(false, Ordering::Relaxed);
            taken = FOUND.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(std::mem::take);
        });
        taken.unwrap_or_default()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut ended = None;
        looking(|| {
            WATCHED.store(false, Ordering::Relaxed);
            ended = FOUND.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        // Dropped outside the lock, since freeing memory would take it again.
        drop(ended);
    }
}

/// Takes a profile for `duration`. Returns it in pprof's format.
pub(crate) async fn profile(duration: Duration) -> Result<Vec<u8>, ProfileError> {
    let watching = Watching::begin()?;
    tokio::time::sleep(duration).await;
    let build = move || {
        let found = watching.found();
        drop(watching);
        Ok(encode(&found, duration)?)
    };
    tokio::task::spawn_blocking(build).await?
}

fn encode(found: &Found, duration: Duration) -> std::io::Result<Vec<u8>> {
    let types = [
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ];
    let mut builder = Builder::new(&types, duration);
    builder.period("space", "bytes", SAMPLED_BYTES as i64);
    builder.default_type("inuse_space");
    let mut names: HashMap<usize, Vec<Frame>> = HashMap::new();
    for (stack, number) in &found.stacks {
        let Counts { taken, kept } = found.counts[*number];
        let whole = |value: f64| value.round() as i64;
        let value = vec![whole(taken.objects), whole(taken.bytes), whole(kept.objects), whole(kept.bytes)];
        let places: Vec<(usize, Vec<Frame>)> = stack
            .iter()
            .map(|address| (*address, names.entry(*address).or_insert_with(|| frames(*address)).clone()))
            .filter(|(_, frames)| !frames.iter().any(|frame| is_ours(&frame.function)))
            .collect();
        builder.sample(places, value);
    }
    builder.finish()
}

/// Whether a function belongs to the sampling itself.
fn is_ours(function: &str) -> bool {
    function.starts_with("backtrace::")
        || function.contains("tithon_profile::heap::")
        || function.contains("tithon_profile::allocator::")
}

/// The functions at an address, inlined ones first.
fn frames(address: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    // The address is that of the instruction after the call.
    backtrace::resolve(address.saturating_sub(1) as *mut std::ffi::c_void, |symbol| {
        frames.push(Frame::new(
            symbol.name().map(|name| format!("{name:#}")).unwrap_or_default(),
            symbol.filename().map(|file| file.display().to_string()).unwrap_or_default(),
            symbol.lineno().unwrap_or(0),
        ));
    });
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_stands_for_the_rest() {
        // A large allocation is always sampled; a sampled small one stands for as many as fit between two samples.
        assert!((Weight::of(100 << 20).objects - 1.0).abs() < 1e-9);
        let small = Weight::of(64);
        assert!((small.bytes / SAMPLED_BYTES - 1.0).abs() < 0.01, "{}", small.bytes);
        let mean = (0..10_000).map(|_| gap() as f64).sum::<f64>() / 10_000.0;
        assert!((mean / SAMPLED_BYTES - 1.0).abs() < 0.1, "{mean}");
    }
}
