"""What the documents say is what the project does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    """Read a file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def readme_commands() -> list[str]:
    """List the first two shell blocks of the README: the one that installs, and the one that tests."""
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```$", read("README.md"), re.MULTILINE | re.DOTALL)][
        :2
    ]


def test_ci_runs_what_the_readme_says():
    """Each step of the README's two commands is a line of .ci/run, word for word."""
    install, tests = readme_commands()
    steps = [*re.split(r"\s*&&\s*(?:\\\n)?\s*", install), tests]
    assert len(steps) == 5
    assert [step for step in steps if step not in read(".ci/run").splitlines()] == []


def test_readme_commands_are_short():
    """A person can type the second command and take in the first at a glance."""
    install, tests = readme_commands()
    assert install.count("\n") < 4
    assert max(map(len, install.splitlines())) < 80
    assert "\n" not in tests


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=lambda path: path.name
)
def test_links_between_documents_lead_somewhere(path):
    """Every relative link in a document points at a file that exists."""
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []
