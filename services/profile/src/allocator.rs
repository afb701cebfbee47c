//! The program's allocator: mimalloc, with samples taken of its allocations while a memory profile runs.

#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;

use crate::heap;

/// mimalloc, with samples taken while a memory profile runs. At other times that costs only the check of a flag.
pub struct Allocator;

// SAFETY: every call is passed to mimalloc unchanged, and so is its result. Sampling reads only addresses and sizes,
// never the memory.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of the same function.
        let at = unsafe { MiMalloc.alloc(layout) };
        if heap::is_watched() {
            heap::taken(at as usize, layout.size());
        }
        at
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of the same function.
        let at = unsafe { MiMalloc.alloc_zeroed(layout) };
        if heap::is_watched() {
            heap::taken(at as usize, layout.size());
        }
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if heap::is_watched() {
            heap::given_back(at as usize);
        }
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { MiMalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if heap::is_watched() {
            heap::given_back(at as usize);
        }
        // SAFETY: the caller keeps the contract of the same function.
        let moved = unsafe { MiMalloc.realloc(at, layout, size) };
        if heap::is_watched() {
            heap::taken(moved as usize, size);
        }
        moved
    }
}
