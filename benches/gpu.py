"""Checks ckaprune on a GPU, and times it there beside its CPU and beside eager PyTorch. README.md says what is checked.

    python gpu.py --ckaprune target/release/ckaprune [--model resnet56=FILE] [--data cifar10] [--output gpu.json]

Needs a Python with torch and torchvision, and no network: ckaprune runs with the libtorch of that Python.
"""

import argparse
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import images
import program

HERE = Path(__file__).resolve().parent
NETWORKS = ["resnet20", "resnet56"]
# Between CPU and GPU: its convolutions may round their factors to 10 bits (TF32).
CKA_TOLERANCE = 1e-3
# The two programs may put the images into other batches.
MAP_TOLERANCE = 0.02
# Between training with and without bfloat16, of the loss.
LOSS_TOLERANCE = 0.1
MAP_SIDE = 64
# The usual one of minibatch CKA: also ckaprune's own.
MAP_BATCH = 256
TRAIN_BATCH = 128
CLASSES = 10
TEST_IMAGES = 1000
DEVICE_TOO_MANY = "cuda:9"
PROBE = """
import json, torch
card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
lib = torch.__path__[0] + "/lib"
print(json.dumps({"card": card, "torch": torch.__version__, "cuda": torch.version.cuda, "lib": lib}))
"""


@dataclass(frozen=True)
class Sizes:
    # The network that is timed, trained and pruned.
    network: str
    # Images for picks, and for the CPU's part of what is timed.
    samples: int
    # Images for scoring on the GPU.
    scored: int
    train: int
    # Of the run that is stopped: images to train on after each removal, and epochs over them.
    pruned: int
    epochs: int
    map: int
    # All in one batch, to be more than a card holds.
    absurd: int
    # What the eager loop chooses from.
    batches: Tuple[int, ...]
    # Times the seconds that a step may take.
    patience: int


ON_GPU = Sizes("resnet56", 1024, 10_000, 20_000, 5000, 3, 10_000, 60_000, (128, 512, 2048), 1)
ON_CPU = Sizes("resnet20", 16, 32, 128, 128, 1, 128, 20_000, (16, 32), 2)
# Of the address space, in which the absurd batch does not fit: without a GPU it is this that runs out.
LITTLE_MEMORY = 4 * 2**30


class Skipped(Exception):
    """A step that cannot be taken here, and why."""


class CardMemory:
    """The most memory in use on the card while this runs, beyond what was in use before. None without nvidia-smi."""

    def __enter__(self) -> "CardMemory":
        self.log = tempfile.TemporaryFile()
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
        try:
            self.before = int(subprocess.run(command, capture_output=True, check=True, timeout=10).stdout)
            self.watch = subprocess.Popen([*command, "-lms", "200"], stdout=self.log, stderr=subprocess.DEVNULL)
        except (OSError, ValueError, subprocess.SubprocessError):
            self.watch = None
        return self

    def __exit__(self, *_) -> None:
        self.peak = None
        if self.watch:
            self.watch.kill()
            self.watch.wait()
            self.log.seek(0)
            seen = [int(line) for line in self.log.read().split() if line.isdigit()]
            self.peak = max(seen, default=self.before) - self.before
        self.log.close()


