"""Compares ckaprune's training with a loop in eager PyTorch, side by side. README.md says what is measured.

    python training.py --ckaprune target/release/ckaprune [NETWORK:IMAGES...]
"""

import argparse
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Dict, List

import images
import program
from compare import HERE, announce, has_torch, ratio, rows_of

# Both use SGD with Nesterov momentum 0.9 and this batch: ckaprune's defaults.
BATCH = 128
CASES = ["resnet20:5120", "resnet56:2560"]
NETWORKS = ["resnet20", "resnet56"]
CLASSES = 10
# ckaprune measures before and after training; few, since the loop does not.
TEST_IMAGES = CLASSES
HEADER = [
    "case", "eager images/s", "ckaprune images/s", "ckaprune/eager", "loop/whole process", "whole process/whole process",
    "peak MiB eager, ckaprune", "last loss eager, ckaprune",
]


@dataclass(frozen=True)
class Case:
    network: str
    images: int

    @staticmethod
    def parse(text: str) -> "Case":
        network, _, count = text.partition(":")
        if network not in NETWORKS or not count.isdigit() or int(count) < BATCH or int(count) % BATCH:
            raise argparse.ArgumentTypeError(
                f"{text} is not NETWORK:IMAGES of {', '.join(NETWORKS)} and a multiple of {BATCH}")
        return Case(network, int(count))

    def __str__(self) -> str:
        return f"{self.network}, {self.images:,} × {images.CIFAR_SIDE}²"


@dataclass(frozen=True)
class Round:
    """One contestant's run."""

    wall: float
    peak_mib: float
    speed: float
    loss: float

    @staticmethod
    def of(run: program.Run, epochs: int) -> "Round":
        document = run.document()
        losses = document["train_losses"]
        if len(losses) != epochs or not all(map(math.isfinite, losses)):
            raise ValueError(f"the losses of {epochs} epochs are {losses}")
        return Round(run.wall, run.peak_mib, document["train_images_per_second"], losses[-1])


def measure(case: Case, options: argparse.Namespace, folder: Path) -> List[str]:
    archive, data = folder / f"{case.network}.pt", folder / "images.npz"
    side = images.CIFAR_SIDE
    program.run(sys.executable, HERE / "networks.py", case.network, side, archive)
    pixels = images.synthetic(case.images, side), images.synthetic(TEST_IMAGES, side, seed=1)
    images.write_labelled(data, *pixels, side, CLASSES)
    ckaprune = program.Ckaprune(options.ckaprune)
    mean, std = (",".join(map(str, values)) for values in (images.MEAN, images.STD))
    common = ["--epochs", str(options.epochs), "--threads", str(options.threads)]

    def eager() -> program.Run:
        size = ["--side", side, "--batch", BATCH]
        return program.run(sys.executable, HERE / "eager_training.py", case.network, archive, data, *size, *common)

    def ours() -> program.Run:
        given = ["--mean", mean, "--std", std, "--batch-size", str(BATCH), *common]
        return ckaprune.finetune(archive, data, folder / "tuned.pt", given)

    contestants = {"eager": eager, "ckaprune": ours}
    rounds: Dict[str, List[Round]] = {name: [] for name in contestants}
    for turn in range(options.rounds):
        # To and fro, so that a machine that slows down favours nobody.
        for name in list(contestants)[:: -1 if turn % 2 else 1]:
            found = Round.of(contestants[name](), options.epochs)
            rounds[name].append(found)
            announce(f"{case}, round {turn + 1}: {name} {found.speed:,.0f} images/s, whole process {found.wall:.2f} s")
    return row(case, options.epochs, rounds["eager"], rounds["ckaprune"])


def row(case: Case, epochs: int, eager: List[Round], ours: List[Round]) -> List[str]:
    def speeds(rounds: List[Round]) -> List[float]:
        return [r.speed for r in rounds]

    def walls(rounds: List[Round]) -> List[float]:
        return [r.wall for r in rounds]

    loops = [epochs * case.images / r.speed for r in eager]
    return [
        str(case), *(f"{median(speeds(rounds)):,.0f}" for rounds in (eager, ours)),
        ratio(speeds(ours), speeds(eager)), ratio(loops, walls(ours)), ratio(walls(eager), walls(ours)),
        ", ".join(f"{median(r.peak_mib for r in rounds):,.0f}" for rounds in (eager, ours)),
        ", ".join(f"{rounds[0].loss:.3f}" for rounds in (eager, ours)),
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", type=Case.parse, metavar="NETWORK:IMAGES",
                        help=f"[default: {' '.join(CASES)}]")
    parser.add_argument("--ckaprune", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="for both [default: one for each core]")
    options = parser.parse_args()
    if min(options.epochs, options.rounds, options.threads) < 1:
        parser.error("--epochs, --rounds and --threads are at least 1")
    options.ckaprune = options.ckaprune.resolve()
    options.cases = options.cases or [Case.parse(case) for case in CASES]
    return options


def main() -> int:
    options = parse()
    if not has_torch():
        return 0
    rows, failed = rows_of(options, measure)
    print(f"Training. Threads: {options.threads}. Rounds: {options.rounds}. Epochs: {options.epochs}. Batch: {BATCH}.\n")
    print(program.markdown(HEADER, rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
