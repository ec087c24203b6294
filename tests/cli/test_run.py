"""The command `run`, as a process that asks a scripted upstream: pipes, programs, keys, exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from resumable.cli import main
from resumable.testing import Drop, ErrorEvent, Garbage, Refuse, Reject, Reply, ScriptedUpstream, Stall, Text
from tests.cli.processes import CLEAN
from tests.pages import names, read, section, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODEL = "claude-sonnet-5-5"
PAGE = read("docs/how-to/run.md")


@pytest.fixture
def upstream(request: pytest.FixtureRequest) -> Iterator[ScriptedUpstream]:
    """Serve an answer; a parameter says what happens to it."""
    with ScriptedUpstream("text", getattr(request, "param", ()), vary=False, keys=["sk-good"]) as served:
        yield served


def settings(upstream: ScriptedUpstream | None, environment: dict[str, str]) -> dict[str, str]:
    """Give the environment of a call: a good key unless *environment* has another."""
    address = {} if upstream is None else {"ANTHROPIC_BASE_URL": upstream.url}
    return CLEAN | address | {"ANTHROPIC_API_KEY": "sk-good", "HOME": "/nonexistent"} | environment


def spawn(upstream: ScriptedUpstream | None, *arguments: str, stdin: bytes | None = None, **environment: str) -> Done:
    """Ask as a process of its own, as a shell does it."""
    done = subprocess.run(
        [sys.executable, "-m", "resumable", "run", *arguments],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        check=False,
        env=settings(upstream, environment),
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Done(NamedTuple):
    """What a call left behind."""

    returncode: int
    stdout: bytes
    stderr: bytes


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Ask in this process, which spares a start of Python; the streams are those of a pipe."""

    def call(upstream: ScriptedUpstream | None, *arguments: str, stdin: bytes = b"", **environment: str) -> Done:
        for name in os.environ.keys() - {"PATH", "PYTEST_CURRENT_TEST"}:
            monkeypatch.delenv(name)
        for name, value in settings(upstream, environment).items():
            monkeypatch.setenv(name, value)
        pipes = {name: io.BytesIO(stdin if name == "stdin" else b"") for name in ("stdin", "stdout", "stderr")}
        texts = {name: io.TextIOWrapper(pipe, encoding="utf-8", write_through=True) for name, pipe in pipes.items()}
        for name, text in texts.items():
            monkeypatch.setattr(sys, name, text)
        code = main(["run", *arguments])
        monkeypatch.undo()
        return Done(code, pipes["stdout"].getvalue(), pipes["stderr"].getvalue())

    return call


broken = pytest.mark.parametrize(
    "upstream", [[Drop(after=20), ErrorEvent("api_error", after=12)]], indirect=True, ids=["two faults"]
)


def test_a_pipe_gets_the_answer_and_nothing_else(upstream):
    """Stdout is the text with one line end; stderr is one line on what it took, and the request is what was asked."""
    done = spawn(upstream, "Why?", "--model", MODEL, "--system", "Be brief.", "--max-tokens", "500")
    expected = upstream.expected_text(upstream.log[0].body or {})
    assert (done.returncode, done.stdout.decode()) == (0, expected + "\n")
    way, taken = done.stderr.decode().splitlines()
    assert re.fullmatch(r"resumable: claude-sonnet-5-5 · 1 attempt · [\d.]+ m?s", way)
    assert re.fullmatch(r"resumable: \d+ tokens in, \d+ out · \$0\.\d{4}", taken)
    [asked] = upstream.log.messages
    assert asked.body == {
        "model": MODEL,
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "Why?"}],
        "system": "Be brief.",
        "stream": True,
    }


@broken
def test_recovery_is_told_on_stderr_alone(upstream):
    """What broke is a line each, the answer is whole, and estimates are marked."""
    done = spawn(upstream, "Why?")
    assert (done.returncode, done.stdout.decode()) == (0, upstream.expected_text("Why?") + "\n")
    first, second, way, taken = done.stderr.decode().splitlines()
    assert first.startswith("resumable: attempt 1: the stream ended after")
    assert first.endswith("; going on")
    assert re.search(r"attempt 2: upstream sent an error event \(api_error\); going on in \d+ ms$", second)
    assert re.search(r"3 attempts · 2 seams \(exact\) · .*waiting$", way)
    assert re.search(r"\d+ tokens in, ~\d+ out · ~\$0\.\d+ · ~\d+ tokens not paid twice$", taken)


