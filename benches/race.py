"""Asks along whole pruning paths whether `score --race` picks what `score --exact` picks. Needs no torch.

    python race.py --ckaprune target/release/ckaprune --data cifar10 resnet56.pt [MODEL...]
"""

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List

import images
import program

HEADER = ["model", "samples", "seed", "decisions", "same pick", "share of the exact work", "most CKA lost"]
NOTHING_LEFT = "no block may be removed"


@dataclass(frozen=True)
class Decision:
    best: str
    picked: str
    # How much lower the picked block's exact CKA is than that of the best.
    lost: float
    # Images × MACs.
    exact_work: int
    race_work: int


def work(document: dict) -> int:
    """What the candidates cost: each re-runs what lies behind its block, on the images that it was scored on."""
    total, behind = 0, 0
    for block in reversed(document["blocks"]):
        if block.get("rank") is not None:
            total += block["samples"] * behind
        behind += block["macs"]
    return total


def decide(exact: dict, race: dict) -> Decision:
    cka = {block["path"]: block["cka"] for block in program.scored(exact)}
    best, picked = (program.scored(document)[0]["path"] for document in (exact, race))
    return Decision(best, picked, cka[best] - cka[picked], work(exact), work(race))


def follow(ckaprune: program.Ckaprune, archive: Path, data: Path, options: List[str]) -> Iterator[Decision]:
    """Decides and removes the exact pick, without fine-tuning, until each stage is as short as it may be."""
    while True:
        try:
            exact = ckaprune.score(archive, data, ["--exact"], options).document()
        except program.Failed as error:
            if error.code == 2 and NOTHING_LEFT in error.message:
                return
            raise
        decision = decide(exact, ckaprune.score(archive, data, ["--race"], options).document())
        yield decision
        ckaprune.remove(archive, decision.best, archive)


def row(model: Path, seed: str, options: argparse.Namespace) -> List[str]:
    ckaprune = program.Ckaprune(options.ckaprune)
    given = ["--mean", options.mean, "--std", options.std, "--samples", options.samples, "--seed", seed]
    given += ["--threads", str(options.threads), "--min-blocks-per-stage", "2"]
    given += ["--batch-size", str(options.batch_size)] if options.batch_size else []
    decisions = []
    with tempfile.TemporaryDirectory(prefix="ckaprune-race-") as folder:
        # A copy, since it shrinks at every step, and has no ckaprune.json beside it.
        archive = Path(shutil.copy(model, folder))
        for decision in follow(ckaprune, archive, options.data, given):
            decisions.append(decision)
            same = "same" if decision.picked == decision.best else f"race {decision.picked}, {decision.lost:.1e} lower"
            share = 100 * decision.race_work / max(1, decision.exact_work)
            step = f"{model.name}, seed {seed}, step {len(decisions)}"
            print(f"{step}: {decision.best}, {same}, {share:.1f} % of the work", file=sys.stderr, flush=True)
            if len(decisions) == options.steps:
                break
    same = sum(d.picked == d.best for d in decisions)
    share = 100 * sum(d.race_work for d in decisions) / max(1, sum(d.exact_work for d in decisions))
    lost = max((d.lost for d in decisions), default=0.0)
    return [model.name, options.samples, seed, str(len(decisions)), str(same), f"{share:.1f} %", f"{lost:.1e}"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--ckaprune", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--mean", default=",".join(map(str, images.MEAN)), help="[default: %(default)s]")
    parser.add_argument("--std", default=",".join(map(str, images.STD)), help="[default: %(default)s]")
    parser.add_argument("--samples", default="1024", help="[default: %(default)s]")
    parser.add_argument("--seeds", default="0,1,2", help="each draws other images [default: %(default)s]")
    parser.add_argument("--steps", type=int, help="decisions on a path at most [default: to its end]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="[default: one for each core]")
    parser.add_argument("--batch-size", type=int, help="[default: ckaprune's own]")
    options = parser.parse_args()
    options.ckaprune = options.ckaprune.resolve()
    if not program.Ckaprune(options.ckaprune).knows_race():
        parser.error(f"{options.ckaprune} has no `score --race`")
    return options


def main() -> int:
    options = parse()
    rows, failed = [], 0
    for model in options.models:
        for seed in options.seeds.split(","):
            try:
                rows.append(row(model, seed, options))
            except program.Failed as error:
                print(f"{model.name}, seed {seed}: {error}", file=sys.stderr, flush=True)
                failed += 1
    print(program.markdown(HEADER, rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
