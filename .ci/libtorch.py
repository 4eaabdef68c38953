#!/usr/bin/env python3
"""Gives this checkout a libtorch: finds or installs one and tells cargo where it lies.

    python3 .ci/libtorch.py        (what `make libtorch` runs)

The library is the one inside PyTorch's wheel on PyPI, unpacked once per user into
${CKAPRUNE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/ckaprune}; nothing is installed into Python. Cargo learns the
place from the git-ignored `.cargo/config.toml`, so that plain `cargo build` and editors work as well.
A `LIBTORCH` in the environment that names another libtorch of the same version is used instead.
"""

import base64
import csv
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

# The release that tch 0.24 (Cargo.toml) speaks; its C++ interface differs between releases.
VERSION = "2.11.0"

# libtorch_cpu of this release is linked against the CUDA 13.0 runtime and its profiler interface, so it needs
# these two even where no GPU exists. The versions are the ones that the torch wheel itself asks for.
REQUIREMENTS = """\
torch==2.11.0 --hash=sha256:0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756
nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
"""

# pip's choice of wheels must not depend on the Python that happens to run it.
PIP_DOWNLOAD = """
    download --no-deps --no-cache-dir --only-binary=:all: --require-hashes
    --python-version 3.12 --implementation cp --abi cp312 --abi none
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64
""".split()
MINIMUM_GLIBC = (2, 28)

# A C++ program needs the libraries, the headers and the licences: not the Python code, nor its own libraries.
KEPT = re.compile(
    r"torch/include/"
    r"|torch/lib/(?!libtorch_python|libshm)"
    r"|nvidia/[^/]+/lib/lib(cudart|cupti)\."
    r"|[^/]+\.dist-info/licenses/"
)
RECORD = re.compile(r"[^/]+\.dist-info/RECORD")

CARGO_CONFIG = Path(__file__).resolve().parent.parent / ".cargo" / "config.toml"
CARGO_CONFIG_MARK = "# Written by .ci/libtorch.py (`make libtorch`)"

OWN_LIBTORCH = (
    f"Or point LIBTORCH at a libtorch {VERSION} that you have, for example at the folder that\n"
    "  python3 -c 'import torch; print(torch.__path__[0])'\n"
    f"prints where torch=={VERSION} is installed, and run this again."
)


class Failure(Exception):
    """What went wrong and what to do about it, for the person at the terminal."""


def main():
    named = os.environ.get("LIBTORCH")
    libtorch = Path(named).absolute() if named else cache_folder() / f"libtorch-{VERSION}" / "torch"
    if named:
        check_named(libtorch)
    else:
        install_once(libtorch.parent)
    tell_cargo(libtorch)
    print(f"libtorch {VERSION}: {libtorch}")


def cache_folder():
    named = os.environ.get("CKAPRUNE_CACHE")
    if named:
        return Path(named).absolute()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches).absolute() if caches else Path.home() / ".cache") / "ckaprune"


def check_named(libtorch):
    """Accepts a libtorch that the user chose, or says why it cannot be built against."""
    place = f"LIBTORCH={libtorch}"
    if not any((libtorch / "lib" / name).is_file() for name in ("libtorch_cpu.so", "libtorch_cpu.dylib")):
        raise Failure(f"{place}: no lib/libtorch_cpu there. Name a libtorch {VERSION} folder, or unset LIBTORCH.")
    header = libtorch / "include" / "torch" / "headeronly" / "version.h"
    text = header.read_text() if header.is_file() else ""
    numbers = [re.search(rf"define TORCH_VERSION_{part} (\d+)", text) for part in ("MAJOR", "MINOR", "PATCH")]
    found = ".".join(number[1] for number in numbers if number)
    if found != VERSION:
        raise Failure(
            f"{place}: this is version {found or 'unknown'}, ckaprune needs {VERSION}.\n"
            f"Name a libtorch {VERSION} folder, or unset LIBTORCH."
        )


