//! A small disk of its own for a test, which can be full.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use crate::place::Place;

/// Set where this program runs in a namespace of its own, in which it may mount.
const INSIDE: &str = "CKAPRUNE_TEST_MOUNTS";
/// Enough for what a test writes.
const SIZE: &str = "16m";
const PAGE: usize = 4096;
const FILLER: &str = "filler";

/// A file system in the memory, mounted at `disk` in a place, until it is dropped.
pub struct Disk {
    folder: PathBuf,
}

/// Runs a test with a disk in `place`; `name` is the test's own, with its module. Where nothing can be mounted, says so
/// and passes.
pub fn with_disk(name: &str, place: &Place, test: impl FnOnce(&Disk)) {
    let folder = place.path("disk");
    fs::create_dir(&folder).unwrap();
    let mounted = succeeds(
        Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={SIZE}"),
                "ckaprune-test",
            ])
            .arg(&folder),
    );
    if mounted {
        return test(&Disk { folder });
    }
    let in_namespace = std::env::var_os(INSIDE).is_some();
    if in_namespace || !succeeds(Command::new("unshare").args(["-rm", "true"])) {
        eprintln!(
            "{name}: skipped, because no file system can be mounted here (neither by this user nor in a namespace \
             of `unshare -rm`)"
        );
        return;
    }
    let again = Command::new("unshare")
        .arg("-rm")
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let told = [again.stdout, again.stderr].concat();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&told));
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

impl Disk {
    /// Leaves so many bytes free, in whole pages.
    pub fn leave(&self, bytes: usize) {
        self.clear();
        let filler = self.folder.join(FILLER);
        let mut file = File::create(&filler).unwrap();
        let page = [0u8; PAGE];
        let mut pages = 0;
        while file.write_all(&page).is_ok() {
            pages += 1;
        }
        drop(file);
        let kept = (pages * PAGE).saturating_sub(bytes.next_multiple_of(PAGE));
        let file = OpenOptions::new().write(true).open(&filler).unwrap();
        file.set_len(kept as u64).unwrap();
    }

    /// Makes room again.
    pub fn clear(&self) {
        let _ = fs::remove_file(self.folder.join(FILLER));
    }

    /// Lets nothing be written any more.
    pub fn make_read_only(&self) {
        let remounted = succeeds(
            Command::new("mount")
                .args(["-o", "remount,ro"])
                .arg(&self.folder),
        );
        assert!(remounted, "{} stays writable", self.folder.display());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whatever still looks at it, nothing stays mounted.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
