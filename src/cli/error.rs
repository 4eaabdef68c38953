//! Errors as a user reads them.

use crate::run::failure::Original;

/// Exit code of bad usage, bad input, and results that cannot be written.
pub const BAD_INPUT: u8 = 2;

/// The error and its causes as one message: the file, what is wrong, what to do. A cause that the message before it
/// quotes already is not repeated. What a library says itself follows only if the message is to be `verbose`.
#[must_use]
pub fn one_message(error: &anyhow::Error, verbose: bool) -> String {
    let mut message = String::new();
    let mut original = None;
    for cause in error.chain() {
        if let Some(words) = cause.downcast_ref::<Original>() {
            original = Some(words);
            continue;
        }
        let text = cause.to_string();
        if message.is_empty() {
            message = text;
        } else if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
    }
    match original {
        Some(Original { who, words }) if verbose => {
            message.push_str(&format!("\n{who} says:\n{words}"));
        }
        Some(Original { who, .. }) => {
            message.push_str(&format!(" (--verbose shows what {who} says)"));
        }
        None => {}
    }
    message
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::run::failure::Failure;

    #[test]
    fn a_library_speaks_for_itself_only_when_it_is_asked() {
        let failure = anyhow!(Failure::of("Traceback: something\nframe #0: here"));
        let error = failure.context("model.pt");
        assert_eq!(
            one_message(&error, false),
            "model.pt: libtorch cannot do what the network asks for (--verbose shows what libtorch says)"
        );
        assert_eq!(
            one_message(&error, true),
            "model.pt: libtorch cannot do what the network asks for\nlibtorch says:\nTraceback: something\n\
             frame #0: here"
        );
    }

    #[test]
    fn a_cause_that_was_quoted_is_not_repeated() {
        let error = anyhow!("no such file").context("model.pt: no such file");
        assert_eq!(one_message(&error, true), "model.pt: no such file");
    }
}
