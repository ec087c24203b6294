"""
What every benchmark prints: tables, figures beside their targets, and an exit code.

A benchmark makes one `Report`, adds tables and figures to it, and ends with
``raise SystemExit(report.conclude())``: 0 when every figure meets its target, 1 when one falls short.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Options:
    """What every benchmark is asked: less of it (`quick`), and for a machine (`json`)."""

    quick: bool
    json: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One measured number and what it must reach.

    Attributes:
        name: What was measured.
        value: [unit] The measurement.
        unit: Printed behind the number; percent is ``%``.
        at_least: [unit] Target from below, if any.
        at_most: [unit] Target from above, if any.
        digits: How many decimals are printed; the comparison uses all of them.
    """

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    digits: int = 2

    @property
    def is_met(self) -> bool:
        """Tell whether the value is inside its targets; true when it has none."""
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    @property
    def target(self) -> str:
        """The target as text, empty when the figure is for information."""
        parts = []
        if self.at_least is not None:
            parts.append(f">= {self.at_least:g}{self._suffix}")
        if self.at_most is not None:
            parts.append(f"<= {self.at_most:g}{self._suffix}")
        return " and ".join(parts)

    @property
    def shown(self) -> str:
        """The value as text."""
        return f"{self.value:,.{self.digits}f}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return f" {self.unit}" if self.unit else ""


@dataclass(slots=True)
class Report:
    """
    Everything one run of a benchmark has to say.

    Attributes:
        name: Name of the benchmark.
        options: As returned by `parse_options`.
        figures: In the order they were added.
        tables: Title to rows, the first row is the header.
    """

    name: str
    options: Options
    figures: list[Figure] = field(default_factory=list)
    tables: dict[str, list[list[Cell]]] = field(default_factory=dict)

    def add(self, figure: Figure) -> None:
        """Add a figure; it is printed with its target by `conclude`."""
        self.figures.append(figure)

    def add_table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Add a table; printed at once, unless the output is for a machine."""
        self.tables[title] = [list(header), *(list(row) for row in rows)]
        if not self.options.json:
            print(f"\n{title}\n\n{markdown(header, rows)}", flush=True)

    def note(self, text: str) -> None:
        """Print a line for whoever watches; to stderr, so that it never spoils the result."""
        print(text, file=sys.stderr, flush=True)

    def conclude(self) -> int:
        """
        Print the figures beside their targets, or everything as JSON.

        Returns:
            Exit code: 0 when every target is met, else 1.
        """
        is_met = all(figure.is_met for figure in self.figures)
        if self.options.json:
            print(json.dumps(self._as_json(is_met=is_met), indent=2))
            return 0 if is_met else 1
        rows = [[f.name, f.shown, f.target, _verdict(f)] for f in self.figures]
        print(f"\n{self.name}: figures\n\n{markdown(['figure', 'measured', 'target', ''], rows)}")
        missed = sum(not figure.is_met for figure in self.figures)
        print(f"\n{'every target met' if is_met else f'{missed} of the targets missed'}")
        return 0 if is_met else 1

    def _as_json(self, *, is_met: bool) -> dict[str, object]:
        return {
            "benchmark": self.name,
            "quick": self.options.quick,
            "python": platform.python_version(),
            "passed": is_met,
            "figures": [
                {
                    "name": f.name,
                    "value": f.value,
                    "unit": f.unit,
                    "at_least": f.at_least,
                    "at_most": f.at_most,
                    "passed": f.is_met,
                }
                for f in self.figures
            ],
            "tables": {
                title: [dict(zip(rows[0], row, strict=True)) for row in rows[1:]] for title, rows in self.tables.items()
            },
        }


def parse_options(description: str | None, arguments: Sequence[str] | None = None) -> Options:
    """
    Read ``--quick`` and ``--json`` from the command line.

    Args:
        description: Shown by ``--help``; a benchmark passes its `__doc__`.
        arguments: Instead of those of the process.

    Returns:
        The options. Exits with status 2 on an unknown argument.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sample, in less than a minute")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on stdout")
    parsed = parser.parse_args(arguments)
    return Options(quick=parsed.quick, json=parsed.json)


def markdown(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Lay out a Markdown table; numbers to the right, floats with two decimals."""
    shown = [[_show(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *shown]) for i in range(len(header))]
    is_number = [bool(rows) and isinstance(rows[0][i], int | float) for i in range(len(header))]
    lines = [
        "| " + " | ".join(name.ljust(width) for name, width in zip(header, widths, strict=True)) + " |",
        "|" + "|".join("-" * (w + 1) + (":" if n else "-") for w, n in zip(widths, is_number, strict=True)) + "|",
    ]
    for row in shown:
        cells = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, is_number, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _show(cell: Cell) -> str:
    if cell is None:
        return "–"
    return f"{cell:,.2f}" if isinstance(cell, float) else str(cell)


def _verdict(figure: Figure) -> str:
    if not figure.target:
        return "for information"
    return "met" if figure.is_met else "MISSED"
