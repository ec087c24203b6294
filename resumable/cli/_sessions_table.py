"""A table on a terminal: as wide as that, and no wider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from resumable.cli._teletype import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str]) -> None:
    """
    Print a table.

    Args:
        columns: Their names.
        rows: Cells, taken as they are and not as markup.
        numbers: Names of the columns that are aligned to the right.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(highlight=False).print(table)
