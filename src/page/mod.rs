//! Pages of results: self-contained HTML, which opens from disk and asks for nothing else.

pub mod charts;

/// Without what terminals, XML and readers of names could be led astray by: control characters, but line ends and tabs,
/// and characters that turn the direction of writing.
fn without_controls(text: String) -> String {
    let leads_astray = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    };
    match text.contains(leads_astray) {
        true => text.replace(leads_astray, "\u{fffd}"),
        false => text,
    }
}
