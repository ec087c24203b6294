"""Reads the documents: their snippets, tables, headings and links."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]

_SNIPPET = re.compile(
    r"(?:^<!-- (?P<mark>run|test)(?:: (?P<faults>.*?))? -->\n)?"
    r"^```python\n(?P<source>.*?)^```\n(?:\n^```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_FENCED = re.compile(r"^```.*?^```\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """
    A Python block of a document.

    Attributes:
        name: Its page and line.
        source: The code.
        mark: ``run`` or ``test``, from the comment before it; ``None`` where there is none.
        faults: What the upstream answers and suffers, as that comment says.
        output: The text block right behind it, or ``None``.
    """

    name: str
    source: str
    mark: str | None
    faults: str | None
    output: str | None


def read(name: str) -> str:
    """Read a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def snippets(page: Path) -> list[Snippet]:
    """List the Python blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(f"{page.name}:{text.count(chr(10), 0, found.start('source'))}", found["source"], *found.group(1, 2, 4))
        for found in _SNIPPET.finditer(text)
    ]


def section(text: str, heading: str) -> str:
    """Give what stands under a heading, up to the next of its level or above."""
    level = heading.partition(" ")[0]
    inside = text.partition(f"\n{heading}\n")[2]
    assert inside, f"no section {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", inside, maxsplit=1, flags=re.MULTILINE)[0]


def tables(text: str) -> list[list[list[str]]]:
    """List the tables of a text: rows of cells, without the line of dashes."""
    found: list[list[list[str]]] = []
    inside = False
    for line in _FENCED.sub("", text).splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            if not re.fullmatch(r"[|\s:-]+", line):
                found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        inside = line.startswith("|")
    return found


def names(cell: str) -> list[str]:
    """List what stands in backquotes in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def fragments(page: Path) -> set[str]:
    """List the fragments by which the headings of a page can be linked to."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        kept = [
            character
            for character in heading.lower()
            if character in " -_" or unicodedata.category(character)[0] in "LN"
        ]
        slug = "".join(kept).replace(" ", "-")
        number = 1
        unique = slug
        while unique in found:
            unique, number = f"{slug}-{number}", number + 1
        found.add(unique)
    return found


def links(page: Path) -> list[tuple[str, str]]:
    """List the relative links of a page: path, empty for the page itself, and fragment."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text)
    return [(path, fragment) for path, _, fragment in (target.partition("#") for target in targets)]
