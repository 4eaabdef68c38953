"""Removes residual blocks of one network of each family of timm with ckaprune. README.md says what is compared.

    python sweep.py --ckaprune target/release/ckaprune [FAMILY...]
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Dict, FrozenSet, List, Optional, Sequence

import torch
from torch import nn

import exports
import families
import macs
import models
import oracle
import removal
import table
from table import Row, first_line, listed

TOLERANCE = 1e-5
HEADER = ["family", "network", "export", "residual blocks found / there are", "removals exact / tried", "MACs", "note"]
NO_FVCORE = "fvcore cannot count it"
# Of a network with more blocks, so many alone; and so many random sets of several.
ALONE, SETS = 4, 1


class Sweep:
    """One network and one export of it."""

    def __init__(self, family: families.Family, export: str, ckaprune: removal.Ckaprune, folder: Path):
        self.family, self.export, self.ckaprune, self.folder = family, export, ckaprune, folder
        self.model = family.build(scriptable=export == "scripted")
        self.images = family.input(2)
        # First, because some networks compute less in later runs; and the oracle counts operators.
        self.whole = exports.run(self.model, self.images)
        # The same images as in the comparison: one image takes fewer copies than two.
        self.blocks = oracle.residual_blocks(self.model, self.images)
        self.tolerance = TOLERANCE if self.blocks.attention else 0.0

    def row(self, found="–", exact="–", counted="–", note="", faults=()) -> Row:
        return Row([self.family.name, self.family.variant, self.export, found, exact, counted, note], list(faults))

    def check(self) -> Row:
        archive = self.folder / f"{self.family.name}_{self.export}.pt"
        try:
            exports.save(self.model, self.export, self.images, archive)
            apart = self.apart(exports.run_archive(archive, self.images), self.whole)
        except Exception as e:
            return self.row(note=f"torch cannot export it: {first_line(e)}")
        if apart > self.tolerance:
            return self.row(note=f"in PyTorch the export differs from the network itself by {apart:.1g}")
        try:
            report = self.ckaprune.inspect(archive, self.family.side, [])
        except removal.Refused as e:
            return self.row(note="not read", faults=[f"inspect: {first_line(e)}"])
        removable = [b["path"] for b in report["blocks"] if b["removable"]]
        names, faults = self.named(removable)
        required = [b for b in self.blocks.found if not b.again]
        removed = [part for block in names.values() for part in (block.parts or (block,))]
        missing = [b for b in required if b not in removed]
        if missing:
            reasons = {b["path"]: b["reason"] for b in report["blocks"] if not b["removable"]}
            faults.append(f"{len(missing)} not removable: {self.reasons(missing, reasons)}")
            faults += [f"not followed: {n['path']}: {n['reason']}" for n in report["not_followed"][:3]]
        notes = [] if removable else [report.get("nothing_removable") or ""]
        if not any(notes) and not removable:
            faults.append("no reason why nothing is removable")
        outcome = self.remove_some(archive, names)
        faults += outcome.faults
        if outcome.worst > 0:
            notes.append(f"relative difference up to {outcome.worst:.1g}")
        counted, unequal = self.macs(report)
        faults += unequal
        found = f"{len(required) - len(missing)} / {len(required)}"
        return self.row(found, f"{outcome.exact} / {outcome.tried}", counted, "; ".join(notes), faults)

    def apart(self, got, wanted) -> float:
        return exports.difference(got, wanted, relative=self.blocks.attention)

    def named(self, removable: Sequence[str]) -> tuple:
        """The block behind each name: a module's path, or what runs in a sum; a number where several sums run the same."""
        names: Dict[str, oracle.Block] = {}
        free = list(self.blocks.found)
        by_path = {b.path: b for b in free if b.path is not None and not b.again}
        for path in removable:
            if path in by_path:
                names[path] = by_path[path]
                free.remove(by_path[path])
        numbered = []
        for path in (p for p in removable if p not in names):
            chain = oracle.chained([b for b in free if b.path is None and path in b.around])
            if chain is not None:
                names[path] = chain
                free = [b for b in free if b not in chain.parts]
                continue
            sums = [b for b in free if b.path is None and path in b.inside]
            if sums:
                names[path] = min(sums, key=lambda b: len(b.inside))
                free.remove(names[path])
            else:
                numbered.append(path)
        unknown = []
        for path in numbered:
            owner, _, number = path.rpartition(".")
            sums = [b for b in free if b.path is None and (b.owner == owner or owner.startswith("stage"))]
            if sums and number.startswith("block"):
                names[path] = sums[0]
                free.remove(sums[0])
            else:
                unknown.append(path)
        return names, [f"removable, but no residual block: {listed(unknown)}"] if unknown else []

    def reasons(self, missing: Sequence[oracle.Block], reasons: Dict[str, str]) -> str:
        said = {}
        for block in missing:
            why = reasons.get(block.path or "", "") or "not found"
            said.setdefault(why, []).append(block.path or f"sum in {block.owner or 'the root'}")
        return "; ".join(f"{listed(paths)} ({why})" for why, paths in said.items())

    def remove_some(self, archive: Path, names: Dict[str, oracle.Block]) -> removal.Outcome:
        outcome = removal.Outcome()
        pruned = self.folder / f"{self.family.name}_pruned.pt"
        for gone in some_removals(list(names), f"{models.SEED} {self.family.name}"):
            paths = [p for p in names if p in gone]
            try:
                self.ckaprune.remove(archive, paths, pruned, self.family.side, [])
                wanted = self.without([names[p] for p in paths])
                if exports.difference(wanted, self.whole, relative=True) <= 10 * self.tolerance:
                    outcome.fail(paths, "changes nothing in eager PyTorch, so this run shows nothing")
                    continue
                outcome.note(paths, self.apart(exports.run_archive(pruned, self.images), wanted), self.tolerance)
            except Exception as e:
                outcome.fail(paths, first_line(e))
        pruned.unlink(missing_ok=True)
        return outcome

    def without(self, gone: Sequence[oracle.Block]) -> List[torch.Tensor]:
        if all(b.path is not None for b in gone):
            with identity_in_place_of(self.model, gone) as model:
                return exports.run(model, self.images)
        images = self.images.clone()
        with torch.no_grad(), oracle.Without(gone, images):
            return exports.tensors(self.model(images))

    def macs(self, report: dict) -> tuple:
        ours = f"{report['macs']:,}"
        if not report["macs_exact"]:
            return "≥ " + ours, []
        try:
            counted, _ = macs.fvcore_macs(self.model, self.family.input(1))
        except Exception:
            return f"{ours} ({NO_FVCORE})", []
        return ours, [] if counted == report["macs"] else [f"MACs: {ours}, fvcore {counted:,}"]


