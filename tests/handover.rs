//! From the program without libtorch to the one with it: which is found, with which torch, and what is said of others.

use std::fs;
use std::path::{Path, PathBuf};

use ckaprune::cli::handover::{FULL, Successor, successor};
use tempfile::TempDir;

const PACKAGES: &str = "lib/python3.12/site-packages";

/// An environment with the two programs in it.
struct Environment {
    folder: TempDir,
    prefix: PathBuf,
}

impl Environment {
    fn new(packages: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let prefix = folder.path().join("env");
        let made = Environment { folder, prefix };
        made.write("bin/ckaprune", "");
        made.write(&format!("{packages}/{FULL}"), "");
        made
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.prefix.join(name), text);
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn found(&self) -> Result<Option<Successor>, String> {
        let own = self.prefix.join("bin/ckaprune");
        successor(&own, Some(&self.home())).map_err(|error| error.to_string())
    }

    /// The folder of the libraries that were found, from the folder that all lies in.
    fn libraries(&self) -> String {
        let libraries = self.found().unwrap().unwrap().libraries;
        let inside = libraries.strip_prefix(self.folder.path()).unwrap();
        inside.display().to_string()
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A torch among the packages of this folder.
fn torch(packages: &Path, version: &str) {
    let text = format!(
        "from typing import Optional\n__all__ = ['__version__']\n__version__ = '{version}'\n"
    );
    write(&packages.join("torch/version.py"), &text);
    write(&packages.join("torch/lib/libtorch_cpu.so"), "");
}

#[test]
fn a_torch_beside_it_is_taken_wherever_the_environment_lies() {
    for packages in [
        PACKAGES,
        "local/lib/python3.11/dist-packages",
        "lib/python3/dist-packages",
        ".",
    ] {
        let mut environment = Environment::new(packages);
        torch(&environment.prefix.join(packages), "2.11.0+cu130");
        environment.write("pyvenv.cfg", "home = /nowhere/bin\n");
        let moved = environment.folder.path().join("moved");
        fs::rename(&environment.prefix, &moved).unwrap();
        environment.prefix = moved.clone();
        let found = environment.found().unwrap().unwrap();
        assert_eq!(found.program, moved.join(packages).join(FULL));
        assert_eq!(found.libraries, moved.join(packages).join("torch/lib"));
    }
}

#[test]
fn a_torch_of_another_version_or_none_is_one_sentence() {
    let environment = Environment::new(PACKAGES);
    environment.write("pyvenv.cfg", "home = /nowhere/bin\n");
    let missing = environment.found().unwrap_err();
    assert!(
        missing.contains("there is no torch in this environment"),
        "{missing}"
    );
    for other in ["2.12.0", "2.1.1", "2.110.0", "3.0"] {
        torch(&environment.prefix.join(PACKAGES), other);
        let said = environment.found().unwrap_err();
        assert!(said.contains(&format!("this is torch {other}, ")), "{said}");
        assert!(said.contains("pip install 'torch==2.11.*'"), "{said}");
        assert_eq!(said.lines().count(), 1);
    }
}

#[test]
fn an_environment_that_sees_its_base_takes_the_torch_there() {
    let environment = Environment::new(PACKAGES);
    let base = environment.folder.path().join("base");
    torch(&base.join(PACKAGES), "2.11.0");
    // Another Python's packages are not importable here.
    torch(&base.join("lib/python3.13/site-packages"), "2.11.1");
    let home = base.join("bin").display().to_string();
    environment.write(
        "pyvenv.cfg",
        &format!("home = {home}\ninclude-system-site-packages = false\n"),
    );
    assert!(environment.found().is_err());
    environment.write(
        "pyvenv.cfg",
        &format!("home = {home}\ninclude-system-site-packages = true\n"),
    );
    assert_eq!(
        environment.libraries(),
        format!("base/{PACKAGES}/torch/lib")
    );
}

#[test]
fn the_users_own_packages_are_seen_from_outside_a_virtual_environment_alone() {
    let environment = Environment::new(PACKAGES);
    torch(&environment.home().join(".local").join(PACKAGES), "2.11.0");
    assert_eq!(
        environment.libraries(),
        format!("home/.local/{PACKAGES}/torch/lib")
    );
    environment.write("pyvenv.cfg", "home = /nowhere/bin\n");
    assert!(environment.found().is_err());
}

#[test]
fn of_two_pythons_the_one_with_the_right_torch_is_taken() {
    let environment = Environment::new(PACKAGES);
    environment.write("pyvenv.cfg", "home = /nowhere/bin\n");
    environment.write(&format!("lib/python3.13/site-packages/{FULL}"), "");
    torch(&environment.prefix.join(PACKAGES), "2.11.0");
    assert_eq!(environment.libraries(), format!("env/{PACKAGES}/torch/lib"));
}

#[test]
fn a_program_that_was_built_alone_has_no_other() {
    let environment = Environment::new(PACKAGES);
    fs::remove_file(environment.prefix.join(PACKAGES).join(FULL)).unwrap();
    assert_eq!(environment.found(), Ok(None));
}
