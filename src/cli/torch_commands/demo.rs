//! `ckaprune demo`: a whole run on a network and images that the program carries.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cli::commands::Outcome;
use crate::cli::options::with_config;
use crate::cli::{Cli, Demo};
use crate::run::export::write_whole;

/// Files of `configs/demo`, by their names in the demo's folder.
const FILES: [(&str, &[u8]); 6] = [
    ("model.pt", include_bytes!("../../../configs/demo/model.pt")),
    (
        "demo.json",
        include_bytes!("../../../configs/demo/demo.json"),
    ),
    (
        "fashion-mnist/train-images-idx3-ubyte.gz",
        include_bytes!("../../../configs/demo/fashion-mnist/train-images-idx3-ubyte.gz"),
    ),
    (
        "fashion-mnist/train-labels-idx1-ubyte.gz",
        include_bytes!("../../../configs/demo/fashion-mnist/train-labels-idx1-ubyte.gz"),
    ),
    (
        "fashion-mnist/t10k-images-idx3-ubyte.gz",
        include_bytes!("../../../configs/demo/fashion-mnist/t10k-images-idx3-ubyte.gz"),
    ),
    (
        "fashion-mnist/t10k-labels-idx1-ubyte.gz",
        include_bytes!("../../../configs/demo/fashion-mnist/t10k-labels-idx1-ubyte.gz"),
    ),
];

pub(super) fn run(options: &Demo) -> Result<Outcome> {
    let folder = options.output.as_path();
    unpack(folder, options.force)?;
    let outcome = prune(options)?;
    if outcome == Outcome::Done {
        options.messages.progress().note(next(folder));
    }
    Ok(outcome)
}

fn unpack(folder: &Path, force: bool) -> Result<()> {
    let shown = folder.display();
    if folder.exists() && !force {
        bail!(
            "{shown}: exists already; name another folder with --output, or write into it with --force"
        );
    }
    for (name, bytes) in FILES {
        let path = folder.join(name);
        let around = path.parent().unwrap_or(folder);
        fs::create_dir_all(around).with_context(|| format!("{shown}: cannot be made"))?;
        write_whole(&path, bytes, force)?;
    }
    Ok(())
}

/// Runs `ckaprune prune` on the files as anybody would.
fn prune(options: &Demo) -> Result<Outcome> {
    let folder = options.output.as_path();
    let file = |option: &str, name: &str| [option.into(), folder.join(name).into_os_string()];
    let mut line: Vec<OsString> = vec!["ckaprune".into(), "prune".into()];
    line.extend(file("--config", "demo.json"));
    line.extend(file("--output", "pruned.pt"));
    line.extend(file("--report", "report.html"));
    line.push("--force".into());
    if let Some(threads) = options.threads {
        line.extend(["--threads".into(), threads.to_string().into()]);
    }
    let messages = options.messages;
    for (option, is_given) in [
        ("--quiet", messages.quiet),
        ("--json", messages.json),
        ("--verbose", messages.verbose),
    ] {
        line.extend(is_given.then(|| option.into()));
    }
    Cli::read(&line, with_config(line.clone())?).run()
}

/// What to try with the demo's files, and then with others.
fn next(folder: &Path) -> String {
    let shown = folder.display();
    format!(
        "\nWhat to try next:\n  \
         a browser on {shown}/report.html                  what was removed and why, step by step\n  \
         ckaprune inspect --model {shown}/pruned.pt        what is left\n  \
         ckaprune compare {shown}/model.pt {shown}/pruned.pt --data {shown}/fashion-mnist --mean 0.286 --std 0.353\n  \
         ckaprune prune --model YOURS.pt --iterations 2 --data IMAGES/"
    )
}
