"""Blocks as ckaprune sees them, removed by it, and the eager network with the same modules gone."""

import json
import random
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, FrozenSet, List, Sequence

import torch
from torch import nn

import models

RANDOM_SETS = 3


class Refused(Exception):
    """ckaprune did not exit with 0; holds its message."""


@dataclass(frozen=True)
class Ckaprune:
    program: Path

    def run(self, *arguments) -> str:
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            raise Refused(f"exit {done.returncode}: {without_folders(done.stderr, arguments)}")
        return done.stdout

    def knows(self, option: str) -> bool:
        return option in self.run("inspect", "--help")

    def inspect(self, archive: Path, side: int, options: Sequence[str]) -> dict:
        return json.loads(self.run("inspect", "--model", archive, "--input-size", side, "--json", *options))

    def why_nothing(self, archive: Path, side: int, options: Sequence[str]) -> str:
        """The reason in the table for people, where it has no blocks."""
        text = self.run("inspect", "--model", archive, "--input-size", side, *options)
        lines = (line.split("none:", 1) for line in text.splitlines() if "none:" in line)
        return next((line[1].strip() for line in lines), "")

    def remove(self, archive: Path, paths: Sequence[str], output: Path, side: int, options: Sequence[str]) -> None:
        output.unlink(missing_ok=True)
        self.run(
            "remove", "--model", archive, "--blocks", ",".join(paths), "--output", output,
            "--input-size", side, "--quiet", *options,
        )


def without_folders(message: str, arguments) -> str:
    """Temporary folders differ from run to run."""
    for folder in {f"{a.parent}/" for a in arguments if isinstance(a, Path)}:
        message = message.replace(folder, "")
    return message.strip()


class Zeros(nn.Module):
    """Runs the module and answers zeros of the same structure: a residual branch that adds nothing."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, *args, **kwargs):
        output = self.module(*args, **kwargs)
        if isinstance(output, tuple):
            return tuple(None if t is None else torch.zeros_like(t) for t in output)
        return torch.zeros_like(output)


def replacements(model: nn.Module, path: str) -> Dict[str, nn.Module]:
    """What stands where, once the block or span `path` is gone."""
    parent_path, _, name = path.rpartition(".")
    parent = model.get_submodule(parent_path)
    first, left = models.ENDS_IN_SUM.get(type(parent), (None, None))
    if name == first:
        return {parent_path: getattr(parent, left)}
    if not is_half(model, path):
        return {name: nn.Identity() for name in span(model, path)}
    changed = {path: Zeros(model.get_submodule(path))}
    norm = models.NORM_BEHIND.get((type(parent), name))
    if norm:
        changed[f"{parent_path}.{norm}"] = Zeros(getattr(parent, norm))
    return changed


def is_half(model: nn.Module, path: str) -> bool:
    parent, _, name = path.rpartition(".")
    return name in models.HALVES.get(type(model.get_submodule(parent)), ())


def span(model: nn.Module, path: str) -> List[str]:
    """`features.4-6` is `features.4`, `features.5` and `features.6`: a row of a module's children, in their order."""
    parent, dot, last = path.rpartition(".")
    children = [name for name, _ in model.get_submodule(parent).named_children()]
    if last not in children:
        # A name may hold a dash itself.
        for i in (i for i, letter in enumerate(last) if letter == "-"):
            first, end = last[:i], last[i + 1 :]
            if first in children and end in children:
                row = children[children.index(first) : children.index(end) + 1]
                return [f"{parent}{dot}{name}" for name in row]
    return [path]


@contextmanager
def without(model: nn.Module, paths: FrozenSet[str]):
    """The eager network while the blocks are gone; they are put back afterwards."""
    changed = {}
    for path in paths:
        changed.update(replacements(model, path))
    before = {path: model.get_submodule(path) for path in changed}
    try:
        for path, module in changed.items():
            put(model, path, module)
        yield model
    finally:
        for path, module in before.items():
            put(model, path, module)


def put(model: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    model.get_submodule(parent)._modules[name] = module


def removals(model: nn.Module, paths: Sequence[str], seed: str) -> List[FrozenSet[str]]:
    """Each block alone, and three random sets of at least two that do not lie in each other."""
    singles = [frozenset([path]) for path in paths]
    source = random.Random(seed)
    sets: List[FrozenSet[str]] = []
    for _ in range(20 * RANDOM_SETS):
        if len(sets) == RANDOM_SETS or len(paths) < 2:
            break
        chosen: List[str] = []
        for path in source.sample(list(paths), source.randint(2, len(paths))):
            if not any(overlap(model, path, other) for other in chosen):
                chosen.append(path)
        if len(chosen) > 1 and frozenset(chosen) not in sets:
            sets.append(frozenset(chosen))
    return singles + sets


def overlap(model: nn.Module, a: str, b: str) -> bool:
    within = lambda inner, outer: inner == outer or inner.startswith(outer + ".")
    return any(within(x, y) or within(y, x) for x in span(model, a) for y in span(model, b))


@dataclass
class Outcome:
    """What became of the removals of one archive."""

    exact: int = 0
    tried: int = 0
    worst: float = 0.0
    faults: List[str] = field(default_factory=list)

    def note(self, removed: Sequence[str], apart: float, tolerance: float) -> None:
        self.tried += 1
        if apart <= tolerance:
            self.exact += 1
            self.worst = max(self.worst, apart)
        else:
            self.faults.append(f"{','.join(removed)}: differs by {apart:.3g}")

    def fail(self, removed: Sequence[str], message: str) -> None:
        self.tried += 1
        self.faults.append(f"{','.join(removed)}: {message}")