class Check:
    """What the steps share."""

    def __init__(self, options: argparse.Namespace, folder: Path):
        self.options, self.folder = options, folder
        self.device = "cpu" if options.dry_run_on_cpu else "cuda"
        self.sizes = ON_CPU if options.dry_run_on_cpu else ON_GPU
        self.timed = self.sizes.network
        self.until = math.inf
        mean, std = (",".join(map(str, values)) for values in (images.MEAN, images.STD))
        self.normal = ["--mean", mean, "--std", std]
        self.given = [*self.normal, "--threads", str(options.threads)]
        # By step: what later ones compare with.
        self.exact: Optional[dict] = None
        self.trained: Dict[str, float] = {}

    def left(self) -> float:
        return max(1.0, self.until - time.monotonic())

    def ckaprune(self, device: str) -> program.Ckaprune:
        return program.Ckaprune(self.options.ckaprune, device, self.left())

    def python(self, script: str, *given) -> program.Run:
        return program.run(sys.executable, HERE / script, *given, timeout=self.left())

    def eager(self, what: str, network: str, archive: Path, data: Path, side: int, *given) -> program.Run:
        common = ["--side", side, "--threads", self.options.threads, "--device", self.device]
        return self.python("eager.py", what, network, archive, data, *common, *given)

    def archive(self, network: str) -> Path:
        return self.folder / f"{network}.pt"

    def data(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def pixels(self, count: int) -> bytes:
        folder = self.options.data
        return images.cifar10(folder, count) if folder else images.synthetic(count, images.CIFAR_SIDE)

    def score(self, network: str, data: str, device: str, mode: str) -> Tuple[dict, program.Run]:
        given = [*self.given, "--samples", "all"]
        run = self.ckaprune(device).score(self.archive(network), self.data(data), [mode], given)
        return run.document(), run

    # The steps: each returns what it found, with `passed` among it.

    def prepare(self) -> dict:
        """Archives and images in a folder of their own, where no ckaprune.json lies."""
        side, sizes = images.CIFAR_SIDE, self.sizes
        for network in NETWORKS:
            if network in self.options.model:
                shutil.copy(self.options.model[network], self.archive(network))
            else:
                self.python("networks.py", network, side, self.archive(network))
        images.write(self.data("few"), self.pixels(sizes.samples), side)
        images.write(self.data("many"), self.pixels(sizes.scored), side)
        # The labels go by turns, also for CIFAR-10: what an image shows does not matter to the time.
        test = images.synthetic(min(TEST_IMAGES, sizes.pruned), side, seed=1)
        for name, count in (("train", sizes.train), ("prune", sizes.pruned)):
            images.write_labelled(self.data(name), self.pixels(count), test, side, CLASSES)
        return {"passed": True, "version": program.Ckaprune(self.options.ckaprune).version()}

    def no_such_device(self) -> dict:
        return self.refused("score", ["--data", self.data("few"), "--device", DEVICE_TOO_MANY])

    def picks(self, network: str) -> dict:
        """Whether CPU and GPU say the same."""
        found: dict = {}
        ranked: Dict[str, List[dict]] = {}
        for where, device in (("cpu", "cpu"), ("gpu", self.device)):
            for mode in ("exact", "race"):
                document, run = self.score(network, "few", device, f"--{mode}")
                name = f"{mode} {where}"
                ranked[name] = program.scored(document)
                found[f"{name} pick"] = ranked[name][0]["path"]
                found[f"{name} s"], found[f"{name} MiB"] = document["seconds"], run.peak_mib
        cpu, gpu = ({b["path"]: b["cka"] for b in ranked[f"exact {where}"]} for where in ("cpu", "gpu"))
        difference = max(abs(cpu[path] - gpu[path]) for path in cpu)
        falling = sorted(cpu.values(), reverse=True)
        picks = {value for key, value in found.items() if key.endswith("pick")}
        return {"passed": len(picks) == 1 and difference < CKA_TOLERANCE, "cka difference": difference,
                "same ranking": list(cpu) == list(gpu), "best before second": falling[0] - falling[1], **found}

    def throughput(self) -> dict:
        """Candidates × images a second, as far as each mode showed them."""
        found: dict = {"passed": True}
        speeds: Dict[str, float] = {}
        for mode in ("exact", "race"):
            for where, device, data in (("cpu", "cpu", "few"), ("gpu", self.device, "many")):
                with CardMemory() as memory:
                    document, run = self.score(self.timed, data, device, f"--{mode}")
                shown = sum(block["samples"] for block in program.scored(document))
                speeds[f"{mode} {where}"] = shown / document["seconds"]
                found[f"{mode} {where} candidate images/s"] = shown / document["seconds"]
                found[f"{mode} {where} images"] = document["samples"]
                found[f"{mode} {where} s"], found[f"{mode} {where} whole process s"] = document["seconds"], run.wall
                found[f"{mode} {where} MiB"] = run.peak_mib
                if where == "gpu":
                    found[f"{mode} card MiB"] = memory.peak
                    self.exact = document if mode == "exact" else self.exact
            found[f"{mode} gpu/cpu"] = speeds[f"{mode} gpu"] / speeds[f"{mode} cpu"]
        return found

    def finetune(self) -> dict:
        found: dict = {}
        losses = []
        for amp in ("off", "auto"):
            given = [*self.given, "--epochs", "1", "--batch-size", str(TRAIN_BATCH), "--amp", amp]
            with CardMemory() as memory:
                run = self.ckaprune(self.device).finetune(
                    self.archive(self.timed), self.data("train"), self.folder / "tuned.pt", given)
            document = run.document()
            losses.append(document["train_losses"][-1])
            self.trained[amp] = document["train_images_per_second"]
            found.update({f"amp {amp} images/s": self.trained[amp], f"amp {amp} loss": losses[-1],
                          f"amp {amp} whole process s": run.wall, f"amp {amp} MiB": run.peak_mib,
                          f"amp {amp} card MiB": memory.peak})
        near = all(map(math.isfinite, losses)) and abs(losses[0] - losses[1]) <= LOSS_TOLERANCE * losses[0]
        return {"passed": near, "amp auto/off": self.trained["auto"] / self.trained["off"], **found}

    def eager_scoring(self) -> dict:
        if self.exact is None:
            raise Skipped("ckaprune's scoring on these images did not end")
        work = (self.timed, self.archive(self.timed), self.data("many"), images.CIFAR_SIDE)
        batches = ",".join(map(str, self.sizes.batches))
        probed = self.eager("probe", *work, "--work", "score", "--batches", batches).document()
        batch = max(probed, key=lambda b: probed[b])
        ours = {block["path"]: block["cka"] for block in program.scored(self.exact)}
        run = self.eager("score", *work, "--batch", batch, "--blocks", ",".join(ours))
        document = run.document()
        difference = max(abs(ours[path] - cka) for path, cka in document["cka"].items())
        speed = len(ours) * document["samples"] / document["seconds"]
        return {"passed": difference < CKA_TOLERANCE, "cka difference": difference, "eager batch": int(batch),
                "eager candidate images/s": speed, "eager s": document["seconds"], "eager MiB": run.peak_mib,
                "eager card MiB (tensors)": document.get("gpu_mib"),
                "eager s/ckaprune s": document["seconds"] / self.exact["seconds"]}

    def eager_training(self) -> dict:
        found: dict = {"passed": True}
        for amp, given in (("off", []), ("auto", ["--amp"])):
            run = self.eager("train", self.timed, self.archive(self.timed), self.data("train"), images.CIFAR_SIDE,
                             "--batch", TRAIN_BATCH, *given)
            document = run.document()
            speed = document["samples"] / document["seconds"]
            found.update({f"amp {amp} eager images/s": speed, f"amp {amp} eager MiB": run.peak_mib,
                          f"amp {amp} eager card MiB (tensors)": document.get("gpu_mib")})
            if amp in self.trained:
                found[f"amp {amp} ckaprune/eager"] = self.trained[amp] / speed
        return found

    def interrupted(self) -> dict:
        """Ctrl-C in a run, which then is gone on with."""
        run_dir, output = self.folder / "run", self.folder / "pruned.pt"
        command = [self.options.ckaprune, "prune", "--model", self.archive(self.timed), "--data", self.data("prune"),
                   "--device", self.device, "--iterations", "3", "--epochs", self.sizes.epochs,
                   "--samples", self.sizes.samples, "--run-dir", run_dir, "--output", output, *self.given]
        with tempfile.TemporaryFile() as stderr:
            child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=stderr)
            try:
                while not (run_dir / "run.json").exists() and child.poll() is None and self.left() > 1:
                    time.sleep(0.05)
                # Into the work that follows what run.json tells of.
                time.sleep(0.5)
                child.send_signal(signal.SIGINT)
                start = time.monotonic()
                code = child.wait(timeout=self.left())
                stopping = time.monotonic() - start
            finally:
                if child.poll() is None:
                    child.kill()
                    child.wait()
            stderr.seek(0)
            said = stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        found = {"exit": code, "s from Ctrl-C to the end": stopping, "said": said}
        if code != 130:
            return {"passed": False, **found}
        resumed = program.run(*command, "--resume", "--quiet", timeout=self.left())
        return {"passed": output.exists(), **found, "s of the resumed run": resumed.wall}

    def out_of_memory(self) -> dict:
        """All images in one batch, of a size at which training needs hundreds of GB."""
        count = self.sizes.absurd
        data = self.data("absurd")
        images.write_labelled(data, images.synthetic(count, images.CIFAR_SIDE),
                              images.synthetic(CLASSES, images.CIFAR_SIDE), images.CIFAR_SIDE, CLASSES)
        given = ["--data", data, "--batch-size", count, "--amp", "off", "--output", self.folder / "absurd.pt",
                 "--device", self.device]
        try:
            return self.refused("finetune", given, LITTLE_MEMORY if self.device == "cpu" else None)
        finally:
            data.unlink()

    def refused(self, command: str, given: list, memory: Optional[int] = None) -> dict:
        """Whether a command ends with exit code 2 and one sentence."""

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

        whole = [self.options.ckaprune, command, "--model", self.archive(self.timed), "--quiet", *self.given, *given]
        ended = subprocess.run(list(map(str, whole)), capture_output=True, timeout=self.left(),
                               preexec_fn=limit if memory else None)
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        one = len(said) == 1 and said[0].startswith("error: ")
        return {"passed": ended.returncode == 2 and one, "exit": ended.returncode, "said": said[:20]}

    def map(self) -> dict:
        """Two ResNet-18 against each other, by ckaprune and by pytorch-cka."""
        data, network = self.data("map"), "resnet18"
        images.write(data, images.synthetic(self.sizes.map, MAP_SIDE), MAP_SIDE)
        archives = [self.folder / f"{network}-{seed}.pt" for seed in (1, 2)]
        for seed, archive in enumerate(archives, 1):
            self.python("networks.py", network, MAP_SIDE, archive, 3, seed)
        given = [*self.given, "--samples", "all", "--map", "--against", str(archives[1]),
                 "--batch-size", str(MAP_BATCH), "--output", str(self.folder / "map.json")]
        with CardMemory() as memory:
            run = self.ckaprune(self.device).score(archives[0], data, [], given)
        document = run.document()
        rows = [row["path"] for row in document["map"]["rows"] if row["kind"] == "block"]
        found = {"passed": True, "blocks": len(rows), "images": document["map"]["samples"], "s": document["seconds"],
                 "whole process s": run.wall, "MiB": run.peak_mib, "card MiB": memory.peak}
        try:
            self.package("cka")
        except program.Failed as error:
            return {**found, "pytorch-cka": f"skipped, since it cannot be imported ({error})"}
        theirs = self.eager("map", network, archives[0], data, MAP_SIDE, "--against", archives[1],
                            "--blocks", ",".join(rows), "--batch", MAP_BATCH)
        values = theirs.document()
        difference = max(abs(a - b) for ours, other in zip(document["map"]["cka"], values["map"])
                         for a, b in zip(ours, other))
        return {**found, "passed": difference < MAP_TOLERANCE, "largest difference": difference,
                "pytorch-cka s": values["seconds"], "pytorch-cka whole process s": theirs.wall,
                "pytorch-cka MiB": theirs.peak_mib, "pytorch-cka card MiB (tensors)": values.get("gpu_mib"),
                "pytorch-cka s/ckaprune s": values["seconds"] / document["seconds"]}

    def package(self, name: str) -> None:
        program.run(sys.executable, "-c", f"import {name}", timeout=self.left())


