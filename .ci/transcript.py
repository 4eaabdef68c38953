#!/usr/bin/env python3
"""Checks that a transcript in a text still reads as what the program prints.

    python3 .ci/transcript.py TEXT.md 'COMMAND' OUTPUT      (the transcript that begins with `$ COMMAND`)

Figures, and whatever stands in their place, differ from machine to machine; words must not. Lines are compared with every
number as 0; a line that repeats with other numbers, such as one for each epoch, counts once.
"""

import os
import re
import sys
from pathlib import Path


def main():
    text, command, output = sys.argv[1:]
    recorded = list(dict.fromkeys(forms(transcript(Path(text).read_text(), command))))
    told = Path(output).read_text().replace(os.environ.get("CARGO_TARGET_DIR", "target"), "target")
    printed = list(dict.fromkeys(forms(told.splitlines())))
    missing = [line for line in recorded if line not in printed]
    for line in missing:
        print(f"{text}: no line of the output reads: {line}")
    # A machine may have something of its own to say: that is no fault.
    for line in between(printed, recorded):
        if line not in recorded:
            print(f"{text}: the transcript lacks: {line}")
    sys.exit(1 if missing else 0)


def transcript(text, command):
    """The lines of the block of code in which the command stands, behind it."""
    for block in text.split("```")[1::2]:
        lines = block.splitlines()[1:]
        if lines and lines[0] == f"$ {command}":
            return lines[1:]
    sys.exit(f"no transcript begins with: $ {command}")


def between(printed, recorded):
    """What was printed from the first recorded line to the last: what make and cargo say before is no part of it."""
    places = [place for place, line in enumerate(printed) if line in recorded]
    return printed[places[0] : places[-1] + 1] if places else []


def forms(lines):
    for line in lines:
        line = re.sub(r"stage\d+\.\d+", "BLOCK", line)
        line = re.sub(r"[−+×-]?\d[\d,]*(\.\d+)?", "0", line)
        line = " ".join(re.sub("─+", "─", line).split())
        # What was not done, such as a step that was not kept, is a dash among figures.
        line = re.sub(r"(?<= )-(?= |$)", "0", line)
        line = line.replace(" 0 % → 0 %", " 0 %")
        # Whether training did better than what it began with is another thing that figures decide.
        line = re.sub(r"^(fine-tuned for 0 epochs more),.*", r"\1", line)
        if line and not line.startswith("no epoch did better"):
            yield line


if __name__ == "__main__":
    main()
