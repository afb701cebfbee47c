//! Memory by function, while a profile is taken: what was taken in that time, and what of it was not given back by its end.
//!
//! About one of every 512 KiB that are taken is looked at, each byte with the same chance; what is found stands for the rest.
//! Go `runtime/mprof.go`, `MemProfileRate`.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ProfileError;
use crate::message::{Builder, Frame};

/// Bytes between two allocations that are looked at, on average.
const SAMPLED_BYTES: f64 = 524_288.0;
/// Frames of a stack that are kept.
const DEPTH_MAX: usize = 64;
/// Allocations that are followed; those beyond are not seen.
const FOLLOWED_MAX: usize = 1 << 20;

static WATCHED: AtomicBool = AtomicBool::new(false);
static FOUND: Mutex<Option<Found>> = Mutex::new(None);
/// For each of some groups of addresses whether one of them is followed: most that is given back is not.
static MAYBE: [AtomicU64; 1 << 12] = [const { AtomicU64::new(0) }; 1 << 12];

thread_local! {
    /// Bytes until the next look; below zero before the first.
    static LEFT: Cell<i64> = const { Cell::new(-1) };
    /// The thread is looking: what that takes itself does not count.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// What a profile has found.
#[derive(Default)]
struct Found {
    stacks: HashMap<Box<[usize]>, usize>,
    /// By the number of the stack.
    counts: Vec<Counts>,
    /// By address: the number of the stack, and what the allocation stands for.
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
    /// What an allocation stands for that was looked at with the chance its size gave it.
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

/// Whether a profile is taken.
pub(crate) fn is_watched() -> bool {
    WATCHED.load(Ordering::Relaxed)
}

/// Bytes from one look to the next: a Poisson process.
fn gap() -> i64 {
    let chance: f64 = rand::random();
    (-(1.0 - chance).ln() * SAMPLED_BYTES) as i64
}

/// Runs `look` unless this thread looks already, or is at its end.
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

/// Memory was taken at an address; 0 is none.
pub(crate) fn taken(address: usize, size: usize) {
    let size_left = i64::try_from(size).unwrap_or(i64::MAX);
    let is_due = LEFT.try_with(|left| {
        if left.get() < 0 {
            // Before the first look of this thread.
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

/// The memory at an address is given back.
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

/// A profile being taken; it ends when this is dropped.
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
        // Outside of the lock, which what is freed here would ask for.
        drop(ended);
    }
}

/// Takes a profile for so long.
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

/// Whether a function belongs to the looking itself.
fn is_ours(function: &str) -> bool {
    function.starts_with("backtrace::")
        || function.contains("tithon_profile::heap::")
        || function.contains("tithon_profile::allocator::")
}

/// The functions at an address, inlined ones first.
fn frames(address: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    // The address is that behind the call.
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
        // A large allocation is always seen; of small ones, each stands for as many as fit between two looks.
        assert!((Weight::of(100 << 20).objects - 1.0).abs() < 1e-9);
        let small = Weight::of(64);
        assert!((small.bytes / SAMPLED_BYTES - 1.0).abs() < 0.01, "{}", small.bytes);
        let mean = (0..10_000).map(|_| gap() as f64).sum::<f64>() / 10_000.0;
        assert!((mean / SAMPLED_BYTES - 1.0).abs() < 0.1, "{mean}");
    }
}