# Name, seconds that it may take, and what it does. What matters most comes first: the time may run out.
STEPS: List[Tuple[str, int, Callable[[Check], dict]]] = [
    ("archives and images", 60, Check.prepare),
    ("a device that is not there", 30, Check.no_such_device),
    ("picks, ResNet-20", 60, lambda check: check.picks("resnet20")),
    ("picks, ResNet-56", 60, lambda check: check.picks("resnet56")),
    ("scoring", 90, Check.throughput),
    ("an epoch of finetune", 90, Check.finetune),
    ("Ctrl-C in prune, and resume", 90, Check.interrupted),
    ("out of memory", 60, Check.out_of_memory),
    ("eager scoring", 90, Check.eager_scoring),
    ("eager training", 90, Check.eager_training),
    ("CKA map, two ResNet-18", 90, Check.map),
]


def announce(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def take(check: Check, name: str, limit: int, step: Callable[[Check], dict], end: float) -> dict:
    """A step's record. Whatever goes wrong in it is its own."""
    start = time.monotonic()
    if end - start < 5:
        return {"step": name, "passed": None, "seconds": 0.0, "failure": "skipped: the time has run out"}
    check.until = min(start + limit * check.sizes.patience, end)
    found: dict = {}
    failure = None
    try:
        found = step(check)
        passed = bool(found.pop("passed"))
    except Skipped as reason:
        passed, failure = None, f"skipped: {reason}"
    except Exception as error:  # noqa: BLE001
        passed, failure = False, f"{type(error).__name__}: {error}"
    return {"step": name, "passed": passed, "seconds": time.monotonic() - start, "failure": failure, "result": found}


def shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 0.005 else f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return " / ".join(map(str, value)) if isinstance(value, list) else str(value)


def table(records: List[dict]) -> str:
    words = {True: "yes", False: "**no**", None: "-"}
    rows = []
    for record in records:
        found = "; ".join(f"{key}: {shown(value)}" for key, value in record.get("result", {}).items())
        rows.append([record["step"], words[record["passed"]], f"{record['seconds']:.1f}", record["failure"] or found])
    return program.markdown(["step", "passed", "s", "found"], rows)


def machine() -> Optional[dict]:
    """The card, its driver and torch."""
    try:
        found = program.run(sys.executable, "-c", PROBE).document()
    except program.Failed as error:
        announce(f"torch is not importable in {sys.executable}: {error}")
        return None
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        found["driver"] = subprocess.run(query, capture_output=True, check=True, timeout=10).stdout.decode().strip()
    except (OSError, subprocess.SubprocessError):
        found["driver"] = None
    return found


def named_model(argument: str) -> Tuple[str, Path]:
    network, _, path = argument.partition("=")
    if network not in NETWORKS or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{argument} is not NETWORK=FILE with one of {', '.join(NETWORKS)}")
    return network, Path(path)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckaprune", type=Path, required=True)
    parser.add_argument("--model", type=named_model, action="append", default=[], metavar="NETWORK=FILE",
                        help=f"archive of {' or '.join(NETWORKS)}, for 32x32 [default: random weights]")
    parser.add_argument("--data", type=Path, help="CIFAR-10 in its binary version [default: synthetic images]")
    parser.add_argument("--output", type=Path, default=Path("gpu.json"), help="[default: %(default)s]")
    parser.add_argument("--seconds", type=int, default=450, help="for everything [default: %(default)s]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="of the CPU [default: one for each core]")
    parser.add_argument("--dry-run-on-cpu", action="store_true",
                        help="every step in small and on the CPU, to try this program itself")
    options = parser.parse_args()
    options.ckaprune = options.ckaprune.resolve()
    options.model = dict(options.model)
    return options


def main() -> int:
    options = parse()
    end = time.monotonic() + options.seconds
    here = machine()
    if here is None or not (here["card"] or options.dry_run_on_cpu):
        announce("skipped: the check on a GPU, since there is none that torch can use")
        return 0
    # The half of libtorch that computes on GPUs is this Python's.
    paths = [here["lib"], os.environ.get("LD_LIBRARY_PATH", "")]
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
    records: List[dict] = []
    with tempfile.TemporaryDirectory(prefix="ckaprune-gpu-") as folder:
        check = Check(options, Path(folder))
        for name, limit, step in STEPS:
            records.append(take(check, name, limit, step, end))
            last = records[-1]
            said = last["failure"] or ("passed" if last["passed"] else f"not passed: {last['result']}")
            announce(f"{name}, {last['seconds']:.1f} s: {said}")
            # After each, so that whoever stops this has what was found.
            document = {**here, "ckaprune": str(options.ckaprune), "device": check.device, "threads": options.threads}
            options.output.write_text(json.dumps({**document, "steps": records}, indent=1) + "\n")
    print(f"{here['card'] or 'CPU alone'}, driver {here['driver']}, torch {here['torch']}, {check.device}.\n")
    print(table(records))
    return 1 if any(record["passed"] is False for record in records) else 0


if __name__ == "__main__":
    sys.exit(main())
