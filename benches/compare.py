"""Compares ckaprune's scoring with a loop in eager PyTorch, side by side. README.md says what is measured.

    python compare.py --ckaprune target/release/ckaprune [NETWORK:IMAGES...]
"""

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, Optional, Tuple

import images
import program

HERE = Path(__file__).resolve().parent
# Above it the two did not compute the same thing. Other orders of float32 sums stay far below.
TOLERANCE = 1e-4
CASES = ["resnet56:1024", "resnet56:4096", "resnet50:64"]
HEADER = [
    "case", "blocks", "eager s", "exact s", "eager/exact", "scoring only", "race s", "eager/race", "scoring only",
    "peak MiB eager, exact, race", "largest CKA difference", "same ranking", "race: same pick",
]


@dataclass(frozen=True)
class Size:
    side: int
    # The usual batch at this side, for the eager loop.
    batch: int


SIZES = {"resnet20": Size(32, 128), "resnet56": Size(32, 128), "resnet50": Size(224, 32)}


@dataclass(frozen=True)
class Case:
    network: str
    images: int

    @staticmethod
    def parse(text: str) -> "Case":
        network, _, count = text.partition(":")
        # Of two images every CKA is 1.
        if network not in SIZES or not count.isdigit() or int(count) < 3:
            raise argparse.ArgumentTypeError(f"{text} is not NETWORK:IMAGES of {', '.join(SIZES)} and at least 3")
        return Case(network, int(count))

    @property
    def size(self) -> Size:
        return SIZES[self.network]

    def __str__(self) -> str:
        return f"{self.network}, {self.images:,} × {self.size.side}²"


@dataclass
class Times:
    """One contestant's rounds."""

    runs: List[program.Run] = field(default_factory=list)

    def seconds(self) -> List[Optional[float]]:
        """As the contestant itself measured them: the scoring alone."""
        return [run.document().get("seconds") for run in self.runs]

    def peak(self) -> str:
        return f"{median(run.peak_mib for run in self.runs):,.0f}" if self.runs else "-"


