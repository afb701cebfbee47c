//! Keeps the process alive when a mapped file is truncated by somebody else.
//!
//! The system answers a read behind the end of a file with SIGBUS, which ends the process. The handler here puts pages
//! of zeros in place of the missing ones, and marks the map as broken in a table. Data read from such a map is not
//! valid: readers check the mark after their work.
#![allow(unsafe_code)]

use std::mem::{MaybeUninit, transmute};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};

use libc::{c_int, c_void, sigaction, siginfo_t};

/// The slot of a live map in the table, freed when this is dropped.
#[derive(Debug)]
pub(super) struct Guard(&'static Slot);

/// A slot: a live map, or unused. The handler reads slots while others write them, so all fields are atomic; `end` is 0
/// while the slot is unused, and is written last.
#[derive(Debug)]
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    broken: AtomicBool,
}

const SLOTS: usize = 256;

/// A part of the table. Parts are never freed, so that the handler may walk over them at any time.
struct Slab {
    slots: [Slot; SLOTS],
    next: AtomicPtr<Slab>,
}

static FIRST: AtomicPtr<Slab> = AtomicPtr::new(ptr::null_mut());
static UNUSED: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());
static INSTALL: Once = Once::new();
static PREVIOUS: OnceLock<sigaction> = OnceLock::new();
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(4096);

impl Guard {
    /// Guards the map of `len` bytes at the address `start`, until the guard is dropped.
    pub(super) fn new(start: usize, len: usize) -> Guard {
        INSTALL.call_once(install);
        let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.is_empty() {
            unused.extend(&add_slab().slots);
        }
        let slot = unused.pop().expect("a new part has unused places");
        slot.broken.store(false, Ordering::SeqCst);
        slot.start.store(start, Ordering::SeqCst);
        slot.end.store(start + len, Ordering::SeqCst);
        Guard(slot)
    }

    /// Whether bytes were read behind the end of the file, or [`Guard::set_broken`] was called.
    pub(super) fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::SeqCst)
    }

    pub(super) fn set_broken(&self) {
        self.0.broken.store(true, Ordering::SeqCst);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::SeqCst);
        UNUSED.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
    }
}

/// Puts a new part before the others.
fn add_slab() -> &'static Slab {
    let slot =
        || Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), broken: AtomicBool::new(false) };
    let next = AtomicPtr::new(FIRST.load(Ordering::SeqCst));
    let slab: &'static Slab = Box::leak(Box::new(Slab { slots: std::array::from_fn(|_| slot()), next }));
    FIRST.store(ptr::from_ref(slab).cast_mut(), Ordering::SeqCst);
    slab
}

/// Installs [`on_bus_error`]. If the system refuses, a truncated file ends the process, as without a handler.
fn install() {
    // SAFETY: plain calls with valid pointers; a `sigaction` of zeros is a valid one.
    unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE);
        PAGE_BYTES.store(usize::try_from(page).unwrap_or(4096), Ordering::SeqCst);
        let mut previous = MaybeUninit::<sigaction>::zeroed().assume_init();
        if libc::sigaction(libc::SIGBUS, ptr::null(), &mut previous) != 0 {
            return;
        }
        // The handler may run as soon as it is installed.
        let _ = PREVIOUS.set(previous);
        let mut action = MaybeUninit::<sigaction>::zeroed().assume_init();
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_bus_error;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, &action, ptr::null_mut());
    }
}

/// Repairs a read of one of our maps; passes any other signal to the handler that was installed before. Uses only
/// operations that a signal handler may use: loads and stores of atomics, and system calls.
extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the system hands a valid `info` to a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    if !find(address).is_some_and(|(slot, end)| fill(slot, address, end)) {
        pass_on(signal, info, context);
    }
}

/// The slot of the map that holds the address, and the end of the map.
fn find(address: usize) -> Option<(&'static Slot, usize)> {
    let mut slab = FIRST.load(Ordering::SeqCst);
    // SAFETY: parts are leaked boxes, so a pointer of the list always points at a live part.
    while let Some(part) = unsafe { slab.as_ref() } {
        for slot in &part.slots {
            let end = slot.end.load(Ordering::SeqCst);
            let holds = address < end && slot.start.load(Ordering::SeqCst) <= address;
            // The slot may have been given to another map in between.
            if holds && slot.end.load(Ordering::SeqCst) == end {
                return Some((slot, end));
            }
        }
        slab = part.next.load(Ordering::SeqCst);
    }
    None
}

/// Puts zeros from the page of `address` to the end of the map: all bytes behind the end of a file are missing.
fn fill(slot: &Slot, address: usize, end: usize) -> bool {
    // The mark is set first: a reader that sees a zero sees the mark.
    slot.broken.store(true, Ordering::SeqCst);
    let page = PAGE_BYTES.load(Ordering::SeqCst);
    let from = address / page * page;
    let len = end.next_multiple_of(page) - from;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: these pages belong to a live map, which nobody unmaps while a thread reads from it: this one does.
    let filled = unsafe { libc::mmap(from as *mut c_void, len, libc::PROT_READ, flags, -1, 0) };
    filled != libc::MAP_FAILED
}

/// Passes the signal to the handler that was installed before; if there was none, the process ends as it would have.
fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let previous = PREVIOUS
        .get()
        .filter(|previous| previous.sa_sigaction != libc::SIG_DFL && previous.sa_sigaction != libc::SIG_IGN);
    // SAFETY: a handler that is neither of the two constants is a function of the form that the flags tell. Without one
    // the default action is restored, and the read that failed is tried again when this handler returns.
    unsafe {
        match previous {
            Some(previous) if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(previous.sa_sigaction)(
                    signal, info, context,
                );
            }
            Some(previous) => transmute::<usize, extern "C" fn(c_int)>(previous.sa_sigaction)(signal),
            None => {
                let default = MaybeUninit::<sigaction>::zeroed().assume_init();
                libc::sigaction(signal, &default, ptr::null_mut());
            }
        }
    }
}
