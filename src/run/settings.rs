//! All that decides the outcome of a job, so that it is only continued with the same.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::archive::{Archive, ArchiveError};

/// Options and what they were applied to, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(Map<String, Value>);

impl FromIterator<(&'static str, Value)> for Settings {
    fn from_iter<I: IntoIterator<Item = (&'static str, Value)>>(settings: I) -> Self {
        let named = settings.into_iter().map(|(k, v)| (k.to_owned(), v));
        Settings(named.collect())
    }
}

impl Settings {
    /// These and more.
    #[must_use]
    pub fn and(mut self, more: Settings) -> Self {
        self.0.extend(more.0);
        self
    }

    /// The first setting that `now` has otherwise: its name, and both values for people to read.
    #[must_use]
    pub fn difference(&self, now: &Settings) -> Option<(String, String, String)> {
        let value = |of: &Settings, key: &str| show(of.0.get(key));
        let mut keys = self.0.keys().chain(now.0.keys());
        keys.find(|key| self.0.get(*key) != now.0.get(*key))
            .map(|key| (key.clone(), value(self, key), value(now, key)))
    }
}

/// Tells one network from another, weights included.
///
/// # Errors
/// If its parts cannot be put together.
pub fn fingerprint(archive: &Archive) -> Result<String, ArchiveError> {
    let bytes = archive.to_bytes()?;
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes);
    Ok(format!(
        "{} bytes, CRC-32 {:08x}",
        bytes.len(),
        checksum.sum()
    ))
}

fn show(setting: Option<&Value>) -> String {
    match setting {
        None | Some(Value::Null) => "unset".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
