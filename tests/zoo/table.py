"""The tables that go to stdout, and messages cut to a line."""

from dataclasses import dataclass, field
from typing import List, Sequence


@dataclass
class Row:
    cells: List[str]
    faults: List[str] = field(default_factory=list)


def markdown(header: Sequence[str], align: str, rows: Sequence[Row]) -> str:
    return "\n".join([head(header, align), *map(line, rows)])


def head(header: Sequence[str], align: str) -> str:
    """`align` has a letter for each column: l or r."""
    return joined(header) + "\n|" + "".join("---:|" if letter == "r" else "---|" for letter in align)


def line(row: Row) -> str:
    """Faults stand in front of the last cell."""
    failed = [f"**{len(row.faults)} failed**: {row.faults[0]}"] if row.faults else []
    return joined([*row.cells[:-1], "; ".join(filter(None, [*failed, row.cells[-1]]))])


def joined(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def first_line(error: Exception) -> str:
    """Of a TorchScript error, the line that says what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    plain = [line for line in lines if "Traceback" not in line and "most recent call" not in line]
    return (plain or [type(error).__name__])[0][:200]


def listed(items) -> str:
    shown = sorted(items)
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")
