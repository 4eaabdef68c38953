//! The allocator of the whole process, libtorch included, whose `malloc` and `posix_memalign` resolve to the executable's.
//!
//! The tensors of a network are large, live for one operator or two, and come again with every batch. The C library gives
//! each back to the system and takes it anew, and the system clears every page of it: on large images that takes longer
//! than the network. jemalloc keeps what was freed.

use std::ffi::c_char;
use std::ptr;

/// What jemalloc is told at its start (`man jemalloc`, "TUNING").
///
/// - `oversize_threshold`: large blocks are kept as small ones are.
/// - `dirty_decay_ms`, `muzzy_decay_ms`: nothing that is kept is given back for its age.
/// - `thp`: pages of 2 MB, where the system has them, which saves a tenth of the time on large images.
const SETTINGS: &std::ffi::CStr =
    c"oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always";

/// A pointer that threads may share, as nobody writes what it points to.
#[repr(transparent)]
pub struct Settings(*const c_char);

// SAFETY: it points to a constant.
unsafe impl Sync for Settings {}

/// jemalloc looks for its settings under this name.
// SAFETY: jemalloc declares it as a `const char *` and only reads it; nothing else has this name.
#[unsafe(export_name = "malloc_conf")]
pub static MALLOC_CONF: Settings = Settings(SETTINGS.as_ptr());

/// Gives all memory back to the system that was freed.
pub(super) fn return_freed() {
    // All arenas at once: MALLCTL_ARENAS_ALL in jemalloc/jemalloc.h.
    const PURGE: &std::ffi::CStr = c"arena.4096.purge";
    // SAFETY: the name ends in 0; this control takes and gives nothing, and touches free memory only.
    unsafe {
        tikv_jemalloc_sys::mallctl(
            PURGE.as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            0,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_and_rust_share_an_allocator_that_keeps_what_was_freed() {
        let ours: unsafe extern "C" fn(usize) -> *mut libc::c_void = tikv_jemalloc_sys::malloc;
        assert!(std::ptr::fn_addr_eq(
            ours,
            libc::malloc as unsafe extern "C" fn(usize) -> *mut libc::c_void
        ));
        let mut decay: isize = 0;
        let mut size = size_of::<isize>();
        // SAFETY: the control is a ssize_t, and has room for one.
        let status = unsafe {
            tikv_jemalloc_sys::mallctl(
                c"opt.dirty_decay_ms".as_ptr(),
                (&raw mut decay).cast(),
                &raw mut size,
                ptr::null_mut(),
                0,
            )
        };
        assert_eq!((status, decay), (0, -1));
    }
}
