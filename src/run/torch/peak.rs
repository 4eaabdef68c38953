//! The memory that work takes at its highest.

use crate::run::memory::{own, return_freed};

/// The main memory that this process takes beyond what it had when this began, at its highest.
#[derive(Debug)]
pub struct Peak {
    before: u64,
}

impl Peak {
    /// `None` where the system does not tell; Linux does.
    #[must_use]
    pub fn begin() -> Option<Self> {
        // Taking memory again that was kept would not be seen.
        return_freed();
        // Sets the highest value back to what is taken now (proc(5), since Linux 4.0).
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
        Some(Peak {
            before: own("VmRSS:")?,
        })
    }

    /// Bytes.
    #[must_use]
    pub fn end(self) -> Option<u64> {
        Some(own("VmHWM:")?.saturating_sub(self.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_was_taken_for_a_while_is_seen() {
        const TAKEN: usize = 64 << 20;
        let Some(peak) = Peak::begin() else { return };
        drop(std::hint::black_box(vec![1u8; TAKEN]));
        let peak = peak.end().unwrap();
        assert!(peak as usize >= TAKEN / 2, "{peak}");
    }
}
