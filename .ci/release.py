#!/usr/bin/env python3
"""Puts all files of a release into target/release-files.

    python3 .ci/release.py        (what `make release` runs, after `make wheel`)

The wheel; an archive with both programs, completions, manual pages and licences, to be unpacked over an environment with
torch 2.11; the licences of all that is linked; a bill of materials (CycloneDX); and the checksums of these.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
FILES = TARGET / "release-files"
CARGO = os.environ.get("CARGO", "cargo")
CYCLONEDX = "0.5.7"

SHELLS = {
    "bash": "share/bash-completion/completions/ckaprune",
    "zsh": "share/zsh/site-functions/_ckaprune",
    "fish": "share/fish/vendor_completions.d/ckaprune.fish",
}


class Failure(Exception):
    """What went wrong and what to do about it, for the person at the terminal."""


def main():
    [wheel] = list((TARGET / "wheel" / "dist").glob("*.whl")) or [None]
    if wheel is None:
        raise Failure("there is no wheel in target/wheel/dist; `make wheel` makes it")
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir(parents=True)
    shutil.copy2(wheel, FILES)
    packages = linked()
    licences = FILES / "LICENCES-OF-WHAT-IS-LINKED.txt"
    licences.write_text(texts_of(packages))
    archive(wheel.name.removesuffix(".whl"), licences)
    bill_of_materials()
    sums = [f"{sha256(file)}  {file.name}\n" for file in sorted(FILES.iterdir())]
    (FILES / "SHA256SUMS").write_text("".join(sums))
    for file in sorted(FILES.iterdir()):
        print(f"{file.stat().st_size:>12,}  {file}")


def linked():
    """The crates that are in the programs, with their metadata: no tools of the build, no tests."""
    words = [CARGO, "metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(output(words))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    seen, left = set(), [metadata["resolve"]["root"]]
    while left:
        node = nodes[left.pop()]
        if node["id"] in seen:
            continue
        seen.add(node["id"])
        for dependency in node["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                left.append(dependency["pkg"])
    found = [packages[name] for name in seen - {metadata["resolve"]["root"]}]
    return sorted(found, key=lambda package: (package["name"], package["version"]))


def texts_of(packages):
    """What each crate says of its licence, and the texts that it brings."""
    parts = []
    for package in packages:
        folder = Path(package["manifest_path"]).parent
        named = [folder / package["license_file"]] if package["license_file"] else []
        names = ("LICEN", "COPYING", "NOTICE", "UNLICENSE")
        lying = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name.upper().startswith(names)]
        texts = [file.read_text(errors="replace").strip() for file in dict.fromkeys(named + lying)]
        head = f"{package['name']} {package['version']} ({package['license'] or 'see below'})"
        parts.append("\n\n".join([head + "\n" + "=" * len(head), *texts]))
    return "\n\n\n".join(parts) + "\n"


def archive(name, licences):
    """Both programs where they find each other, and what shells and manuals want."""
    folder = FILES / "staged"
    light = TARGET / "wheel" / "cargo" / "release" / "ckaprune"
    for source, place in [
        (light, "bin/ckaprune"),
        (TARGET / "wheel" / "data" / "platlib" / "ckaprune" / "ckaprune", "ckaprune/ckaprune"),
        (ROOT / "LICENSE", "share/doc/ckaprune/LICENSE"),
        (ROOT / "README.md", "share/doc/ckaprune/README.md"),
        (licences, f"share/doc/ckaprune/{licences.name}"),
    ]:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, folder / place)
    for shell, place in SHELLS.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(output([light, "completions", shell]))
    pages = folder / "share" / "man" / "pages"
    output([light, "man", "--output", pages])
    for page in pages.iterdir():
        section = pages.with_name(f"man{page.suffix[1:]}")
        section.mkdir(exist_ok=True)
        page.rename(section / page.name)
    pages.rmdir()
    with tarfile.open(FILES / f"{name}.tar.gz", "w:gz") as tar:
        tar.add(folder, arcname=".")
    shutil.rmtree(folder)


def bill_of_materials():
    """CycloneDX of the whole program, by cargo-cyclonedx, which is installed below target once."""
    tools = TARGET / "tools"
    tool = tools / "bin" / "cargo-cyclonedx"
    if not tool.is_file():
        output([CARGO, "install", "--quiet", "--locked", "--root", tools, f"cargo-cyclonedx@{CYCLONEDX}"])
    name = "ckaprune.cdx"
    words = [tool, "cyclonedx", "--format", "json", "--target", "x86_64-unknown-linux-gnu", "--override-filename", name]
    output(words)
    # The tool writes beside Cargo.toml, and has no option for another place.
    shutil.move(ROOT / f"{name}.json", FILES / f"{name}.json")


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def output(words):
    words = [str(word) for word in words]
    ended = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if ended.returncode != 0:
        raise Failure(f"this failed: {' '.join(words)}")
    return ended.stdout


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError) as failure:
        sys.exit(f"release: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
