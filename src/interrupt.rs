//! Ctrl-C: work that can be continued stops at the next good moment, all other work at once.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::commands::INTERRUPTED;
use crate::progress::say;

/// Somebody looks at [`ASKED`].
static HEEDED: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// While it lives, Ctrl-C (or SIGTERM) does not end the process but is noted; the second one ends it.
#[derive(Debug)]
pub struct Interrupt(());

impl Interrupt {
    /// Heeds Ctrl-C from now on.
    #[must_use]
    pub fn heed() -> Self {
        // Before there is a handler, or it would take a signal that comes between for one that nobody heeds.
        HEEDED.store(true, Ordering::SeqCst);
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            // Where no handler can be set, Ctrl-C ends the process as ever.
            let _ = ctrlc::set_handler(|| {
                let first = !ASKED.swap(true, Ordering::SeqCst);
                if !(HEEDED.load(Ordering::SeqCst) && first) {
                    leave();
                }
                say("stopping after this batch; Ctrl-C again stops at once");
            });
        });
        Interrupt(())
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        ASKED.load(Ordering::SeqCst)
    }
}

/// Ends the process without its last rites: libtorch's would take down what other threads still work with.
fn leave() -> ! {
    // SAFETY: never returns, and touches nothing of this process.
    unsafe { libc::_exit(INTERRUPTED.into()) }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        HEEDED.store(false, Ordering::SeqCst);
    }
}
