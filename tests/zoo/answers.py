"""Prunes networks that give no class scores: segmentation, detection, restoration, embeddings, towers. No label is given.

    python answers.py --ckaprune target/release/ckaprune [NAME...]

Every removable block has to be scored, by a number below 1, since each of them is on a path to the answer. Then one block is
removed, repaired, and tuned by imitation for an epoch; the file that is written gives outputs of the same shapes in PyTorch.
Exit code 1 if anything is amiss.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import exports
import models

IMAGES = 48


def ckaprune(program: Path, *arguments) -> dict:
    done = subprocess.run([program, *map(str, arguments), "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))}\n{done.stderr}")
    return json.loads(done.stdout)


def check(name: str, program: Path, folder: Path) -> bool:
    entry = models.ENTRIES[name]
    archive, pruned, data = folder / f"{name}.pt", folder / f"{name}.pruned.pt", folder / "images.npz"
    exports.save(entry.build(), "traced" if name == "own_detector" else "scripted", entry.input(1), archive)
    pixels = np.random.default_rng(7).integers(0, 256, (IMAGES, entry.side, entry.side, 3), dtype=np.uint8)
    np.savez(data, images=pixels)
    options = ["--model", archive, "--data", data, "--device", "cpu"]
    scored = ckaprune(program, "score", *options, "--min-blocks-per-stage", 0)
    removable = [block for block in scored["blocks"] if block["removable"]]
    unseen = [block["path"] for block in removable if not block.get("cka", 1) < 1]
    run = ckaprune(program, "prune", *options, "--iterations", 1, "--epochs", 1, "--lr", 1e-4, "--output", pruned, "--force")
    shapes = [[t.shape for t in exports.run_archive(file, entry.input(2))] for file in (archive, pruned)]
    repairs = {step["step"]: step for step in run["iterations"][0]["repairs"]}
    told = " → ".join(f"{-repairs[step][when]['closeness']:.4f}" for step, when in
                      [("refit", "before"), ("refit", "after"), ("distillation", "after")] if step in repairs)
    print(f"| {name} | {len(removable)} | {scored.get('places', 1)} | {run['removed'][0]} | {told} |")
    return not unseen and shapes[0] == shapes[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckaprune", type=Path, required=True)
    parser.add_argument("names", nargs="*", default=models.OTHER_ANSWERS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | removable | places | removed | distance from the unpruned one: removed → repaired → tuned |")
    print("|---|---:|---:|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        failed = [name for name in options.names if not check(name, options.ckaprune.resolve(), Path(folder))]
    print(f"failed: {', '.join(failed)}" if failed else "all scored, pruned and run")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
