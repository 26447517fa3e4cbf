//! The allocator of each Rust server: the system's, or a feature's.

#[cfg(all(feature = "mimalloc", not(feature = "count")))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "count")]
#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// How often this process has allocated. `None` without the feature `count`.
#[must_use]
pub fn allocations() -> Option<u64> {
    #[cfg(feature = "count")]
    return Some(counting::allocations());
    #[cfg(not(feature = "count"))]
    None
}

#[cfg(feature = "count")]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

    pub(crate) fn allocations() -> u64 {
        ALLOCATIONS.load(Relaxed)
    }

    /// Counts allocations and reallocations.
    pub(crate) struct Counting;

    // SAFETY: each call is passed unchanged to the system's allocator.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            ALLOCATIONS.fetch_add(1, Relaxed);
            unsafe { System.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            ALLOCATIONS.fetch_add(1, Relaxed);
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            ALLOCATIONS.fetch_add(1, Relaxed);
            unsafe { System.realloc(block, layout, size) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            unsafe { System.dealloc(block, layout) }
        }
    }
}
