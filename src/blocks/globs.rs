//! Patterns of paths.

use std::fmt;
use std::str::FromStr;

use globset::{Glob, GlobSet, GlobSetBuilder};

/// Path globs such as `layer1.*`; a dot is an ordinary character.
#[derive(Clone, Debug)]
pub struct Globs {
    texts: Vec<String>,
    set: GlobSet,
}

impl FromStr for Globs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let texts: Vec<String> = text
            .split(',')
            .map(|t| t.trim().to_owned())
            .filter(|t| !t.is_empty())
            .collect();
        let mut set = GlobSetBuilder::new();
        for glob in &texts {
            set.add(Glob::new(glob).map_err(|e| e.to_string())?);
        }
        let set = set.build().map_err(|e| e.to_string())?;
        Ok(Globs { texts, set })
    }
}

impl Globs {
    /// Whether any of the globs matches this path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.set.is_match(path)
    }

    /// A glob that matches none of the paths: most likely a typing error.
    #[must_use]
    pub fn without_match<'a>(&self, paths: impl Iterator<Item = &'a str> + Clone) -> Option<&str> {
        let unmatched = |glob: &&String| {
            Glob::new(glob).is_ok_and(|g| !paths.clone().any(|p| g.compile_matcher().is_match(p)))
        };
        self.texts.iter().find(unmatched).map(String::as_str)
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts.join(","))
    }
}
