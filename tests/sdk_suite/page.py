"""Draws docs/reference/sdk-tests.md from the list of exceptions and the record of the last run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tests.sdk_suite.exceptions import EXCEPTIONS
from tests.sdk_suite.runner import FILES, ROOT, Outcome, pinned

PAGE = ROOT / "docs/reference/sdk-tests.md"
RECORD = Path(__file__).with_name("record.json")

HEAD = """\
# The SDK's own tests

The SDK's tests of streams, middleware, threads, tools and helpers, from the source distribution of anthropic {version},
run with `Resumable` in every client that they make, sync and async. It stands first, outside of whatever middleware
a test brings. Its waits are made short, as the SDK's tests do with the SDK's own, and it holds nothing back
(`hold=()`): those tests ask for every delta by itself, where the default lets a tool's input and a text's last words
wait. The rest is the default.

Taken are {files}.

| | tests |
|---|---|
| pass with our middleware | {passed} |
| are skipped by the SDK itself | {skipped} |
| fail without a middleware too, on the machine of the record | {anyway} |
| fail with ours and not without: listed below | {ours} |

To repeat it: `python -m tests.sdk_suite`. It brings what it needs into an environment of its own, takes some minutes,
fails on a failure that is not listed and on a listed test that passes, and writes this page.
`python -m pytest -m campaign tests/sdk_suite` does the same, holds the variants to this page, and writes nothing.
A test that is there, or skipped, only with a middleware counts as a failure.

## What fails, and why

As a control, the same tests run with a middleware in every client that does nothing: "with an idle one" is how many
variants fail with that too.
"""


def record(outcome: Outcome) -> str:
    """Write down what came of a run."""
    return json.dumps({"version": pinned(), "files": FILES, **asdict(outcome)}, indent=2) + "\n"


def recorded() -> tuple[str, list[str], Outcome]:
    """Read the record: version, files, outcome."""
    kept = json.loads(RECORD.read_text(encoding="utf-8"))
    return kept.pop("version"), kept.pop("files"), Outcome(**kept)


def page() -> str:
    """Write the page."""
    version, files, outcome = recorded()
    shown = ", ".join(f"`{name.removeprefix('tests/')}`" for name in files)
    figures = {"passed": outcome.passed, "skipped": outcome.skipped, "anyway": outcome.anyway}
    lines = [HEAD.format(version=version, files=shown, ours=sum(outcome.ours.values()), **figures)]
    for reason, tests in EXCEPTIONS.items():
        lines += [reason, "", "| test | variants | with an idle one | what differs |", "|---|---|---|---|"]
        for name, why in tests.items():
            counts = f"{outcome.ours.get(name, 0)} | {outcome.idle.get(name, 0)}"
            lines.append(f"| `{name.removeprefix('tests.')}` | {counts} | {why} |")
        lines.append("")
    return "\n".join(lines)
