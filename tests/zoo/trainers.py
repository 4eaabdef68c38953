"""Prunes by the trainer of configs/external in two processes (DDP on gloo), kills the run half way, and resumes it.

    python trainers.py --ckaprune target/release/ckaprune

Once SIGTERM ends ckaprune while its second training is under way, once SIGKILL, which no program can answer. Either way the
trainer's processes have to be gone soon, and the run that is resumed has to end with the bits and figures of one that was
left alone. Exit code 1 if anything is amiss.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import exports
import models

TRAINER = Path(__file__).parents[2] / "configs" / "external" / "train.py"
IMAGES = 512
# Seconds that the trainer's processes have to end.
PATIENCE = 60


def prepare(folder: Path) -> None:
    entry = models.ENTRIES["own_squeeze_excitation"]
    exports.save(entry.build(), "scripted", entry.input(1), folder / "network.pt")
    random = np.random.default_rng(0)
    labels = np.arange(IMAGES) % 10
    pixels = random.integers(0, 128, (IMAGES, entry.side, entry.side, 3)) + 12 * labels[:, None, None, None]
    np.savez(folder / "data.npz", x_train=pixels.astype(np.uint8), y_train=labels)


def command(program: Path, folder: Path, run: str) -> list:
    trainer = shlex.join([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(TRAINER)])
    trainer += f" --model {{model}} --output {{output}} --epochs {{epochs}} --data {shlex.quote(str(folder / 'data.npz'))}"
    line = f"prune --model network.pt --data data.npz --iterations 3 --epochs 2 --device cpu --threads 1 --json --quiet " \
           f"--min-blocks-per-stage 0 --run-dir {run} --output {run}.pt"
    return [program, *line.split(), "--tune-with", trainer]


def environment() -> dict:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def finished(words: list, folder: Path) -> dict:
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(map(str, words))}\n{done.stderr}")
    return json.loads(done.stdout)


def trainers(folder: Path) -> list:
    """The processes, ckaprune's own aside, that work in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if TRAINER.name in line and str(folder) in line:
            found.append(process.name)
    return found


def killed(words: list, folder: Path, run: str, by: signal.Signals) -> bool:
    """Ends ckaprune while its second training is at work; whether nothing of it is left soon."""
    process = subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = folder / run / "trainer.log"
    while not (log.exists() and log.read_text().count("epoch 1 of") == 2):
        if process.poll() is not None:
            raise SystemExit(f"{run}: ckaprune ended before it was killed")
        time.sleep(0.02)
    process.send_signal(by)
    process.wait()
    since = time.monotonic()
    while trainers(folder) and time.monotonic() - since < PATIENCE:
        time.sleep(0.2)
    return not trainers(folder)


def figures(report: dict) -> list:
    """What does not depend on the time that things took, nor on where they are written."""
    times = {"seconds", "images_per_second"}
    kept = [*report["iterations"], report["before"], report["after"]]
    return [{name: value for name, value in one.items() if name not in times} for one in kept]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckaprune", type=Path, required=True)
    program = parser.parse_args().ckaprune.resolve()
    failed = False
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        alone = finished(command(program, folder, "alone"), folder)
        print("| ended by | its trainer ended | the same bits | the same figures |")
        print("|---|---|---|---|")
        for by in (signal.SIGTERM, signal.SIGKILL):
            run = by.name.lower()
            words = command(program, folder, run)
            is_gone = killed(words, folder, run, by)
            resumed = finished([*words, "--resume"], folder)
            has_bits = (folder / "alone.pt").read_bytes() == (folder / f"{run}.pt").read_bytes()
            has_figures = figures(alone) == figures(resumed)
            print("|", " | ".join([by.name, *("yes" if so else "NO" for so in (is_gone, has_bits, has_figures))]), "|")
            failed |= not (is_gone and has_bits and has_figures)
    print("something is amiss" if failed else "each run ended as the one that was left alone")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
