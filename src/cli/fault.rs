//! Panics. None should reach a user; if one does, it is told like any other error.

use std::any::Any;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::anyhow;

use crate::cli::error::one_message;
use crate::report::progress::say;
use crate::run::failure::Failure;
use crate::run::failure::Original;

/// Whether a panic was told. The same panic can come again from another thread.
static TOLD: AtomicBool = AtomicBool::new(false);

/// From now on a panic is told in one message of our own. If it is to be `verbose`, the panic's own words follow.
pub fn tell_in_our_words(verbose: bool) {
    panic::set_hook(Box::new(move |info| {
        if !TOLD.swap(true, Ordering::SeqCst) {
            let place = info.location().map(ToString::to_string);
            let error = of_panic(&text(info.payload()), &place.unwrap_or_default());
            say(format_args!("error: {}", one_message(&error, verbose)));
        }
    }));
}

fn of_panic(said: &str, place: &str) -> anyhow::Error {
    // Some calls of libtorch can fail only by a panic.
    if said.contains("Torch(\"") {
        return Failure::of(&said.replace("\\n", "\n")).into();
    }
    anyhow!(Original {
        who: "the program",
        words: format!("{said} ({place})"),
    })
    .context("this is a fault of ckaprune itself; please report it, with the command line")
}

/// What the panic says.
fn text(payload: &(dyn Any + Send)) -> String {
    let borrowed = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let owned = payload.downcast_ref::<String>().cloned();
    borrowed.or(owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_an_exception_of_libtorch_is_told_as_the_exception() {
        let said = "called `Result::unwrap()` on an `Err` value: Torch(\"CUDA out of memory. Tried to allocate 2.00 \
                    GiB.\\nException raised from malloc\")";
        let told = one_message(&of_panic(said, "optimizer.rs:1:1"), false);
        assert!(
            told.starts_with("the memory of the GPU is used up"),
            "{told}"
        );
    }

    #[test]
    fn any_other_panic_is_a_fault_of_the_program() {
        let error = of_panic("index out of bounds", "src/x.rs:1:2");
        let told = one_message(&error, false);
        assert!(
            told.starts_with("this is a fault of ckaprune itself"),
            "{told}"
        );
        assert!(!told.contains("index out of bounds"), "{told}");
        assert!(one_message(&error, true).contains("index out of bounds (src/x.rs:1:2)"));
        assert_eq!(text(&"borrowed"), "borrowed");
        assert_eq!(text(&"owned".to_owned()), "owned");
    }
}
