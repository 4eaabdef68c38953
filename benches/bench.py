"""Times ckaprune beside loops in eager PyTorch: eight networks, four kinds of work. README.md says what is measured.

    python bench.py --ckaprune target/release/ckaprune [--only NETWORK,NETWORK] [--kinds score,race,evaluate,train]
"""

import argparse
import json
import math
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import geometric_mean, median
from typing import Callable, Dict, List, Optional, Tuple

import images
import program

HERE = Path(__file__).resolve().parent
KINDS = ["score", "race", "evaluate", "train"]
# Above it the two did not compute the same thing. Other orders of float32 sums stay far below.
CKA_TOLERANCE = 1e-5
# Likewise of the mean loss of an evaluation, for each unit of the loss.
LOSS_TOLERANCE = 1e-4
EAGER_BATCHES = [4, 8, 16, 32, 64, 128]
CLASSES = 10
# Images of the run that an evaluation's time is told without.
FEW = 8
# For asking which blocks are scored: of two images every CKA is 1.
ASKED = 4
SUMMARY = ["network", *KINDS]
DETAILS = [
    "network", "work", "images", "eager batch", "eager s", "ckaprune s", "eager/ckaprune", "loop/whole process",
    "peak MiB eager, ckaprune", "CPU s eager, ckaprune", "system/user eager, ckaprune", "same result",
]


