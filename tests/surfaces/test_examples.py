"""The programs of two pages are files that the type checkers read; the docs' own test runs them."""

from __future__ import annotations

from tests.pages import ROOT, snippets

FOLDER = ROOT / "tests/examples"
CALLS = snippets(ROOT / "docs/how-to/calls.md")
SNIPPETS = [*CALLS, *snippets(ROOT / "docs/how-to/platforms.md")]


def test_each_program_is_a_file_that_is_type_checked():
    """After a change of either, copy it to the other: tests/examples and docs/how-to/{calls,platforms}.md."""
    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.py"))}
    assert sorted(files.values()) == sorted(snippet.source for snippet in SNIPPETS)
    assert len(files) == len(SNIPPETS) >= 13


def test_each_program_is_run():
    """Each is marked, and so runs against an upstream that breaks on it."""
    assert {snippet.mark for snippet in SNIPPETS} == {"run"}
    assert all("()" not in str(snippet.faults) and "[]" not in str(snippet.faults) for snippet in CALLS)
