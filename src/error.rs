//! Errors as a user reads them.

/// Exit code of bad usage, bad input, and results that cannot be written.
pub const BAD_INPUT: u8 = 2;

/// The error and its causes as one message: the file, what is wrong, what to do. A cause that the message before it
/// quotes already is not repeated.
#[must_use]
pub fn one_message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if message.is_empty() {
            message = text;
        } else if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
    }
    message
}
