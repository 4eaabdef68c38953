//! Where Python's packages lie around an installed program, and which torch is among them.
//!
//! Everything is found from the program's own place, so that an environment can be moved: a program in `bin` belongs to
//! the folders of packages of the same prefix (venv, conda, user and Debian's layouts), and `pip install --target` puts
//! it into a `bin` among the packages themselves.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of Python packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub folder: PathBuf,
    /// The folder that the environment lies in.
    prefix: PathBuf,
    /// Python's, as its folder has it: `python3.12`; empty if the folder does not tell.
    python: String,
}

/// A torch that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torch {
    pub folder: PathBuf,
    /// As the package has it: `2.11.0+cu130`.
    pub version: String,
}

/// The folders of packages that a program in a `bin` may have been installed with.
#[must_use]
pub fn sites_around(program: &Path) -> Vec<Site> {
    let Some(prefix) = program.parent().and_then(Path::parent) else {
        return Vec::new();
    };
    let mut sites = sites_of(prefix);
    sites.push(Site {
        folder: prefix.to_owned(),
        prefix: prefix.to_owned(),
        python: String::new(),
    });
    sites
}

/// The folders of packages of an environment, of the newest Python first.
fn sites_of(prefix: &Path) -> Vec<Site> {
    let mut sites = Vec::new();
    for library in ["lib", "lib64", "local/lib"] {
        for python in pythons(&prefix.join(library)) {
            for packages in ["site-packages", "dist-packages"] {
                let folder = prefix.join(library).join(&python).join(packages);
                if folder.is_dir() {
                    sites.push(Site {
                        folder,
                        prefix: prefix.to_owned(),
                        python: python.clone(),
                    });
                }
            }
        }
    }
    sites
}

/// The folders `python3`, `python3.10` and so on of a folder, the highest number first.
fn pythons(folder: &Path) -> Vec<String> {
    let minor = |name: &str| -> Option<u32> {
        match name.strip_prefix("python3")? {
            "" => Some(0),
            rest => rest.strip_prefix('.')?.parse().ok(),
        }
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<(u32, String)> = names
        .filter_map(|name| Some((minor(&name)?, name)))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, name)| name).collect()
}

impl Site {
    /// Whether this file is in it.
    #[must_use]
    pub fn has(&self, file: &str) -> bool {
        self.folder.join(file).is_file()
    }

    /// The torch that a Python of this environment would import. `home` is the user's folder.
    #[must_use]
    pub fn torch(&self, home: Option<&Path>) -> Option<Torch> {
        self.importable(home)
            .iter()
            .find_map(|folder| Torch::in_packages(folder))
    }

    /// The folders that a Python of this environment imports from, in its order.
    fn importable(&self, home: Option<&Path>) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.clone()];
        let mut add = |sites: Vec<Site>| {
            let same = sites
                .into_iter()
                .filter(|site| self.is_of_the_same_python(site));
            folders.extend(same.map(|site| site.folder));
        };
        add(sites_of(&self.prefix));
        match fs::read_to_string(self.prefix.join("pyvenv.cfg")) {
            Err(_) => {
                add(home.map_or_else(Vec::new, |home| sites_of(&home.join(".local"))));
                // Where this is the user's own folder, Python itself lies in one of these.
                add(sites_of(Path::new("/usr/local")));
                add(sites_of(Path::new("/usr")));
            }
            Ok(environment) if sees_the_system(&environment) => {
                add(home.map_or_else(Vec::new, |home| sites_of(&home.join(".local"))));
                let base = value_of(&environment, "home").map(Path::new);
                add(base.and_then(Path::parent).map_or_else(Vec::new, sites_of));
            }
            Ok(_) => {}
        }
        folders
    }

    /// Debian's `python3` is every version's.
    fn is_of_the_same_python(&self, other: &Site) -> bool {
        other.python == self.python || other.python == "python3" || self.python.is_empty()
    }
}

/// Whether a virtual environment, by its `pyvenv.cfg`, imports what its base has as well.
fn sees_the_system(environment: &str) -> bool {
    value_of(environment, "include-system-site-packages")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The value of a line `key = value`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    let found = pairs.find(|(name, _)| name.trim() == key);
    found.map(|(_, value)| value.trim())
}

impl Torch {
    /// The torch in a folder of packages.
    fn in_packages(packages: &Path) -> Option<Self> {
        let folder = packages.join("torch");
        let text = fs::read_to_string(folder.join("version.py")).ok()?;
        let version = value_of(&text, "__version__")?;
        Some(Torch {
            version: version.trim_matches(['\'', '"']).to_owned(),
            folder,
        })
    }

    /// Whether it is a release of a series, such as `2.11`.
    #[must_use]
    pub fn is_of(&self, series: &str) -> bool {
        let rest = self.version.strip_prefix(series);
        rest.is_some_and(|rest| rest.starts_with('.'))
    }

    /// The folder of its libraries, if they are there.
    #[must_use]
    pub fn libraries(&self) -> Option<PathBuf> {
        let libraries = self.folder.join("lib");
        libraries
            .join("libtorch_cpu.so")
            .is_file()
            .then_some(libraries)
    }
}
