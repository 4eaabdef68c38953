//! Amounts of memory: as users write them, and as the machine has them.

mod allocator;
mod footprint;
mod room;

use std::fmt;
use std::str::FromStr;

pub use allocator::{keep_freed, return_freed};
pub use footprint::{Footprint, Work};

/// A number of bytes: `512MB`, `2GB`, `1.5GiB`, or plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(pub u64);

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, f64); 9] = [
            ("KiB", 1024.),
            ("MiB", 1_048_576.),
            ("GiB", 1_073_741_824.),
            ("KB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("K", 1024.),
            ("M", 1_048_576.),
            ("G", 1_073_741_824.),
        ];
        let text = text.trim();
        let unit = UNITS.iter().find_map(|(unit, bytes)| {
            let at = text.len().checked_sub(unit.len())?;
            let (number, tail) = (text.get(..at)?, text.get(at..)?);
            tail.eq_ignore_ascii_case(unit).then_some((number, *bytes))
        });
        let (number, bytes) = unit.unwrap_or((text, 1.));
        let number: Option<f64> = number.trim().parse().ok();
        number
            .map(|n| n * bytes)
            .filter(|n| (1. ..=u64::MAX as f64).contains(n))
            .map(|n| Memory(n as u64))
            .ok_or_else(|| "expected an amount of memory such as 512MB or 2GB".into())
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(f64, &str); 3] = [(1e9, "GB"), (1e6, "MB"), (1e3, "KB")];
        let bytes = self.0 as f64;
        match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
            Some((unit, name)) => write!(f, "{:.1} {name}", bytes / unit),
            None => write!(f, "{bytes}"),
        }
    }
}

/// Where nothing is known of the machine.
const USUAL: u64 = 4 << 30;

/// Bytes that this process can still take of the main memory, by the limits of its container and its shell too.
#[must_use]
pub fn available() -> u64 {
    known().unwrap_or(USUAL)
}

/// The same; `None` on systems that do not tell, as others than Linux.
#[must_use]
pub fn known() -> Option<u64> {
    room::room()
}

/// An amount of memory that the system states of this process.
pub(super) fn own(key: &str) -> Option<u64> {
    kilobytes("/proc/self/status", key)
}

/// The amount behind a key in one of Linux's files, in bytes.
fn kilobytes(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_and_without_units() {
        let bytes = |text: &str| text.parse::<Memory>().map(|m| m.0);
        assert_eq!(bytes("1000"), Ok(1000));
        assert_eq!(bytes("512MB"), Ok(512_000_000));
        assert_eq!(bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("2g"), Ok(2 << 30));
        for wrong in ["", "GB", "-1GB", "0", "NaN", "1e40", "five"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_are_shown_as_they_can_be_typed() {
        for (bytes, text) in [
            (12, "12"),
            (512_000_000, "512.0 MB"),
            (2_340_000_000, "2.3 GB"),
        ] {
            assert_eq!(Memory(bytes).to_string(), text);
            assert!(text.parse::<Memory>().is_ok());
        }
    }
}
