#!/usr/bin/env python3
"""Gives this checkout a libtorch: finds or installs one and tells cargo where it lies.

    python3 .ci/libtorch.py [--cuda]        (what `make libtorch` and `make libtorch CUDA=1` run)

It is, in this order: the one that `LIBTORCH` in the environment names; the torch of the active Python, if its version is
the right one; the one inside PyTorch's wheel on PyPI, unpacked once per user into
${CKAPRUNE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/ckaprune}. Nothing is installed into Python. With --cuda the wheel's CUDA
libraries are unpacked as well; once they are there, they are used. Cargo learns the place from the git-ignored
`.cargo/config.toml`, so that plain `cargo build` and editors work as well.
"""

import base64
import csv
import fcntl
import hashlib
import importlib.util
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

# What the CUDA half of this release is linked against beside those, in the versions that the wheel asks for.
CUDA_REQUIREMENTS = """\
nvidia-cublas==13.1.0.3 --hash=sha256:ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171
nvidia-cuda-nvrtc==13.0.88 --hash=sha256:ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575
nvidia-cudnn-cu13==9.19.0.56 --hash=sha256:d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf
nvidia-cufft==12.0.0.61 --hash=sha256:6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3
nvidia-cufile==1.15.1.6 --hash=sha256:08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44
nvidia-curand==10.4.0.35 --hash=sha256:1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc
nvidia-cusolver==12.0.4.66 --hash=sha256:0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112
nvidia-cusparse==12.6.3.3 --hash=sha256:2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b
nvidia-cusparselt-cu13==0.8.0 --hash=sha256:25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd
nvidia-nccl-cu13==2.28.9 --hash=sha256:e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42
nvidia-nvjitlink==13.0.88 --hash=sha256:13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b
nvidia-nvshmem-cu13==3.4.5 --hash=sha256:290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80
nvidia-nvtx==13.0.85 --hash=sha256:4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4
"""

# pip's choice of wheels must not depend on the Python that happens to run it.
PIP_DOWNLOAD = """
    download --no-deps --no-cache-dir --only-binary=:all: --require-hashes
    --python-version 3.12 --implementation cp --abi cp312 --abi none
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64
    --platform manylinux_2_18_x86_64 --platform manylinux2014_x86_64 --platform manylinux2010_x86_64
    --platform manylinux1_x86_64
""".split()
MINIMUM_GLIBC = (2, 28)

# A C++ program needs the libraries, the headers and the licences: not the Python code, nor its own libraries.
KEPT = re.compile(
    r"torch/include/"
    r"|torch/lib/(?!libtorch_python|libshm)"
    r"|nvidia/[^/]+/lib/lib(cudart|cupti)\."
    r"|[^/]+\.dist-info/licenses/"
)
KEPT_CUDA = re.compile(KEPT.pattern + r"|nvidia/[^/]+/lib/.*\.so")
RECORD = re.compile(r"[^/]+\.dist-info/RECORD")

CARGO_CONFIG = Path(__file__).resolve().parent.parent / ".cargo" / "config.toml"
CARGO_CONFIG_MARK = "# Written by .ci/libtorch.py (`make libtorch`)"

OWN_LIBTORCH = (
    f"Or run this again with a Python that has torch=={VERSION}, or with LIBTORCH naming a libtorch {VERSION} that you have."
)


class Failure(Exception):
    """What went wrong and what to do about it, for the person at the terminal."""


class Installation:
    """A libtorch in the cache: for a CPU, or with all that its CUDA half needs."""

    def __init__(self, cuda):
        self.folder = cache_folder() / (f"libtorch-{VERSION}-cuda" if cuda else f"libtorch-{VERSION}")
        self.requirements = REQUIREMENTS + (CUDA_REQUIREMENTS if cuda else "")
        self.kept = KEPT_CUDA if cuda else KEPT
        self.size = "2.5 GB" if cuda else "550 MB"


def main():
    libtorch, whose = find_or_install(cuda="--cuda" in sys.argv[1:])
    tell_cargo(libtorch)
    print(f"libtorch {VERSION}: {libtorch}{whose}")


