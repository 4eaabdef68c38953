//! Stopping: Ctrl-C (SIGINT), SIGTERM, and SIGHUP of a terminal that is closed. Work that can be continued stops at
//! the next good moment, all other work at once.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, Once, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::progress::say;

/// Somebody looks at [`ASKED`].
static HEEDED: AtomicBool = AtomicBool::new(false);
/// The signal that asked to stop; 0 if none has.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// The work is so near its end that it is brought there.
static ENDS_SOON: AtomicBool = AtomicBool::new(false);
/// Held while a file is written.
static WRITING: Mutex<()> = Mutex::new(());

/// SIGINT, by which a stop is named whose signal is not known.
const INTERRUPT: i32 = 2;

/// Work was given up because the user asked for that; what it had done is kept wherever there is a place for it.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// Answers signals from now on. Where no handler can be set they end the process as ever.
pub fn watch() {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(listen);
}

/// While it lives, a signal does not end the process but is noted; the second one ends it.
#[derive(Debug)]
pub struct Interrupt(());

impl Interrupt {
    /// Heeds signals from now on.
    #[must_use]
    pub fn heed() -> Self {
        // Before there is a handler, or it would take a signal that comes between for one that nobody heeds.
        HEEDED.store(true, Ordering::SeqCst);
        watch();
        Interrupt(())
    }

    /// Nothing stops the work any more but the second signal: it is about to end anyway.
    pub fn ends_soon(&self) {
        ENDS_SOON.store(true, Ordering::SeqCst);
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        HEEDED.store(false, Ordering::SeqCst);
        ENDS_SOON.store(false, Ordering::SeqCst);
    }
}

/// Whether to stop.
#[must_use]
pub fn is_asked() -> bool {
    ASKED.load(Ordering::SeqCst) != 0 && !ENDS_SOON.load(Ordering::SeqCst)
}

/// Goes on unless the user has asked to stop.
///
/// # Errors
/// [`Stopped`].
pub fn check() -> Result<(), Stopped> {
    match is_asked() {
        true => Err(Stopped),
        false => Ok(()),
    }
}

/// Exit code of a command that was stopped, as shells report it: 130 after Ctrl-C, 143 after SIGTERM.
#[must_use]
pub fn exit_code() -> u8 {
    match ASKED.load(Ordering::SeqCst) {
        0 => code_of(INTERRUPT),
        signal => code_of(signal),
    }
}

/// Writes a file without being ended in the middle of it by a first signal, which would leave a temporary file.
pub fn undisturbed<T>(write: impl FnOnce() -> T) -> T {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    write()
}

fn code_of(signal: i32) -> u8 {
    128 + u8::try_from(signal & 0x7f).unwrap_or_default()
}

/// What a signal brings about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The work stops when it can.
    Stop,
    /// Nothing: it is the first signal once more.
    Same,
    /// The process ends when no file is being written.
    Leave,
    /// The process ends as it is.
    LeaveNow,
}

/// `since`: the time since the first signal that was heeded.
fn answer(is_heeded: bool, since: Option<Duration>) -> Answer {
    /// `timeout` sends every signal twice, to the process and to its group, and a terminal and a shell may do the same.
    const ECHO: Duration = Duration::from_secs(1);
    match since {
        _ if !is_heeded => Answer::Leave,
        None => Answer::Stop,
        Some(since) if since < ECHO => Answer::Same,
        Some(_) => Answer::LeaveNow,
    }
}

#[cfg(unix)]
fn listen() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    // `nohup`, and shells for jobs in the background, ask for some to be ignored.
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let wanted = wanted.filter(|signal| !is_ignored(*signal));
    let Ok(mut signals) = Signals::new(wanted) else {
        return;
    };
    let listener = thread::Builder::new().name("signals".into());
    let _ = listener.spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in &mut signals {
            let is_heeded = HEEDED.load(Ordering::SeqCst);
            match answer(is_heeded, first.map(|first| first.elapsed())) {
                Answer::Stop => {
                    first = Some(Instant::now());
                    ASKED.store(signal, Ordering::SeqCst);
                    say("stopping after this step; another signal (Ctrl-C) ends it at once");
                }
                Answer::Same => {}
                Answer::Leave => {
                    wait_for_files();
                    leave(signal)
                }
                Answer::LeaveNow => leave(signal),
            }
        }
    });
}

#[cfg(not(unix))]
fn listen() {}

/// Whether the process was started with this signal ignored.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: all-zero is a valid value of this plain C struct, which is only written to.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action the call changes nothing, and writes the current one where it may.
    let status = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    status == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Waits until no file is being written, but not for a disk that does not answer.
fn wait_for_files() {
    const PATIENCE: Duration = Duration::from_secs(2);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match WRITING.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
            // Whoever would write next waits until the process is gone.
            Ok(lock) => return std::mem::forget(lock),
            Err(TryLockError::Poisoned(_)) => return,
        }
    }
}

/// Ends the process without its last rites: libtorch's would take down what other threads still work with.
fn leave(signal: i32) -> ! {
    // SAFETY: never returns, and touches nothing of this process.
    unsafe { libc::_exit(code_of(signal).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_stops_what_can_go_on_later_and_ends_all_else() {
        assert_eq!(answer(true, None), Answer::Stop);
        assert_eq!(answer(false, None), Answer::Leave);
    }

    #[test]
    fn the_second_signal_ends_the_process_but_its_echo_does_not() {
        let after = |ms| answer(true, Some(Duration::from_millis(ms)));
        assert_eq!(after(3), Answer::Same);
        assert_eq!(after(1500), Answer::LeaveNow);
        let once_done = answer(false, Some(Duration::from_millis(3)));
        assert_eq!(once_done, Answer::Leave);
    }

    #[test]
    fn codes_are_those_of_shells() {
        assert_eq!([2, 15, 1].map(code_of), [130, 143, 129]);
    }
}