@broken
def test_json_is_one_object_that_adds_up(upstream):
    """A program gets one object with the fields of the page, whose books are the sums of its attempts."""
    done = spawn(upstream, "Why?", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    assert told["text"] == upstream.expected_text("Why?")
    assert (told["is_whole"], told["stop_reason"], told["error"], told["exit_code"]) == (True, "end_turn", None, 0)
    books, attempts = told["books"], told["attempts"]
    assert [one["strategy"] for one in attempts] == ["original", "user_turn", "user_turn"]
    assert books["cost_usd"] == pytest.approx(sum(one["cost_usd"] for one in attempts))
    assert books["input_tokens"] == sum(one["input_tokens"] for one in attempts)
    outputs = books["measured_output_tokens"] + books["estimated_output_tokens"]
    assert outputs == sum(one["output_tokens"] for one in attempts) == told["usage"]["output_tokens"]
    assert books["is_estimated"] is True
    fields = [table_fields(heading) for heading in ("## For programs", "### An attempt", "### A seam", "### The books")]
    assert fields == [list(told), list(attempts[0]), list(told["seams"][0]), list(books)]


def table_fields(heading: str) -> list[str]:
    """List the fields that the page explains under a heading."""
    return [name for row in tables(section(PAGE, heading))[0][1:] for name in names(row[0])]


@pytest.mark.parametrize("arguments", [(), ("-",)], ids=["nothing", "dash"])
def test_stdin_is_the_prompt(upstream, arguments, run):
    """What is piped in is asked, in UTF-8."""
    assert run(upstream, *arguments, stdin="Warum? 🌊\n".encode(), PYTHONUTF8="1").returncode == 0
    assert upstream.log[0].body["messages"][0]["content"] == "Warum? 🌊\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("",), "resumable: what shall be asked? give a prompt, or pipe one in\n"),
        ((), "resumable: what shall be asked? give a prompt, or pipe one in\n"),
        (("Why?", "--base-url", "api.example"), "no address of an API: --base-url takes http:// or https://\n"),
        (("Why?", "--max-tokens", "0"), "--max-tokens"),
        (("Why?", "then?"), "then?"),
    ],
    ids=["empty", "nothing piped", "no address", "no tokens", "two prompts"],
)
def test_a_wrong_call_is_two(arguments, said, run):
    """What cannot be asked ends with 2, says so on stderr, and sends nothing."""
    done = run(None, *arguments, ANTHROPIC_BASE_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "there is no key: set ANTHROPIC_API_KEY to a key of yours"),
        ("sk-bad", "the key was refused (401 invalid x-api-key): set ANTHROPIC_API_KEY to a key of yours"),
        ("sk-gööd", "the key has characters that no key has: set ANTHROPIC_API_KEY to a key of yours"),
        ("sk-good\n", "the key has characters that no key has: set ANTHROPIC_API_KEY to a key of yours"),
    ],
    ids=["none", "refused", "letters", "line end"],
)
def test_a_key_that_does_not_work_is_one_line_and_three(upstream, key, said, run):
    """No key, or a bad one: one clear line, without the key, and 3."""
    done = run(upstream, "Why?", ANTHROPIC_API_KEY=key, PYTHONUTF8="1")
    assert (done.returncode, done.stdout, done.stderr.decode()) == (3, b"", f"resumable: {said}\n")
    assert not key.strip() or key.strip() not in done.stderr.decode()


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        ([Reject(404, message="model: claude-sonnet-5-5")], "refused: 404 model: claude-sonnet-5-5"),
        ([Reject(400, html=True)], "refused: 400"),
        ([Drop(after=20), Reject(403)], "the answer broke off: the failure does not heal by waiting"),
    ],
    indirect=["upstream"],
    ids=["status", "a page", "midway"],
)
def test_a_failure_is_one_line_and_one(upstream, said, run):
    """What could not be had is a line that says why, and 1; what had arrived stays on stdout, and in the JSON."""
    done = run(upstream, "Why?")
    assert done.returncode == 1
    assert f"\nresumable: {said}" in "\n" + done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert upstream.expected_text("Why?").startswith(done.stdout.decode().removesuffix("\n"))


