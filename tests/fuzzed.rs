//! Runs the fuzz targets on the committed corpus and on every input that ever was a finding, without a fuzzer.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[track_caller]
fn replay(target: &str, run: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut count = 0;
    for folder in ["corpus", "findings"] {
        let Ok(files) = fs::read_dir(fuzz.join(folder).join(target)) else {
            continue;
        };
        for file in files {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let survived = catch_unwind(AssertUnwindSafe(|| run(&bytes))).is_ok();
            assert!(survived, "{}", path.display());
            count += 1;
        }
    }
    assert!(count > 0, "there is no corpus of {target}");
}

macro_rules! targets {
    ($($target:ident),*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), targets::$target);
        })*
    };
}

targets!(zip, pickle, parse, print, blocks, patch, exported, data);
