"""Programs run to their end, with what they cost."""

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List


class Failed(Exception):
    """A program did not exit with 0. Shown is its last line on stderr, in a Python trace the reason."""

    def __init__(self, code: int, message: str):
        lines = message.strip().splitlines() or ["no message"]
        super().__init__(f"exit {code}: {lines[-1].strip()[:200]}")
        self.code, self.message = code, message


@dataclass(frozen=True)
class Run:
    output: str
    # From before the process starts to after it has ended.
    wall: float
    peak_mib: float

    def document(self) -> dict:
        return json.loads(self.output)


def run(*command) -> Run:
    # A child's peak memory begins with that of its parent, so this process imports nothing large (no torch, no numpy).
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        start = time.perf_counter()
        child = subprocess.Popen([str(c) for c in command], stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        for stream in (stdout, stderr):
            stream.seek(0)
        if child.returncode != 0:
            raise Failed(child.returncode, stderr.read().decode(errors="replace"))
        return Run(stdout.read().decode(), wall, usage.ru_maxrss / 1024)


@dataclass(frozen=True)
class Ckaprune:
    program: Path

    def knows_race(self) -> bool:
        return "--race" in run(self.program, "score", "--help").output

    def score(self, archive: Path, data: Path, mode: List[str], options: List[str]) -> Run:
        """`mode` is `["--exact"]`, `["--race"]`, or nothing for a version that has only one way."""
        # The eager loop runs on the CPU; a GPU beside it would be another comparison.
        common = ["--device", "cpu", "--quiet", "--json"]
        return run(self.program, "score", "--model", archive, "--data", data, *common, *options, *mode)

    def finetune(self, archive: Path, data: Path, output: Path, options: List[str]) -> Run:
        common = ["--device", "cpu", "--quiet", "--json", "--output", output, "--force"]
        return run(self.program, "finetune", "--model", archive, "--data", data, *common, *options)

    def remove(self, archive: Path, path: str, output: Path) -> None:
        run(self.program, "remove", "--model", archive, "--blocks", path, "--output", output, "--force", "--quiet")


def scored(document: dict) -> List[dict]:
    """The scored blocks of a `score` document, best first."""
    return sorted((b for b in document["blocks"] if b.get("rank") is not None), key=lambda b: b["rank"])


def markdown(header: List[str], rows: List[List[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
