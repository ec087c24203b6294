"""
Runs the SDK's own tests, as they are in its source distribution, without a middleware, and with one in every client.

Nothing of the SDK is kept here: pip brings the pinned version, and it is unpacked outside of the repository.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.sdk_suite.exceptions import listed

ROOT = Path(__file__).parents[2]
PINS = ROOT / ".ci/own-tests.txt"
FILES = (
    "tests/test_streaming.py",
    "tests/test_middleware.py",
    "tests/test_tracing.py",
    "tests/lib/streaming",
    "tests/lib/_parse",
    "tests/lib/test_output_format_helpers.py",
    "tests/lib/test_stainless_helpers.py",
    "tests/lib/test_refusal_fallback.py",
    "tests/lib/test_refusal_fallback_streaming.py",
    "tests/lib/threads",
    "tests/lib/tools",
)
# The SDK's own settings but for its number of processes: `respx` has to find httpx2 under httpx's name.
_SETTINGS = ("-o", "addopts=--tb=short -p tests._alias_httpx", "-p", "no:cacheprovider", "-q", "-n", "2")
_PLUGIN = ("-p", "in_every_client")


@dataclass(frozen=True)
class Outcome:
    """
    What came of the SDK's tests.

    Attributes:
        passed: How many passed with our middleware.
        skipped: How many the SDK skips.
        anyway: How many fail without any middleware too.
        idle: As *ours*, for a middleware that does nothing in our place.
        ours: Tests, without parameters, that fail with our middleware and not without one, and how many of their
            variants do. One that is skipped, or there at all, on one side only has failed.
    """

    passed: int
    skipped: int
    anyway: int
    idle: dict[str, int]
    ours: dict[str, int]


def pinned() -> str:
    """Tell the version of the SDK that everything else is tested with."""
    found = re.search(r"^anthropic==([\w.]+)", (ROOT / ".ci/constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1]


def environment(directory: Path) -> Path:
    """Make an environment with what the SDK's tests need, and the library as it stands; give its Python."""
    python = directory / "env/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", directory / "env"], check=True)
    pip = [str(python), "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "-r", str(PINS)], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
    return python


def source(directory: Path) -> Path:
    """Unpack the source distribution of the pinned version, without the library in it: the installed one is tested."""
    unpacked = directory / f"anthropic-{pinned()}"
    if not unpacked.exists():
        wanted = ["--no-binary", "anthropic", "--no-deps", "-d", str(directory), f"anthropic=={pinned()}"]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", *wanted], check=True)
        with tarfile.open(directory / f"{unpacked.name}.tar.gz") as archive:
            kept = [one for one in archive if re.match(r"[^/]+/(tests/|pyproject\.toml$)", one.name)]
            archive.extractall(directory, kept, filter="data")
    return unpacked


def results(python: Path, unpacked: Path, put_in: str | None) -> dict[str, str]:
    """Run the tests once with ``ours``, ``nothing`` or no middleware put in: passed, skipped or failed for each."""
    written = unpacked / "results.xml"
    written.unlink(missing_ok=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    clean |= {"PYTHONPATH": str(Path(__file__).parent), "IN_EVERY_CLIENT": put_in or ""}
    command = [python, "-m", "pytest", *FILES, *_SETTINGS, *(_PLUGIN if put_in else ()), f"--junitxml={written}"]
    ended = subprocess.run(command, cwd=unpacked, env=clean, check=False)
    assert ended.returncode in {0, 1}, f"pytest ended with {ended.returncode}"
    return read_results(written.read_text(encoding="utf-8"))


def read_results(written: str) -> dict[str, str]:
    """Read a report of pytest's; a test that fails and then breaks in its teardown has failed."""
    found: dict[str, str] = {}
    for case in ET.fromstring(written).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        marks = {child.tag for child in case}
        word = "failed" if marks & {"failure", "error"} else "skipped" if "skipped" in marks else "passed"
        found[name] = "failed" if found.get(name) == "failed" else word
    return found


def compare(without: dict[str, str], idle: dict[str, str], ours: dict[str, str]) -> Outcome:
    """Tell failures that a middleware brings from those that the tests have anyway."""
    words = Counter(without.values())
    return Outcome(
        passed=sum(word == "passed" for word in ours.values()),
        skipped=words["skipped"],
        anyway=words["failed"],
        idle=_brought(without, idle),
        ours=_brought(without, ours),
    )


def _brought(without: dict[str, str], with_one: dict[str, str]) -> dict[str, int]:
    """Count the variants that end otherwise than without, or are there on one side only; not what fails anyway."""
    failed = [
        name
        for name in without.keys() | with_one.keys()
        if without.get(name) != "failed" and without.get(name) != with_one.get(name)
    ]
    return dict(sorted(Counter(name.partition("[")[0] for name in failed).items()))


def unexpected(outcome: Outcome) -> list[str]:
    """Say what is not as the list has it: a failure that has no reason, a reason without a failure."""
    bugs = [f"fails and is not listed: {name}" for name in sorted(outcome.ours.keys() - listed())]
    stale = [f"is listed and passes: {name}" for name in sorted(listed() - outcome.ours.keys())]
    return bugs + stale


def run(directory: Path) -> Outcome:
    """Run everything in a directory, whose environment and sources are used again the next time."""
    directory.mkdir(parents=True, exist_ok=True)
    python, unpacked = environment(directory), source(directory)
    return compare(*(results(python, unpacked, put_in) for put_in in (None, "nothing", "ours")))