def find_or_install(cuda):
    """The folder of libtorch, and whose it is where it is not the one in the cache."""
    named = os.environ.get("LIBTORCH")
    if named:
        libtorch = Path(named).absolute()
        check_named(libtorch)
        return libtorch, " (named by LIBTORCH)"
    plain, whole = (Installation(cuda) for cuda in (False, True))
    # Whoever fetched the CUDA libraries wants them in every build.
    wanted = whole if cuda or whole.folder.is_dir() else plain
    active = torch_of_python()
    if active and not cuda:
        return active, f" (the torch of {sys.executable})"
    install_once(wanted)
    return wanted.folder / "torch", ""


def torch_of_python():
    """The folder of the active Python's torch, if it can be built against; found without importing it."""
    spec = importlib.util.find_spec("torch")
    folders = (spec and spec.submodule_search_locations) or []
    for folder in map(Path, folders):
        if (folder / "lib" / "libtorch_cpu.so").is_file() and version_of(folder) == VERSION:
            return folder
    return None


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
    found = version_of(libtorch)
    if found != VERSION:
        raise Failure(
            f"{place}: this is version {found or 'unknown'}, ckaprune needs {VERSION}.\n"
            f"Name a libtorch {VERSION} folder, or unset LIBTORCH."
        )


def version_of(libtorch):
    """The version that the headers of a libtorch tell; empty if there are none."""
    header = libtorch / "include" / "torch" / "headeronly" / "version.h"
    text = header.read_text() if header.is_file() else ""
    numbers = [re.search(rf"define TORCH_VERSION_{part} (\d+)", text) for part in ("MAJOR", "MINOR", "PATCH")]
    return ".".join(number[1] for number in numbers if number)


def install_once(wanted):
    """Makes the folder a complete libtorch. One run at a time works on it; the others wait, then find it done."""
    folder = wanted.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(folder.name + ".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is installing {folder}: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if damage(wanted, folder):
            install(wanted, lock)


def install(wanted, lock):
    """Builds the folder under another name and renames it when it is checked: it is there whole or not at all."""
    check_platform()
    folder = wanted.folder
    partial = folder.with_name(folder.name + ".partial")
    for leftover in (partial, folder):
        if leftover.exists():
            print(f"removing {leftover}: {damage(wanted, leftover) or 'left by an interrupted run'}", flush=True)
            shutil.rmtree(leftover)
    wheels = partial / "wheels"
    wheels.mkdir(parents=True)
    download(wanted, wheels, lock)
    print("unpacking", flush=True)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial, [n for n in archive.namelist() if wanted.kept.match(n) or RECORD.fullmatch(n)])
    shutil.rmtree(wheels)
    # torch-sys compares this file, which only the zip of libtorch has, with the version it was written for.
    (partial / "torch" / "build-version").write_text(VERSION + "\n")
    found = damage(wanted, partial, hashes=True)
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


def download(wanted, wheels, lock):
    """Fetches the wheels with pip, which compares each with its hash and shares the lock until it ends."""
    pip = [sys.executable, "-m", "pip"]
    # Run in an empty folder: Python's `-m` would otherwise prefer modules of the current one.
    if subprocess.run([*pip, "--version"], cwd=wheels, capture_output=True).returncode != 0:
        raise Failure(
            f"{sys.executable} has no pip, which fetches libtorch. Install it "
            "(Debian, Ubuntu: apt install python3-pip), and run this again.\n" + OWN_LIBTORCH
        )
    requirements = wheels / "requirements.txt"
    requirements.write_text(wanted.requirements)
    print(f"downloading libtorch {VERSION} ({wanted.size}) from PyPI", flush=True)
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


def damage(wanted, folder, hashes=False):
    """Compares the installed files with the wheels' own lists: what is wrong, or None.

    Sizes are compared always, which takes a fraction of a second, contents only when `hashes` is set.
    """
    if not folder.is_dir():
        return "it is not there"
    records = list(folder.glob("*.dist-info/RECORD"))
    if len(records) != len(wanted.requirements.splitlines()):
        return "it is incomplete"
    if not (folder / "torch" / "build-version").is_file():
        return "torch/build-version is missing"
    for record in records:
        with open(record, newline="") as lines:
            for name, digest, size in csv.reader(lines):
                if not wanted.kept.match(name):
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
