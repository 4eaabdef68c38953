"""A whole run on a program of torch.export: scored as TorchScript is, trained as it is, killed and resumed, and loaded again.

    python exported_run.py --ckaprune target/release/ckaprune
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

import images  # noqa: E402
import networks  # noqa: E402

SIDE = 32
ITERATIONS = 3


def made(folder: Path) -> torch.Tensor:
    """ResNet-20 as TorchScript and as a program, with the same weights; images to train and to ask on."""
    script = folder / "resnet20.pt"
    networks.write_archive("resnet20", SIDE, script)
    model = networks.load("resnet20", script)
    example = torch.randn(2, 3, SIDE, SIDE)
    program = torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, str(folder / "resnet20.pt2"))
    pixels = images.synthetic(256, SIDE), images.synthetic(64, SIDE, 1)
    images.write_labelled(folder / "data.npz", *pixels, SIDE, 10)
    return torch.randn(32, 3, SIDE, SIDE)


class Runs:
    def __init__(self, ckaprune: Path, folder: Path):
        self.ckaprune, self.folder = ckaprune, folder

    def start(self, *arguments) -> subprocess.Popen:
        line = [self.ckaprune, *map(str, arguments), "--data", "data.npz", "--device", "cpu", "--threads", "2"]
        return subprocess.Popen(line, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def done(self, *arguments) -> str:
        run = self.start(*arguments)
        out, err = run.communicate()
        if run.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, arguments))}: exit {run.returncode}: {err}")
        return out

    def pruned(self, model: str, output: str, *more) -> tuple:
        return ("prune", "--model", model, "--iterations", ITERATIONS, "--epochs", 1, "--output", output, "--force", *more)


def same(found, wanted, what: str) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: not the same")
    print(f"{what}: the same", flush=True)


def cka(runs: Runs, model: str) -> dict:
    document = json.loads(runs.done("score", "--model", model, "--exact", "--samples", 256, "--json"))
    return {block["path"]: block.get("cka") for block in document["blocks"]}


def kill_after_first(runs: Runs) -> None:
    """Ends a run at once when its first iteration lies in its folder, as the system would."""
    run = runs.start(*runs.pruned("resnet20.pt2", "killed.pt2", "--run-dir", "run"))
    first = runs.folder / "run" / "iteration-001.pt2"
    while not first.exists() and run.poll() is None:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    if (runs.folder / "killed.pt2").exists():
        raise SystemExit("the run was over before it was killed")


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckaprune", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ckaprune-zoo-") as name:
        folder = Path(name)
        with torch.enable_grad():
            pictures = made(folder)
        runs = Runs(options.ckaprune.resolve(), folder)
        same(cka(runs, "resnet20.pt2"), cka(runs, "resnet20.pt"), "exact CKA of program and TorchScript, in all digits")
        runs.done(*runs.pruned("resnet20.pt2", "straight.pt2"))
        kill_after_first(runs)
        runs.done(*runs.pruned("resnet20.pt2", "resumed.pt2", "--run-dir", "run", "--resume"))
        bytes_of = lambda file: (folder / file).read_bytes()
        same(bytes_of("resumed.pt2"), bytes_of("straight.pt2"), "files of a run that was killed and of one that was not")
        runs.done(*runs.pruned("resnet20.pt2", "script.pt"))
        in_python = torch.export.load(str(folder / "straight.pt2")).module()(pictures)
        in_libtorch = torch.jit.load(str(folder / "script.pt"))(pictures)
        same(torch.equal(in_python, in_libtorch), True, "scores of the program in Python and in libtorch, bit for bit")
        runs.done(*runs.pruned("resnet20.pt", "scripted.pt"))
        as_script = torch.jit.load(str(folder / "scripted.pt")).eval()(pictures)
        same(torch.equal(in_python, as_script), True, "scores after the same run on TorchScript, bit for bit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
