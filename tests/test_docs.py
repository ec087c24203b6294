"""What the documents say is what the project does."""

from __future__ import annotations

import doctest
import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from resumable import testing
from tests.pages import PAGES, ROOT, Snippet, fragments, links, names, read, snippets, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

SNIPPETS = [snippet for page in PAGES if "reference" not in page.parts for snippet in snippets(page)]
#: What an example needs that the other tests do not, by a word in it.
OPTIONAL = {
    "Bedrock": "botocore",
    "langchain_anthropic": "langchain_anthropic",
    "pydantic_ai": "pydantic_ai",
    "instructor": "instructor",
}
EXAMPLES = [snippet for snippet in SNIPPETS if snippet.mark == "run"]


def by_name(value: object) -> str | None:
    """Name a parameter by its place in the documents."""
    return value.name if isinstance(value, Snippet) else None


@pytest.fixture
def quiet() -> Iterator[None]:
    """Put back what an example says about the log."""
    logger = logging.getLogger("resumable")
    level = logger.level
    yield
    logger.setLevel(level)


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page):
    """Every relative link in a document points at a file that exists, and at a heading in it if it names one."""
    broken = []
    for path, fragment in links(page):
        target = page.parent / path if path else page
        is_found = target.exists() and (not fragment or fragment in fragments(target))
        broken += [] if is_found else [f"{path}#{fragment}"]
    assert broken == []


def test_the_map_shows_every_page():
    """The index links to every page of the documents."""
    index = ROOT / "docs/index.md"
    linked = {(index.parent / path).resolve() for path, _ in links(index)}
    assert [page.name for page in PAGES if "docs" in page.parts and page != index and page not in linked] == []


@pytest.mark.parametrize("snippet", SNIPPETS, ids=by_name)
def test_every_snippet_compiles(snippet: Snippet):
    """What is shown as Python is Python."""
    compile(snippet.source, snippet.name, "exec")


def test_there_are_examples_to_run():
    """The README and the page on the SDK show programs that run, and not one is passed over by a misspelt mark."""
    pages = {snippet.name.partition(":")[0] for snippet in EXAMPLES}
    assert pages >= {"README.md", "sdk.md", "costs.md"}
    assert [snippet.name for snippet in SNIPPETS if snippet.mark is None and "import " in snippet.source] == []


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("snippet", EXAMPLES, ids=by_name)
def test_examples_run_as_they_stand(snippet: Snippet, monkeypatch, capsys):
    """Each example runs against an upstream that breaks its stream, and prints what the page says."""
    for word, package in OPTIONAL.items():
        if word in snippet.source:
            pytest.importorskip(package, reason="the page is run where what it is about is installed")
    reply, faults = eval(snippet.faults or "", vars(testing))
    space: dict[str, Any] = {"__name__": "__main__"}
    with testing.ScriptedUpstream(reply, faults) as upstream:
        for name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_BEDROCK_BASE_URL"):
            monkeypatch.setenv(name, upstream.url)
        for name in ("ANTHROPIC_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "any")
        exec(compile(snippet.source, snippet.name, "exec"), space)
        if isinstance(client := space.get("client"), anthropic.Anthropic | anthropic.AnthropicBedrock):
            client.close()
        assert len(upstream.log.messages) >= len(faults), "not every fault was met"
    told = capsys.readouterr().out
    if "in stream.text_stream" in snippet.source:
        assert told == upstream.expected_text("Tell me a long story.")
    assert snippet.output is None or doctest.OutputChecker().check_output(snippet.output, told, doctest.ELLIPSIS), told


def test_the_tests_on_the_page_about_tests_pass(tmp_path):
    """Its blocks are one file of tests, and each of them passes."""
    source = "\n\n".join(one.source for one in SNIPPETS if one.mark == "test")
    count = len(re.findall(r"^def test_", source, re.MULTILINE))
    count += source.count("(claude_fault") * (len(testing.FAULT_KINDS) - 1)  # Such a test is run once for each kind.
    assert count >= 5
    (tmp_path / "test_example.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )
    assert f"{count} passed" in done.stdout, done.stdout


def test_the_page_about_tests_lists_what_there_is():
    """Every fault, every ready-made answer and every way to go on is on the page, and none that is not there."""
    page = read("docs/how-to/test.md")
    [table] = tables(page)
    faults = {
        name for name in testing.__all__ if isinstance(found := getattr(testing, name), type)
        if issubclass(found, testing.Fault) and found is not testing.Fault
    }  # fmt: skip
    assert {name for row in table[1:] for name in names(row[0])} == faults
    listed = {label: names(line) for label, _, line in (line.partition(":") for line in page.splitlines())}
    assert listed["Ready-made answers"] == list(testing.SCRIPTS)
    assert listed["Ways to go on"] == list(testing.CONTINUERS)