@pytest.mark.parametrize("upstream", [[Drop(after=20), Reject(403)]], indirect=True, ids=["midway"])
def test_json_has_what_arrived_of_a_broken_answer(upstream, run):
    """A program gets the part, the error and the exit code."""
    done = run(upstream, "Why?", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_code"], told["is_whole"], told["stop_reason"]) == (1, 1, False, None)
    assert 0 < len(told["text"]) < len(upstream.expected_text("Why?"))
    assert told["error"]["type"] == "RetriesExhaustedError"
    assert told["error"]["message"].startswith("the answer broke off: ")
    assert len(told["attempts"]) == 2
    assert done.stderr.decode() == f"resumable: {told['error']['message']}\n"


def test_json_of_a_call_that_was_never_made_has_the_same_fields(run):
    """Also without a key a program gets the object; what is not known is null."""
    done = run(None, "Why?", "--json", ANTHROPIC_API_KEY="")
    told = json.loads(done.stdout)
    assert list(told) == table_fields("## For programs")
    assert (done.returncode, told["exit_code"], told["attempts"], told["books"]) == (3, 3, [], None)
    assert told["error"]["type"] == "Wrong"


def test_what_cut_the_answer_is_said(upstream, run):
    """An answer that reached --max-tokens is whole to the API: 0, and a word on stderr."""
    done = run(upstream, "Why?", "--max-tokens", "5")
    assert done.returncode == 0
    assert "resumable: the answer was cut at --max-tokens\n" in done.stderr.decode()


def test_text_is_passed_on_as_it_is(run):
    """A pipe gets the model's text byte for byte, with no second line end behind its own."""
    text = "esc \x1b[31m, tab\t, 覆水盆に返らず\n"
    with ScriptedUpstream(Reply([Text(text)])) as served:
        done = run(served, "Why?", PYTHONUTF8="1")
    assert done.stdout.decode() == text


@pytest.mark.parametrize("upstream", [[Stall(after=20)]], indirect=True, ids=["stall"])
def test_an_interrupt_is_one_line_and_130(upstream):
    """Ctrl-C in the middle of an answer leaves what came, ends its line and says one word."""
    environment = CLEAN | {"ANTHROPIC_BASE_URL": upstream.url, "ANTHROPIC_API_KEY": "sk-good"}
    process: Any = subprocess.Popen(
        [sys.executable, "-m", "resumable", "run", "Why?"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # What a buffer had read ahead, `communicate` would not give.
        env=environment,
    )
    first = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, b"resumable: interrupted\n")
    assert upstream.expected_text("Why?").startswith((first + out).decode().removesuffix("\n"))
    upstream.log.wait_closed()


def test_nobody_there_is_one_line(upstream, run):
    """An upstream that cannot be reached is one line with the address, and 1."""
    upstream.stop()
    done = run(None, "Why?", "--base-url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "resumable: no connection to http://127.0.0.1:9: " in done.stderr.decode()


def test_the_page_has_every_exit_code():
    """The page on the command explains each exit code that the code has."""
    from resumable.cli._answer import BROKEN, NO_KEY, OK, WRONG  # noqa: PLC0415  # Reason: only this test needs the SDK

    told = [int(row[0]) for row in tables(section(PAGE, "## Exit codes"))[0][1:]]
    assert told == [OK, BROKEN, WRONG, NO_KEY, 130]


@pytest.mark.parametrize("upstream", [[Garbage("html200"), Refuse()]], indirect=True, ids=["page, refused"])
def test_a_bad_start_is_recovered_too(upstream, run):
    """An answer whose first attempts never began arrives whole all the same."""
    done = run(upstream, "Why?")
    assert (done.returncode, done.stdout.decode()) == (0, upstream.expected_text("Why?") + "\n")
