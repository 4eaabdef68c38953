"""Programs run to their end, with what they cost."""

import json
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional


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
    # Of the process and those that it waited for.
    user: float
    system: float
    peak_mib: float

    def document(self) -> dict:
        return json.loads(self.output)


def run(*command, timeout: Optional[float] = None) -> Run:
    """Raises `Failed` where it does not exit with 0, or is still running after `timeout` seconds and so is killed."""
    # A child's peak memory begins with that of its parent, so this process imports nothing large (no torch, no numpy).
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        start = time.perf_counter()
        child = subprocess.Popen([str(c) for c in command], stdout=stdout, stderr=stderr)
        late = threading.Event()
        watch = threading.Timer(timeout or threading.TIMEOUT_MAX, lambda: (late.set(), child.kill()))
        watch.daemon = True
        watch.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        finally:
            watch.cancel()
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        for stream in (stdout, stderr):
            stream.seek(0)
        if late.is_set():
            raise Failed(child.returncode, f"stopped after {timeout:.0f} s")
        if child.returncode != 0:
            raise Failed(child.returncode, stderr.read().decode(errors="replace"))
        return Run(stdout.read().decode(), wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024)


@dataclass(frozen=True)
class Ckaprune:
    program: Path
    device: str = "cpu"
    timeout: Optional[float] = None

    def knows_race(self) -> bool:
        return "--race" in run(self.program, "score", "--help").output

    def version(self) -> str:
        return run(self.program, "--version").output.strip()

    def score(self, archive: Path, data: Path, mode: List[str], options: List[str]) -> Run:
        """`mode` is `["--exact"]` or `["--race"]`."""
        return self.measure("score", archive, data, [*options, *mode])

    def evaluate(self, archive: Path, data: Path, options: List[str]) -> Run:
        """Without timing forward passes, which takes seconds of its own."""
        return self.measure("eval", archive, data, ["--passes", "0", *options])

    def finetune(self, archive: Path, data: Path, output: Path, options: List[str]) -> Run:
        return self.measure("finetune", archive, data, ["--output", str(output), "--force", *options])

    def measure(self, command: str, archive: Path, data: Path, options: List[str]) -> Run:
        common = ["--device", self.device, "--quiet", "--json"]
        return run(self.program, command, "--model", archive, "--data", data, *common, *options, timeout=self.timeout)

    def remove(self, archive: Path, path: str, output: Path) -> None:
        run(self.program, "remove", "--model", archive, "--blocks", path, "--output", output, "--force", "--quiet")


def scored(document: dict) -> List[dict]:
    """The scored blocks of a `score` document, best first."""
    return sorted((b for b in document["blocks"] if b.get("rank") is not None), key=lambda b: b["rank"])


def markdown(header: List[str], rows: List[List[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
