//! The C library's allocator, which serves libtorch too.
//!
//! The tensors of a network are large, live for one operator or two, and come again with every batch. Left to itself the
//! allocator maps each anew and unmaps it, and the system clears every page of it: on large images that takes longer than
//! the network.

/// Lets memory that is freed be kept for what comes next. To be called before other threads begin.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets numbers of the allocator alone.
    unsafe {
        // Blocks below 2 GB are parts of the heap and no mappings of their own, and the heap is never cut.
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        // Heaps of other threads are too small for large tensors, and would be mapped and unmapped with them.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives memory back to the system that was freed.
pub fn return_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: touches the allocator's own free memory only, under its lock.
    unsafe {
        libc::malloc_trim(0);
    }
}
