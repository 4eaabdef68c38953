"""Removes every block of many networks with ckaprune and compares with PyTorch. README.md says what is compared.

    python zoo.py --ckaprune target/release/ckaprune [MODEL...]
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Dict, FrozenSet, List, Optional, Sequence

import torch

import exports
import macs
import models
import removal
from table import Row, first_line, listed, markdown

TOLERANCE = 1e-5
HEADER = ["model", "export", "blocks (removable/found)", "removals exact / tried", "MACs (ours)", "fvcore", "note"]
MODES = {"block": [], "fine": ["--granularity", "fine"], "all": ["--candidates", "all"]}


class Zoo:
    """One network: its exports, and the eager outputs that they are compared with, each computed once."""

    def __init__(self, entry: models.Entry, ckaprune: removal.Ckaprune, folder: Path):
        self.entry, self.ckaprune, self.folder = entry, ckaprune, folder
        self.model = entry.build()
        self.images = entry.input(2)
        self.counted, self.counted_by_us = macs.fvcore_macs(self.model, entry.input(1))
        self.whole = exports.run(self.model, self.images)
        self.references: Dict[tuple, list] = {}
        # Paths of all blocks of the scripted archive in order: a frozen one has no module names.
        self.block_paths: Optional[List[str]] = None

    def modes(self) -> List[str]:
        known = ["block"]
        has_halves = any(type(m) in models.HALVES for m in self.model.modules())
        if has_halves and self.ckaprune.knows("--granularity"):
            known.append("fine")
        if not models.expected_blocks(self.model, "block").required and self.ckaprune.knows("--candidates"):
            known.append("all")
        return known

    def reference(self, paths: FrozenSet[str], frozen: bool) -> list:
        key = (paths, frozen)
        if key not in self.references:
            with removal.without(self.model, paths) as model:
                with torch.no_grad():
                    runnable = exports.freeze(model, self.images) if frozen else model
                self.references[key] = exports.run(runnable, self.images)
            exports.forget_scripts()
        return self.references[key]

    def rows(self, wanted: Sequence[str]) -> List[Row]:
        found = []
        for export in wanted:
            if export in ("frozen", "exported_static") and not self.entry.convolutional:
                continue
            archive = self.folder / f"{self.entry.name}_{export}{exports.suffix(export)}"
            try:
                exports.save(self.model, export, self.entry.input(1), archive)
            except Exception as e:
                found.append(self.row(export, note=f"torch cannot export it: {first_line(e)}"))
                continue
            # Neither halves nor spans have names in a frozen archive.
            modes = ["block"] if export == "frozen" else self.modes()
            found.extend(self.check(archive, export, mode) for mode in modes)
            archive.unlink()
        return found

    def row(self, export: str, blocks="–", exact="–", ours="–", note="", faults=()) -> Row:
        return Row([self.entry.name, export, blocks, exact, ours, f"{self.counted:,}", note], list(faults))

    def check(self, archive: Path, export: str, mode: str) -> Row:
        label = export if mode == "block" else f"{export}, {mode}"
        side, options = self.entry.side, MODES[mode]
        try:
            report = self.ckaprune.inspect(archive, side, options)
        except removal.Refused as e:
            return self.row(label, note="not read", faults=[f"inspect: {first_line(e)}"])
        blocks = report["blocks"]
        removable = [b["path"] for b in blocks if b["removable"]]
        faults, notes = [], []
        eager_paths = self.eager_paths(blocks, export, mode)
        if eager_paths is None:
            faults.append(f"{len(blocks)} blocks, where the scripted archive has {len(self.block_paths or [])}")
            eager_paths = {}
        else:
            if export == "frozen":
                # Without modules a sum inside a block that cannot go as a whole may be a block of its own.
                expected = models.expected_blocks(self.model, mode).required
                eager_paths = {p: eager for p, eager in eager_paths.items() if eager in expected}
            faults += self.unexpected([eager_paths[p] for p in removable if p in eager_paths], mode)
        if not removable:
            reason, without_reason = self.why_nothing(archive, blocks, options)
            notes.append(reason)
            faults += without_reason
        outcome = self.remove_all(archive, [p for p in removable if p in eager_paths], eager_paths, export, mode)
        faults += outcome.faults
        if outcome.worst > 0:
            notes.append(f"relative difference up to {outcome.worst:.1g}")
        ours = f"{report['macs']:,}"
        if not report["macs_exact"]:
            ours = "≥ " + ours
        if report["macs"] != self.counted or not report["macs_exact"]:
            faults.append(f"MACs: {ours}, fvcore {self.counted:,}")
        if self.counted_by_us:
            notes.append(f"{' and '.join(self.counted_by_us)} counted by this check's own handler")
        exact = f"{outcome.exact} / {outcome.tried}"
        return self.row(label, f"{len(removable)}/{len(blocks)}", exact, ours, "; ".join(notes), faults)

    def eager_paths(self, blocks: List[dict], export: str, mode: str) -> Optional[Dict[str, str]]:
        """The eager module behind each block's name."""
        paths = [b["path"] for b in blocks]
        if export == "scripted" and mode == "block":
            self.block_paths = paths
        if export != "frozen":
            return {p: p for p in paths}
        if self.block_paths is None or len(paths) != len(self.block_paths):
            return None
        return dict(zip(paths, self.block_paths))

    def unexpected(self, removable: Sequence[str], mode: str) -> List[str]:
        """In what the removable blocks differ from what the eager network has."""
        expected = models.expected_blocks(self.model, mode)
        found = set(removable)
        missing, more = expected.required - found, found - expected.required - expected.allowed
        faults = []
        if missing:
            faults.append(f"{len(missing)} of {len(expected.required)} not removable: {listed(missing)}")
        if more and not expected.open_ended:
            faults.append(f"removable, but no residual block: {listed(more)}")
        only_spans = expected.open_ended and not expected.required
        spans = models.shape_keeping_convolutions(self.model) if only_spans else 0
        if len(found) < spans:
            faults.append(f"{len(found)} candidates, but {spans} convolutions keep the shape")
        return faults

    def why_nothing(self, archive: Path, blocks: List[dict], options: Sequence[str]) -> tuple:
        if blocks:
            reasons = {b["reason"] or "" for b in blocks}
            return listed(reasons), [] if all(reasons) else ["a block that is not removable has no reason"]
        reason = self.ckaprune.why_nothing(archive, self.entry.side, options)
        return reason, [] if reason else ["no reason why nothing is removable"]

    def remove_all(self, archive, removable, eager_paths, export, mode) -> removal.Outcome:
        outcome = removal.Outcome()
        tolerance = 0.0 if self.entry.convolutional else TOLERANCE
        # Sets are drawn of eager paths, so that every export shares the references.
        names = {eager_paths[p]: p for p in removable}
        pruned = self.folder / f"{self.entry.name}_pruned{exports.suffix(export)}"
        tidy = exports.left_over(archive) is None
        for gone in removal.removals(self.model, list(names), f"{models.SEED} {self.entry.name}"):
            paths = [p for eager, p in names.items() if eager in gone]
            try:
                self.ckaprune.remove(archive, paths, pruned, self.entry.side, MODES[mode])
                wanted = self.reference(gone, export == "frozen")
                if exports.difference(wanted, self.whole, relative=True) <= 10 * tolerance:
                    outcome.fail(paths, "changes nothing in eager PyTorch, so this run shows nothing")
                    continue
                left = exports.left_over(pruned) if tidy else None
                if left:
                    outcome.fail(paths, left)
                    continue
                got = exports.run_archive(pruned, self.images)
                apart = exports.difference(got, wanted, relative=not self.entry.convolutional)
                outcome.note(paths, apart, tolerance)
            except Exception as e:
                outcome.fail(paths, first_line(e))
        pruned.unlink(missing_ok=True)
        return outcome


def check_model(name: str, program: Path, wanted: Sequence[str], threads: int) -> List[Row]:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ckaprune-zoo-") as folder:
        rows = Zoo(models.ENTRIES[name], removal.Ckaprune(program), Path(folder)).rows(wanted)
    faults = [f"  {row.cells[1]}: {fault}" for row in rows for fault in row.faults]
    print("\n".join([f"{name}: {time.monotonic() - start:.0f} s", *faults]), file=sys.stderr, flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="all of them by default")
    parser.add_argument("--ckaprune", type=Path, required=True)
    parser.add_argument("--exports", default=",".join(exports.ALL),
                        help="frozen needs scripted before it [default: %(default)s]")
    parser.add_argument("--jobs", type=int, default=1, help="models at a time; the cores are shared among them")
    options = parser.parse_args()
    names = options.models or list(models.ENTRIES)
    unknown = [n for n in names if n not in models.ENTRIES] + [
        e for e in options.exports.split(",") if e not in exports.ALL
    ]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(models.ENTRIES)}")
    threads = max(1, (os.cpu_count() or 1) // options.jobs)
    start = time.monotonic()
    program, wanted = options.ckaprune.resolve(), options.exports.split(",")
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        tasks = [pool.submit(check_model, name, program, wanted, threads) for name in names]
        rows = [row for task in tasks for row in task.result()]
    print(markdown(HEADER, "llrrrrl", rows))
    failed = sum(bool(row.faults) for row in rows)
    print(f"{len(names)} models in {time.monotonic() - start:.0f} s; {failed} of {len(rows)} rows failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