def announce(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def prepare(case: Case, options: argparse.Namespace, folder: Path) -> tuple:
    """Archive and images in `folder`, where no ckaprune.json lies beside them."""
    archive, data = folder / f"{case.network}.pt", folder / f"{case.network}-{case.images}.npz"
    if not archive.exists():
        if case.network in options.model:
            shutil.copy(options.model[case.network], archive)
        else:
            program.run(sys.executable, HERE / "networks.py", case.network, case.size.side, archive)
    real = options.data and case.size.side == images.CIFAR_SIDE
    pixels = images.cifar10(options.data, case.images) if real else images.synthetic(case.images, case.size.side)
    images.write(data, pixels, case.size.side)
    return archive, data


def measure(case: Case, options: argparse.Namespace, folder: Path) -> List[str]:
    archive, data = prepare(case, options, folder)
    ckaprune = program.Ckaprune(options.ckaprune)
    mean, std = (",".join(map(str, values)) for values in (images.MEAN, images.STD))
    given = ["--mean", mean, "--std", std, "--samples", "all", "--threads", str(options.threads)]
    given += ["--batch-size", str(options.batch_size)] if options.batch_size else []

    def eager() -> program.Run:
        size = ["--side", case.size.side, "--batch", case.size.batch, "--threads", options.threads]
        return program.run(sys.executable, HERE / "eager.py", case.network, archive, data, *size)

    contestants = {"eager": eager, "exact": lambda: ckaprune.score(archive, data, [], given)}
    if ckaprune.knows_race():
        contestants["exact"] = lambda: ckaprune.score(archive, data, ["--exact"], given)
        contestants["race"] = lambda: ckaprune.score(archive, data, ["--race"], given)
    times = {name: Times() for name in ("eager", "exact", "race")}
    for turn in range(options.rounds):
        # To and fro, so that a machine that slows down favours nobody.
        for name in list(contestants)[:: -1 if turn % 2 else 1]:
            run = contestants[name]()
            times[name].runs.append(run)
            counted = run.document()["samples"]
            if counted != case.images:
                raise ValueError(f"{name} scored on {counted} images, not on {case.images}")
            alone = text(run.document().get("seconds"))
            announce(f"{case}, round {turn + 1}: {name} {run.wall:.2f} s, scoring {alone} s")
    return row(case, times)


def row(case: Case, times: Dict[str, Times]) -> List[str]:
    eager, exact, race = times["eager"], times["exact"], times["race"]
    ours = {b["path"]: b["cka"] for b in program.scored(exact.runs[0].document())}
    theirs = eager.runs[0].document()["cka"]
    if ours.keys() != theirs.keys():
        raise ValueError(f"eager scored {', '.join(theirs)}, and ckaprune {', '.join(ours)}")
    apart = max(abs(ours[path] - theirs[path]) for path in ours)
    if apart > TOLERANCE:
        raise ValueError(f"CKA differs by {apart:.1e}, so the times are not of the same job")
    return [
        str(case), str(len(ours)),
        text(median(eager.seconds())), *compared(eager, exact), *compared(eager, race),
        f"{eager.peak()}, {exact.peak()}, {race.peak()}",
        f"{apart:.1e}", yes(list(ours) == list(theirs)), same_pick(list(ours)[0], race),
    ]


def compared(eager: Times, ours: Times) -> List[str]:
    """ckaprune's seconds, and how many times as long the eager loop took: by whole process, and by scoring alone."""
    if not ours.runs:
        return ["-", "-", "-"]
    walls, scoring = [run.wall for run in ours.runs], ours.seconds()
    alone = ratio(eager.seconds(), scoring) if None not in scoring else "-"
    return [text(median(walls)), ratio(eager.seconds(), walls), alone]


def ratio(eager: List[float], ours: List[float]) -> str:
    """Round by round: the two ran one after the other then."""
    each = [a / b for a, b in zip(eager, ours)]
    return f"{median(each):.2f} ({min(each):.2f}–{max(each):.2f})"


def same_pick(best: str, race: Times) -> str:
    return yes(all(program.scored(run.document())[0]["path"] == best for run in race.runs)) if race.runs else "-"


def text(seconds: Optional[float]) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def yes(holds: bool) -> str:
    return "yes" if holds else "**no**"


def named_model(argument: str) -> tuple:
    network, _, path = argument.partition("=")
    if network not in SIZES or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{argument} is not NETWORK=FILE with one of {', '.join(SIZES)}")
    return network, Path(path)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", type=Case.parse, metavar="NETWORK:IMAGES",
                        help=f"[default: {' '.join(CASES)}]")
    parser.add_argument("--ckaprune", type=Path, required=True)
    parser.add_argument("--data", type=Path,
                        help="CIFAR-10 in its binary version, for 32x32 [default: synthetic images]")
    parser.add_argument("--model", type=named_model, action="append", default=[], metavar="NETWORK=FILE",
                        help="archive with weights for a network, more than once for several [default: random weights]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="for all of them [default: one for each core]")
    parser.add_argument("--batch-size", type=int, help="ckaprune's batch [default: its own]")
    options = parser.parse_args()
    if min(options.rounds, options.threads) < 1:
        parser.error("--rounds and --threads are at least 1")
    options.ckaprune = options.ckaprune.resolve()
    options.model = dict(options.model)
    options.cases = options.cases or [Case.parse(case) for case in CASES]
    return options


def has_torch() -> bool:
    try:
        program.run(sys.executable, "-c", "import torch")
    except program.Failed:
        announce(f"skipped: the comparison with eager PyTorch, since torch is not importable in {sys.executable}")
        return False
    return True


def rows_of(options: argparse.Namespace, measure: Callable[..., List[str]]) -> Tuple[List[List[str]], int]:
    """A row for each case, measured in a folder of its own, and the number of those that failed."""
    rows, failed = [], 0
    for case in options.cases:
        with tempfile.TemporaryDirectory(prefix="ckaprune-bench-") as folder:
            try:
                rows.append(measure(case, options, Path(folder)))
            except (program.Failed, ValueError) as error:
                announce(f"{case}: {error}")
                failed += 1
    return rows, failed


def main() -> int:
    options = parse()
    if not has_torch():
        return 0
    rows, failed = rows_of(options, measure)
    weights = ", ".join(f"{network} of {path.name}" for network, path in options.model.items()) or "random"
    pictures = "CIFAR-10 where they are 32 × 32" if options.data else "synthetic"
    print(f"Threads: {options.threads}. Rounds: {options.rounds}. Weights: {weights}. Images: {pictures}.\n")
    print(program.markdown(HEADER, rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