@dataclass(frozen=True)
class Case:
    """A network, and so many images of each kind of work that a run takes some ten seconds on two cores."""

    name: str
    label: str
    side: int
    score: int
    evaluate: int
    train: int
    # Of training, for both.
    batch: int

    def scaled(self, scale: float) -> "Case":
        def count(images: int, least: int) -> int:
            return max(least, round(images * scale))

        train = self.batch * count(self.train // self.batch, 1)
        return Case(self.name, self.label, self.side, count(self.score, ASKED), count(self.evaluate, 4 * FEW),
                    train, self.batch)


CASES = [
    Case("resnet56", "ResNet-56", images.CIFAR_SIDE, 1024, 4096, 1024, 128),
    Case("resnet50", "ResNet-50", 224, 48, 96, 64, 32),
    Case("mobilenet_v2", "MobileNetV2", 224, 192, 384, 128, 32),
    Case("efficientnet_b0", "EfficientNet-B0", 224, 128, 256, 96, 32),
    Case("convnext_tiny", "ConvNeXt-T", 224, 32, 128, 64, 32),
    Case("regnet_y_400mf", "RegNetY-400MF", 224, 192, 384, 128, 32),
    Case("vit_b_16", "ViT-B/16", 224, 24, 64, 64, 32),
    Case("swin_t", "Swin-T", 224, 32, 96, 64, 32),
]
NAMES = [case.name for case in CASES]


@dataclass
class Sample:
    """What one contestant took in one round."""

    # The work alone.
    seconds: float
    # The whole process, from its start to its end, as are the figures below.
    wall: float
    user: float
    system: float
    peak_mib: float
    document: dict

    @staticmethod
    def of(run: program.Run, seconds: float) -> "Sample":
        return Sample(seconds, run.wall, run.user, run.system, run.peak_mib, run.document())

    def raw(self) -> dict:
        # The documents are long, and what is asked of them stands beside the rounds.
        return {key: value for key, value in asdict(self).items() if key != "document"}


@dataclass
class Result:
    """A network and a kind of work: a row of the table."""

    case: Case
    kind: str
    images: int
    batch: Optional[int] = None
    eager: List[Sample] = field(default_factory=list)
    ours: List[Sample] = field(default_factory=list)
    agreement: str = ""
    checked: dict = field(default_factory=dict)
    failure: Optional[str] = None

    def alone(self) -> List[float]:
        """Round by round: the two ran one after the other then."""
        return [a.seconds / b.seconds for a, b in zip(self.eager, self.ours)]

    def whole(self) -> List[float]:
        return [a.seconds / b.wall for a, b in zip(self.eager, self.ours)]

    def raw(self) -> dict:
        rounds = {"eager": [s.raw() for s in self.eager], "ckaprune": [s.raw() for s in self.ours]}
        same = {"failure": self.failure, "result": self.agreement, **self.checked}
        return {"network": self.case.name, "kind": self.kind, "images": self.images, "eager_batch": self.batch,
                "rounds": rounds, "eager_over_ckaprune": self.alone(), **same}


class Bench:
    """One network: its archive, its images, and the contestants on them."""

    def __init__(self, case: Case, options: argparse.Namespace, folder: Path):
        self.case, self.options, self.folder = case, options, folder
        self.ckaprune = program.Ckaprune(options.ckaprune)
        mean, std = (",".join(map(str, values)) for values in (images.MEAN, images.STD))
        self.given = ["--mean", mean, "--std", std, "--threads", str(options.threads)]
        self.archive = folder / f"{case.name}.pt"
        # No ckaprune.json lies beside it there.
        if case.name in options.model:
            shutil.copy(options.model[case.name], self.archive)
        else:
            program.run(sys.executable, HERE / "networks.py", case.name, case.side, self.archive)
        # By kind of work: images a second of the loop at each batch.
        self.probes: Dict[str, Dict[str, float]] = {}

    def pixels(self, count: int, seed: int = 0) -> bytes:
        real = self.options.data and self.case.side == images.CIFAR_SIDE
        return images.cifar10(self.options.data, count) if real else images.synthetic(count, self.case.side, seed)

    def labelled(self, name: str, train: int, test: int) -> Path:
        path = self.folder / f"{name}.npz"
        images.write_labelled(path, self.pixels(train), self.pixels(test, seed=1), self.case.side, CLASSES)
        return path

    def eager(self, what: str, data: Path, batch: Optional[int], *more) -> program.Run:
        size = ["--side", self.case.side, "--threads", self.options.threads]
        size += ["--batch", batch] if batch else []
        return program.run(sys.executable, HERE / "eager.py", what, self.case.name, self.archive, data, *size, *more)

    def eager_sample(self, what: str, data: Path, batch: int, count: int, *more) -> Sample:
        run = self.eager(what, data, batch, *more)
        expect(run.document()["samples"], count, "the loop")
        return Sample.of(run, run.document()["seconds"])

    def best_batch(self, work: str, data: Path, count: int) -> int:
        """At which the loop's pass over these images, or the first of them, is the fastest."""
        count = min(count, EAGER_BATCHES[-1])
        # A batch of all images is the largest that makes a difference.
        batches = sorted({min(batch, count) for batch in EAGER_BATCHES})
        given = ["--work", work, "--batches", ",".join(map(str, batches)), "--count", count]
        found = self.eager("probe", data, None, *given).document()
        self.probes[work] = found
        best = max(found, key=lambda batch: found[batch])
        speeds = ", ".join(f"{batch}: {speed:,.1f}" for batch, speed in found.items())
        announce(f"{self.case.label}, {work}: the eager loop's batch is {best} (images/s at {speeds})")
        return int(best)

    def take_turns(self, what: str, contestants: Dict[str, Callable[[], Sample]]) -> Dict[str, List[Sample]]:
        found: Dict[str, List[Sample]] = {name: [] for name in contestants}
        for turn in range(self.options.rounds):
            # To and fro, so that a machine that slows down favours nobody.
            for name in list(contestants)[:: -1 if turn % 2 else 1]:
                sample = contestants[name]()
                found[name].append(sample)
                announce(f"{self.case.label}, {what}, round {turn + 1}: {name} {sample.seconds:.2f} s, "
                         f"whole process {sample.wall:.2f} s, {sample.user:.1f} s user, {sample.system:.1f} s system")
        return found

    def scoring(self, results: List[Result]) -> None:
        """`score` and `race` beside the same runs of the loop."""
        case, data = self.case, self.folder / "images.npz"
        images.write(data, self.pixels(case.score), case.side)
        # What is replaced is what ckaprune names: the loop knows no architecture.
        asked = self.ckaprune.score(self.archive, data, ["--exact"], [*self.given, "--samples", str(ASKED)])
        blocks = ",".join(block["path"] for block in asked.document()["blocks"] if block.get("rank") is not None)
        batch = self.best_batch("score", data, case.score)

        def ours(mode: str) -> Sample:
            run = self.ckaprune.score(self.archive, data, [mode], [*self.given, "--samples", "all"])
            expect(run.document()["samples"], case.score, "ckaprune")
            return Sample.of(run, run.document()["seconds"])

        contestants: Dict[str, Callable[[], Sample]] = {
            "eager": lambda: self.eager_sample("score", data, batch, case.score, "--blocks", blocks)}
        modes = {"score": lambda: ours("--exact"), "race": lambda: ours("--race")}
        contestants.update({result.kind: modes[result.kind] for result in results})
        rounds = self.take_turns("scoring", contestants)
        for result in results:
            result.batch, result.eager, result.ours = batch, rounds["eager"], rounds[result.kind]
            # The race is held against exact scoring where there is one, else against the loop.
            exact = program.scored(rounds["score"][0].document)[0]["path"] if "score" in rounds else None
            result.agreement = ranked(result) if result.kind == "score" else picked(result, exact)

    def evaluation(self, results: List[Result]) -> None:
        case = self.case
        data = self.labelled("evaluate", CLASSES, case.evaluate)
        few = self.labelled("few", CLASSES, FEW)
        batch = self.best_batch("evaluate", data, case.evaluate)

        def ours() -> Sample:
            """The document has no time of measuring alone, so it is what the images beyond a few add to a run."""
            fewer = self.ckaprune.evaluate(self.archive, few, self.given)
            run = self.ckaprune.evaluate(self.archive, data, self.given)
            expect(run.document()["images"], case.evaluate, "ckaprune")
            added = run.wall - fewer.wall
            if added <= 0:
                raise ValueError(f"{case.evaluate} images took no longer than {FEW}")
            return Sample.of(run, added * case.evaluate / (case.evaluate - FEW))

        rounds = self.take_turns("evaluation", {
            "eager": lambda: self.eager_sample("evaluate", data, batch, case.evaluate), "ckaprune": ours})
        for result in results:
            result.batch, result.eager, result.ours = batch, rounds["eager"], rounds["ckaprune"]
            result.agreement = measured_alike(result)

    def training(self, results: List[Result]) -> None:
        case = self.case
        # ckaprune measures before and after training; few, since the loop does not.
        data = self.labelled("train", case.train, CLASSES)

        def ours() -> Sample:
            given = [*self.given, "--batch-size", str(case.batch), "--epochs", "1"]
            run = self.ckaprune.finetune(self.archive, data, self.folder / "tuned.pt", given)
            return Sample.of(run, case.train / run.document()["train_images_per_second"])

        rounds = self.take_turns("training", {
            "eager": lambda: self.eager_sample("train", data, case.batch, case.train), "ckaprune": ours})
        for result in results:
            result.batch, result.eager, result.ours = case.batch, rounds["eager"], rounds["ckaprune"]
            losses = result.eager[0].document["loss"], result.ours[0].document["train_losses"][-1]
            result.checked["losses"] = losses
            if not all(map(math.isfinite, losses)):
                result.failure = f"the losses are {losses[0]} and {losses[1]}"
            result.agreement = "losses {:.3f}, {:.3f}".format(*losses)


def expect(counted: int, wanted: int, who: str) -> None:
    if counted != wanted:
        raise ValueError(f"{who} took {counted} images, not {wanted}")


def apart(result: Result) -> Optional[float]:
    """The largest difference of CKA, over the blocks that ckaprune compared on every image."""
    theirs = result.eager[0].document["cka"]
    blocks = program.scored(result.ours[0].document)
    if {block["path"] for block in blocks} - theirs.keys():
        raise ValueError(f"eager scored {', '.join(theirs)} alone")
    differences = [abs(b["cka"] - theirs[b["path"]]) for b in blocks if b["samples"] == result.images]
    result.checked["blocks"] = len(theirs)
    result.checked["cka_difference"] = found = max(differences, default=None)
    if found is not None and not found < CKA_TOLERANCE:
        result.failure = f"CKA differs by {found:.1e}, so the times are not of the same job"
    return found


def ranked(result: Result) -> str:
    """How far CKA is apart, and whether the ranking is the same."""
    difference = apart(result)
    theirs = result.eager[0].document["cka"]
    ours = [block["path"] for block in program.scored(result.ours[0].document)]
    expect(len(ours), len(theirs), "ckaprune's ranking")
    falling = [theirs[path] for path in ours]
    # Two that are closer to each other than the two programs are may stand in either order.
    most = max((b - a for a, b in zip(falling, falling[1:])), default=0.0)
    same = "same ranking" if ours == list(theirs) else "same ranking but for ties" if most <= 2 * difference else (
        "**another ranking**")
    result.checked["same_ranking"] = same
    return f"CKA to {difference:.1e}, {same}"


def picked(result: Result, best: Optional[str]) -> str:
    """How far CKA is apart, and whether every race picked `best`, or else the loop's best."""
    difference = apart(result)
    best = best or next(iter(result.eager[0].document["cka"]))
    picks = [program.scored(sample.document)[0]["path"] for sample in result.ours]
    result.checked["same_pick"] = same = all(pick == best for pick in picks)
    cka = "" if difference is None else f"CKA to {difference:.1e}, "
    return cka + ("same pick" if same else f"**picked {', '.join(picks)}, not {best}**")


def measured_alike(result: Result) -> str:
    """Whether top-1 accuracy and loss are the same."""
    eager, ours = result.eager[0].document, result.ours[0].document
    difference = abs(eager["loss"] - ours["loss"]) / max(1.0, eager["loss"])
    result.checked.update(correct=[eager["correct"], ours["correct"]], loss=[eager["loss"], ours["loss"]])
    # Written so that a loss that is not a number fails as well.
    if not difference < LOSS_TOLERANCE or eager["correct"] != ours["correct"]:
        result.failure = (f"eager has {eager['correct']} right at a loss of {eager['loss']:.6f}, "
                          f"ckaprune {ours['correct']} at {ours['loss']:.6f}")
    return f"top-1, loss to {difference:.1e}"


def announce(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(case: Case, options: argparse.Namespace) -> Tuple[List[Result], dict]:
    """A row for each kind of work, and the speeds at which the loop's batches were chosen."""
    counts = {"score": case.score, "race": case.score, "evaluate": case.evaluate, "train": case.train}
    results = {kind: Result(case, kind, counts[kind]) for kind in options.kinds}
    works = [(Bench.scoring, ["score", "race"]), (Bench.evaluation, ["evaluate"]), (Bench.training, ["train"])]
    probes: Dict[str, Dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="ckaprune-bench-") as folder:
        bench = None
        for work, kinds in works:
            wanted = [results[kind] for kind in kinds if kind in results]
            try:
                bench = bench or Bench(case, options, Path(folder))
                if wanted:
                    work(bench, wanted)
                probes = bench.probes
            except (program.Failed, ValueError) as error:
                for result in wanted:
                    result.failure = str(error)
    for result in results.values():
        if result.failure:
            announce(f"{case.label}, {result.kind}: {result.failure}")
    return list(results.values()), probes


def ratio(each: List[float]) -> str:
    return f"{median(each):.2f} ({min(each):.2f}–{max(each):.2f})"


def details(result: Result) -> List[str]:
    if result.failure:
        shown = f"**failed**: {result.failure}"
        return [result.case.label, result.kind, f"{result.images:,}", *["-"] * (len(DETAILS) - 4), shown]

    def middle(of: Callable[[Sample], float], form: str) -> str:
        return ", ".join(form.format(median(map(of, samples))) for samples in (result.eager, result.ours))

    return [
        result.case.label, result.kind, f"{result.images:,}", str(result.batch),
        *(f"{median(s.seconds for s in samples):.2f}" for samples in (result.eager, result.ours)),
        ratio(result.alone()), ratio(result.whole()),
        middle(lambda s: s.peak_mib, "{:.0f}"), middle(lambda s: s.user + s.system, "{:.1f}"),
        middle(lambda s: s.system / s.user, "{:.2f}"), result.agreement,
    ]


def summary(results: List[Result], kinds: List[str]) -> List[List[str]]:
    """Ratios of the work alone, network by kind, and their geometric means."""
    cells: Dict[str, Dict[str, str]] = {}
    for result in results:
        cells.setdefault(result.case.label, {})[result.kind] = "**failed**" if result.failure else ratio(result.alone())
    means = []
    for kind in kinds:
        middles = [median(r.alone()) for r in results if r.kind == kind and not r.failure]
        means.append(f"{geometric_mean(middles):.2f}" if middles else "-")
    return [[label, *(row[kind] for kind in kinds)] for label, row in cells.items()] + [["geometric mean", *means]]


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def names(allowed: List[str]) -> Callable[[str], List[str]]:
    def parse(text: str) -> List[str]:
        found = text.split(",")
        unknown = [name for name in found if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(allowed)}")
        return [name for name in allowed if name in found]

    return parse


def named_model(argument: str) -> Tuple[str, Path]:
    network, _, path = argument.partition("=")
    if network not in NAMES or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{argument} is not NETWORK=FILE with one of {', '.join(NAMES)}")
    return network, Path(path)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckaprune", type=Path, required=True)
    parser.add_argument("--only", type=names(NAMES), default=NAMES, metavar="NETWORK[,NETWORK]",
                        help=f"of {', '.join(NAMES)} [default: all]")
    parser.add_argument("--kinds", type=names(KINDS), default=KINDS, help=f"of {', '.join(KINDS)} [default: all]")
    parser.add_argument("--rounds", type=int, default=3, help="[default: %(default)s]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="for all of them [default: one for each core]")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many images [default: %(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="for all that was measured, run by run")
    parser.add_argument("--data", type=Path,
                        help="CIFAR-10 in its binary version, for 32x32 [default: synthetic images]")
    parser.add_argument("--model", type=named_model, action="append", default=[], metavar="NETWORK=FILE",
                        help="archive with weights for a network, more than once for several [default: random weights]")
    options = parser.parse_args()
    if min(options.rounds, options.threads) < 1 or not options.scale > 0:
        parser.error("--rounds and --threads are at least 1, and --scale is above 0")
    options.ckaprune = options.ckaprune.resolve()
    options.model = dict(options.model)
    return options


def torch_version() -> Optional[str]:
    try:
        return program.run(sys.executable, "-c", "import torch, torchvision; print(torch.__version__)").output.strip()
    except program.Failed:
        announce(f"skipped: torch or torchvision is not importable in {sys.executable}: no eager PyTorch")
        return None


def main() -> int:
    options = parse()
    torch = torch_version()
    if torch is None:
        return 0
    machine = {"processor": processor(), "threads": options.threads, "rounds": options.rounds, "torch": torch,
               "ckaprune": program.Ckaprune(options.ckaprune).version(), "scale": options.scale}
    results: List[Result] = []
    probes = {}
    for case in (case.scaled(options.scale) for case in CASES if case.name in options.only):
        found, probes[case.name] = measure(case, options)
        results += found
        if options.json:
            # After every network, since all of them take long.
            raw = {**machine, "probed_images_per_second": probes, "measurements": [r.raw() for r in results]}
            options.json.write_text(json.dumps(raw, indent=1) + "\n")
    weights = ", ".join(f"{network} of {path.name}" for network, path in options.model.items()) or "random"
    pictures = "CIFAR-10 where they are 32 × 32" if options.data else "synthetic"
    print(f"{machine['processor']}, threads: {options.threads}. {machine['ckaprune']}, PyTorch {torch}. "
          f"Rounds: {options.rounds}. Weights: {weights}. Images: {pictures}.\n")
    print(program.markdown([SUMMARY[0], *options.kinds], summary(results, options.kinds)), end="\n\n")
    print(program.markdown(DETAILS, [details(result) for result in results]))
    return 1 if any(result.failure for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
