"""The pytest plugin, in runs of pytest of its own: fixtures, the marker, faults by kind, what it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from resumable import pytest_plugin
from resumable.testing import FAULT_KINDS

if TYPE_CHECKING:
    from pathlib import Path


class Done:
    """What a run of pytest left behind."""

    def __init__(self, folder: Path, source: str, *arguments: str) -> None:
        (folder / "test_app.py").write_text(source, encoding="utf-8")
        clean = {
            name: value for name, value in os.environ.items() if name not in {"PYTEST_ADDOPTS", "ANTHROPIC_API_KEY"}
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
        done = subprocess.run(
            [*command, "--rootdir", folder, folder, *arguments],
            capture_output=True,
            encoding="utf-8",
            check=False,
            env=clean | {"PYTHONIOENCODING": "utf-8"},
        )
        self.code = done.returncode
        self.out = done.stdout + done.stderr


def test_the_kinds_are_the_kit_s():
    """The plugin knows the names of the faults without loading them, and they are the kit's."""
    assert tuple(FAULT_KINDS) == pytest_plugin._KINDS


APP = """
import os
import anthropic, pytest, resumable
from resumable.testing import Drop, Reject

QUESTION = {"model": "claude-sonnet-5", "max_tokens": 500, "messages": [{"role": "user", "content": "Why?"}]}

def ask(client):
    with client.messages.stream(**QUESTION) as stream:
        return stream.get_final_text()

def test_default(claude_upstream, claude_client):
    assert ask(claude_client) == claude_upstream.expected_text(QUESTION)
    assert claude_upstream.url.startswith("http://127.0.0.1:")

@pytest.mark.claude("markdown", [Reject(529)], vary=False)
def test_marked(claude_upstream, claude_client):
    assert ask(claude_client) == claude_upstream.expected_text(QUESTION)
    assert claude_upstream.clock.waits == [45.0]

@pytest.mark.claude(faults=[Drop(after=9)], continuer="diverges")
def test_keywords(claude_client):
    with pytest.raises(resumable.SeamError):
        ask(claude_client)

@pytest.mark.claude(faults=[Reject(429)], vary=False)
def test_whatever_breaks(claude_fault, claude_upstream, claude_client):
    assert ask(claude_client) == claude_upstream.expected_text(QUESTION, claude_upstream.log.messages[-1].variant)
    assert len(claude_upstream.log) > 1 or type(claude_fault).__name__ == "NoMessageStop"

@pytest.mark.claude(faults=[Drop(after=9)])
def test_async(claude_upstream, async_claude_client):
    import asyncio
    async def main():
        async with async_claude_client.messages.stream(**QUESTION) as stream:
            return await stream.get_final_text()
    assert asyncio.run(main()) == claude_upstream.expected_text(QUESTION)

@pytest.mark.claude(faults=[Drop(after=9)])
def test_environment(claude_environment):
    with resumable.wrap(anthropic.Anthropic()) as client:
        assert ask(client) == claude_environment.expected_text(QUESTION)

def test_nothing_is_left():
    assert "ANTHROPIC_BASE_URL" not in os.environ
"""


def test_the_fixtures_do_what_they_say(tmp_path):
    """Every fixture works with and without the marker, and a test of a fault runs once for each kind."""
    done = Done(tmp_path, APP, "--strict-markers")
    assert f"{6 + len(FAULT_KINDS)} passed" in done.out, done.out


def test_the_plugin_is_light(tmp_path):
    """A run of pytest that does not use it loads neither the SDK nor the kit."""
    source = 'import sys\n\ndef test_light():\n    assert not {"anthropic", "resumable.testing"} & set(sys.modules)\n'
    done = Done(tmp_path, source)
    assert "1 passed" in done.out, done.out


@pytest.mark.parametrize("arguments", [(), ("-p", "no:resumable")], ids=["on", "off"])
def test_it_can_be_turned_off(tmp_path, arguments):
    """It registers itself under the name `resumable`."""
    done = Done(tmp_path, "def test_it(claude_client):\n    pass\n", *arguments)
    assert ("1 passed" in done.out) is not arguments
    assert ("fixture 'claude_client' not found" in done.out) is bool(arguments)