@contextmanager
def identity_in_place_of(model: nn.Module, blocks: Sequence[oracle.Block]):
    """Each module hands on the argument that its skip carries, whatever else it is given."""
    modules = [model.get_submodule(b.path) for b in blocks]
    for block, module in zip(blocks, modules):
        module.forward = lambda *given, at=block.argument, **named: [*given, *named.values()][at]
    try:
        yield model
    finally:
        for module in modules:
            del module.forward


def some_removals(names: List[str], seed: str) -> List[FrozenSet[str]]:
    source = random.Random(seed)
    alone = names if len(names) <= ALONE else [names[0], *source.sample(names[1:-1], ALONE - 2), names[-1]]
    found = [frozenset([name]) for name in alone]
    if len(names) > 1:
        found.append(frozenset(names))
    for _ in range(SETS if len(names) > 2 else 0):
        found.append(frozenset(source.sample(names, source.randint(2, len(names) - 1))))
    return list(dict.fromkeys(found))


def check_export(connection, name: str, export: str, program: Path, threads: int) -> None:
    """Runs in a process of its own, whose children die with it."""
    os.setsid()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory(prefix="ckaprune-sweep-") as folder:
        connection.send(Sweep(families.FAMILIES[name], export, removal.Ckaprune(program), Path(folder)).check())


def supervised(name: str, export: str, program: Path, threads: int, seconds: float) -> Row:
    """A row whatever happens: a case that hangs or crashes is a fault of this row."""
    context = get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=check_export, args=(theirs, name, export, program, threads))
    start = time.monotonic()
    process.start()
    theirs.close()
    row = None
    try:
        if ours.poll(seconds):
            row = ours.recv()
            process.join(60)
    except EOFError:
        process.join(60)
    if row is None:
        ended = process.exitcode
        fault = f"not done in {seconds:.0f} s" if ended is None else f"the process ended with {ended}"
        row = Row([name, families.FAMILIES[name].variant, export, "–", "–", "–", ""], [fault])
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    faults = [f"  {fault}" for fault in row.faults]
    note = [f"  {row.cells[-1]}"] if row.cells[-1] else []
    seconds = time.monotonic() - start
    lines = [f"{name}, {export}: {seconds:.0f} s, {row.cells[3]} found, {row.cells[4]} exact", *note, *faults]
    print("\n".join(lines), file=sys.stderr, flush=True)
    return row


def summary(rows: Sequence[Row]) -> tuple:
    exported = [row for row in rows if row.faults or row.cells[3] != "–"]
    good = sum(not row.faults for row in exported)
    share = 100 * good / max(1, len(exported))
    text = f"{len(exported)} exports of {len({row.cells[0] for row in exported})} families, {good} of them without fault ({share:.1f} %)"
    return text, share


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help="all of them by default")
    parser.add_argument("--ckaprune", type=Path, required=True)
    parser.add_argument("--exports", default="scripted,traced", help="[default: %(default)s]")
    parser.add_argument("--jobs", type=int, default=1, help="exports at a time; the cores are shared among them")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one export [default: %(default)s]")
    parser.add_argument("--share", type=float, default=97, help="exit code 1 below it, in per cent [default: %(default)s]")
    options = parser.parse_args()
    everything = options.families in ([], ["all"])
    names, wanted = list(families.FAMILIES) if everything else options.families, options.exports.split(",")
    unknown = [n for n in names if n not in families.FAMILIES] + [e for e in wanted if e not in ("scripted", "traced")]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(families.FAMILIES)}")
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    get_context("forkserver").set_forkserver_preload(["families", "exports", "macs", "oracle", "removal"])
    start = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        tasks = [
            pool.submit(supervised, name, export, options.ckaprune.resolve(), threads, options.timeout)
            for name in names
            for export in wanted
        ]
        print(table.head(HEADER, "lllrrrl"))
        rows = []
        for task in tasks:
            rows.append(task.result())
            # Row by row: what is done stays if the rest is stopped.
            print(table.line(rows[-1]), flush=True)
    text, share = summary(rows)
    print(f"{text}, in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return 0 if share >= options.share else 1


if __name__ == "__main__":
    sys.exit(main())
