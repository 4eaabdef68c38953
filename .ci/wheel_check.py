#!/usr/bin/env python3
"""Tries the wheel as its users would.

    python3 .ci/wheel_check.py --wheel WHEEL --model MODEL --prune "OPTIONS" ENVIRONMENT...

Each ENVIRONMENT is a virtual environment with torch 2.11 in it. The wheel is installed there by its pip, and its
commands run with nothing set: no LIBTORCH, no cache, no folder of this repository. Then the environment is moved to
another folder, and all is tried again; it is moved back at the end. OPTIONS are those of `prune`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--prune", default="", help="options of prune beside --model and --output")
    parser.add_argument("environments", type=Path, nargs="+")
    options = parser.parse_args()
    for environment in options.environments:
        check(environment.absolute(), options)
    print("all as it should be")


def check(environment, options):
    run([environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall",
         options.wheel])
    requires = run([environment / "bin" / "python", "-m", "pip", "check"], may_fail=True).stdout
    print(f"{environment}: {requires.strip()}")
    commands(environment, options)
    without_torch(environment)
    moved = environment.with_name(environment.name + "-moved")
    environment.rename(moved)
    try:
        commands(moved, options)
    finally:
        moved.rename(environment)


def commands(environment, options):
    with tempfile.TemporaryDirectory() as folder:
        ckaprune = environment / "bin" / "ckaprune"
        for words in (["--help"], ["--version"], ["inspect", "--model", options.model], ["help", "data"]):
            timed(ckaprune, words, folder)
        output = Path(folder) / "pruned.pt"
        said = timed(ckaprune, ["prune", "--model", options.model, "--output", output, *options.prune.split()], folder)
        assert output.is_file(), said
        timed(ckaprune, ["inspect", "--model", output], folder)
        refused = run([ckaprune, "prune", "--model", "none.pt", "--iterations", "1"], folder, may_fail=True)
        assert refused.returncode == 2 and refused.stderr.startswith("error: none.pt: no such file"), refused


def without_torch(environment):
    """One sentence where torch is of another version, or missing."""
    [version] = environment.glob("lib/python3*/site-packages/torch/version.py")
    text = version.read_text()
    ckaprune = environment / "bin" / "ckaprune"
    command = [ckaprune, "prune", "--model", "none.pt", "--iterations", "1"]
    try:
        version.write_text("__version__ = '2.12.1+cu130'\n")
        told(run(command, may_fail=True), "this is torch 2.12.1+cu130")
        version.unlink()
        told(run(command, may_fail=True), "there is no torch in this environment")
    finally:
        version.write_text(text)


def told(ended, what):
    assert ended.returncode == 2 and ended.stdout == "", ended
    assert ended.stderr.startswith("error: ") and what in ended.stderr and ended.stderr.count("\n") == 1, ended
    print(f"  {ended.stderr.strip()}")


def timed(ckaprune, words, folder):
    begun = time.monotonic()
    ended = run([ckaprune, *words], folder)
    print(f"  {time.monotonic() - begun:7.3f} s  ckaprune {' '.join(str(word) for word in words)}")
    return ended.stdout + ended.stderr


def run(words, folder=None, may_fail=False):
    """Runs a command in the environment of somebody who has set nothing."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TERM") if name in os.environ}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**kept, "XDG_CACHE_HOME": cache, "CKAPRUNE_CACHE": cache}
        words = [str(word) for word in words]
        ended = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if ended.returncode != 0 and not may_fail:
        sys.exit(f"{' '.join(words)}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended


if __name__ == "__main__":
    main()