def install_once(folder):
    """Makes `folder` a complete libtorch. One run at a time works on it; the others wait, then find it done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(folder.name + ".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is installing {folder}: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if damage(folder):
            install(folder, lock)


def install(folder, lock):
    """Builds `folder` under another name and renames it when it is checked: it is there whole or not at all."""
    check_platform()
    partial = folder.with_name(folder.name + ".partial")
    for leftover in (partial, folder):
        if leftover.exists():
            print(f"removing {leftover}: {damage(leftover) or 'left by an interrupted run'}", flush=True)
            shutil.rmtree(leftover)
    wheels = partial / "wheels"
    wheels.mkdir(parents=True)
    download(wheels, lock)
    print("unpacking", flush=True)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial, [n for n in archive.namelist() if KEPT.match(n) or RECORD.fullmatch(n)])
    shutil.rmtree(wheels)
    # torch-sys compares this file, which only the zip of libtorch has, with the version it was written for.
    (partial / "torch" / "build-version").write_text(VERSION + "\n")
    found = damage(partial, hashes=True)
    if found:
        raise Failure(f"the unpacked libtorch is damaged: {found}. Run this again; if it stays so, check the disk.")
    partial.rename(folder)


def check_platform():
    system, machine = platform.system(), platform.machine()
    libc, libc_version = platform.libc_ver()
    glibc = tuple(int(n) for n in libc_version.split(".")[:2]) if libc == "glibc" else (0, 0)
    if (system, machine) != ("Linux", "x86_64") or glibc < MINIMUM_GLIBC:
        here = " ".join(filter(None, (system, machine, libc, libc_version)))
        raise Failure(
            f"libtorch is fetched for Linux on x86_64 with glibc 2.28 or newer only; this is {here}.\n" + OWN_LIBTORCH
        )


def download(wheels, lock):
    """Fetches the wheels with pip, which compares each with its hash and shares the lock until it ends."""
    pip = [sys.executable, "-m", "pip"]
    # Run in an empty folder: Python's `-m` would otherwise prefer modules of the current one.
    if subprocess.run([*pip, "--version"], cwd=wheels, capture_output=True).returncode != 0:
        raise Failure(
            f"{sys.executable} has no pip, which fetches libtorch. Install it "
            "(Debian, Ubuntu: apt install python3-pip), and run this again.\n" + OWN_LIBTORCH
        )
    requirements = wheels / "requirements.txt"
    requirements.write_text(REQUIREMENTS)
    print(f"downloading libtorch {VERSION} (550 MB) from PyPI", flush=True)
    pip_run = subprocess.run(
        [*pip, *PIP_DOWNLOAD, "--dest", str(wheels), "--requirement", str(requirements)],
        cwd=wheels,
        # pip's own temporary files: here they are swept up after a kill, and /tmp may be small.
        env={**os.environ, "TMPDIR": str(wheels)},
        # A pip that outlives a killed run still writes here, so it keeps the next run waiting.
        pass_fds=[lock.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    )
    if pip_run.returncode != 0:
        said = [line for line in pip_run.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said[-1:]
        raise Failure(
            "pip could not download libtorch. It said:\n  " + "\n  ".join(errors) + "\n"
            "Check the network (or pip's index and proxy settings) and run this again.\n" + OWN_LIBTORCH
        )


def damage(folder, hashes=False):
    """Compares the installed files with the wheels' own lists: what is wrong, or None.

    Sizes are compared always, which takes a fraction of a second, contents only when `hashes` is set.
    """
    if not folder.is_dir():
        return "it is not there"
    records = list(folder.glob("*.dist-info/RECORD"))
    if len(records) != len(REQUIREMENTS.splitlines()):
        return "it is incomplete"
    if not (folder / "torch" / "build-version").is_file():
        return "torch/build-version is missing"
    for record in records:
        with open(record, newline="") as lines:
            for name, digest, size in csv.reader(lines):
                if not KEPT.match(name):
                    continue
                file = folder / name
                if not file.is_file():
                    return f"{name} is missing"
                if file.stat().st_size != int(size):
                    return f"{name} has not the size it should have"
                if hashes and sha256(file) != digest:
                    return f"{name} has not the contents it should have"
    return None


def sha256(file):
    """The hash of a file, written as RECORD files do."""
    digest = hashlib.sha256()
    with open(file, "rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return "sha256=" + base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


def tell_cargo(libtorch):
    """Writes the place into `.cargo/config.toml`, unless that file is somebody else's."""
    line = f"LIBTORCH = {{ value = {json.dumps(str(libtorch), ensure_ascii=False)}, force = false }}"
    text = (
        f"{CARGO_CONFIG_MARK}, which writes it anew when libtorch moves.\n"
        "# A LIBTORCH in the environment wins. To keep a file of your own here, remove the first line.\n"
        f"\n[env]\n{line}\n"
    )
    present = CARGO_CONFIG.read_text() if CARGO_CONFIG.is_file() else None
    if present == text:
        return
    if present is not None and not present.startswith(CARGO_CONFIG_MARK):
        if "LIBTORCH" not in present and "LIBTORCH" not in os.environ:
            raise Failure(f"{CARGO_CONFIG} is not from this script and stays as it is. Add under its [env]:\n  {line}")
        return
    CARGO_CONFIG.parent.mkdir(exist_ok=True)
    draft = CARGO_CONFIG.with_name(f"config.toml.{os.getpid()}")
    draft.write_text(text)
    draft.replace(CARGO_CONFIG)


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError) as failure:
        sys.exit(f"libtorch: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
