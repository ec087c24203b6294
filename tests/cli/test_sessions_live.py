"""`resumable sessions` where it is used: on a terminal, at the embedded store, with an upstream to finish at."""

from __future__ import annotations

import json
import sys
from itertools import count

import anthropic
import pytest

import resumable
from resumable.cli import main
from resumable.store import Append, Opening, Recorded
from resumable.store._url import open_store
from resumable.testing import Reject, ScriptedUpstream
from resumable.testing._conformance_scene import until
from tests.cli.processes import on_a_terminal
from tests.cli.processes import resumable as run_process
from tests.cli.screen import screen
from tests.store.embedded import home

__all__ = ["home"]

terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
_NAMES = (f"cli-live-{number}" for number in count(1))
QUESTION = "Tell me a long story."

# A session in the memory of the process on the terminal: written, left, taken over and ended while it is followed.
SCENE = """
import json, sys, threading
from resumable.cli import main
from resumable.store import Append, Opening, Status
from resumable.store._url import open_store
store = open_store("memory://")
def event(text):
    delta = {"type": "text_delta", "text": text}
    return json.dumps({"type": "content_block_delta", "index": 0, "delta": delta}).encode()
opening = Opening(b"{}", "h", "", {"model": "[red]m"})
lease = store.acquire("story", "host:1", duration=0.4, ttl=60, opening=opening).lease
store.append([Append(lease, 1, [event("Hello"), event(" wor")])])
"""
FOLLOWED = """
from resumable.cli._sessions_tail import _Terminal
say, said = _Terminal._say, threading.Event()
def noted(self, frame):
    say(self, frame)
    if "silent" in (self._doing or ""):
        said.set()
_Terminal._say = noted
def write():
    said.wait(60)
    second = store.acquire("story", "host:2", duration=60, ttl=60).lease
    store.append([Append(second, 3, [event("ld\\x1b[31m.")], end=Status.COMPLETE)])
threading.Thread(target=write).start()
sys.exit(main(["sessions", "tail", "story", "--store", "memory://"]))
"""


@terminal
def test_a_tail_is_quiet_on_a_terminal():
    """The text stands as it came, what is waited for is said behind it and taken back, who wrote it stands below."""
    code, written = on_a_terminal(SCENE + FOLLOWED, TERM="xterm")
    left = screen(written.replace("\r\n", "\n"), 100)
    assert code == 0
    assert "nobody writes it: host:1 fell silent" in written.partition("─")[0]
    assert "\x1b[31m" not in written
    assert left == [
        "Hello world\ufffd[31m.",
        "─ written by host:1",
        "─ nobody writes it: host:1 fell silent",
        "─ taken over by host:2 after event 2",
        "─ complete with event 3",
        "",
    ]


@terminal
def test_a_table_fits_a_terminal():
    """A list is a table without markup of its own, and an event is cut at the edge."""
    lists = 'main(["sessions", "list", "--store", "memory://"])\nprint("--")\n'
    code, written = on_a_terminal(
        SCENE
        + "store.append([Append(lease, 3, [event('x' * 500)])])\n"
        + lists
        + 'sys.exit(main(["sessions", "events", "story", "--store", "memory://"]))\n'
    )
    listed, _, events = written.replace("\r\n", "\n").partition("--\n")
    assert code == 0
    assert "[red]m" in listed
    lines = events.splitlines()
    assert len(lines) == 4
    assert len(lines[-1]) == 100
    assert lines[-1].endswith("…")


@pytest.fixture
def store():
    """An opening of the process's memory."""
    opened = open_store("memory://")
    yield opened
    opened.close()


def produced(upstream: ScriptedUpstream, session_id: str) -> str:
    """Stream an answer into a session, and give its text."""
    with anthropic.Anthropic(base_url=upstream.url, api_key="any") as bare, resumable.session(session_id):
        client = resumable.wrap(bare, store="memory://")
        question = {"role": "user", "content": QUESTION}
        with client.messages.stream(model="claude-sonnet-5", max_tokens=4096, messages=[question]) as stream:  # type: ignore[list-item]  # Reason: a plain dict
            return stream.get_final_text()


def abandoned(store, whole: str, share: float = 0.5) -> str:
    """Make a session as its producer left it: the first part of another, and a lease that has run out."""
    its, known = next(_NAMES), store.get(whole)
    opening = Opening(store.request(whole), known.request_hash, "", known.fields)
    lease = store.acquire(its, "dead", duration=0.01, ttl=60.0, opening=opening).lease
    events = [entry.event for entry in store.read(whole) if isinstance(entry, Recorded)]
    store.append([Append(lease, 1, events[: int(len(events) * share)])])
    until(lambda: not store.get(its).is_held)
    return its


@pytest.fixture
def run(capsys, monkeypatch):
    """Resume a session of this process's memory; give the exit code, stdout and stderr."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")

    def call(session_id: str, *options: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["sessions", "resume", session_id, "--store", "memory://", *options])
        return code, *capsys.readouterr()

    return call


def test_a_finished_answer_is_replayed(run):
    """A session that is over is printed whole, and nothing is sent."""
    with ScriptedUpstream("text") as upstream:
        text = produced(upstream, its := next(_NAMES))
        sent = len(upstream.log.messages)
        assert run(its, "--base-url", upstream.url) == (0, f"{text}\n", "resumable: whole · nothing was sent\n")
        code, out, err = run(its, "--base-url", upstream.url, "--json")
        assert len(upstream.log.messages) == sent
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert (told[0]["type"], told[-1]["type"]) == ("message_start", "message_stop")
    assert told[-1]["event"] == {"type": "message_stop"}


def test_what_nobody_finishes_is_finished(run, store):
    """A session whose producer died is printed from its beginning and continued to its end."""
    with ScriptedUpstream("text") as upstream:
        text = produced(upstream, whole := next(_NAMES))
        its = abandoned(store, whole)
        code, out, err = run(its, "--base-url", upstream.url)
    assert (code, out) == (0, f"{text}\n")
    assert err.startswith("resumable: whole · ")
    assert store.get(its).status.value == "complete"


def test_without_a_valid_key_it_is_three(run, store, monkeypatch):
    """A key that is missing or refused ends with 3 and says what to set; refused in mid-answer, it broke off."""
    with ScriptedUpstream("text") as upstream:
        produced(upstream, whole := next(_NAMES))
    for share, expected in ((0.0, 3), (0.5, 1)):
        with ScriptedUpstream("text", [Reject(401)] * 3) as upstream:
            code, _, err = run(abandoned(store, whole, share), "--base-url", upstream.url)
        assert code == expected
        assert ("set ANTHROPIC_API_KEY" in err) is (share == 0.0)
        assert err.splitlines()[-1].startswith("resumable: ")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert run(whole) == (3, "", "resumable: there is no key: set ANTHROPIC_API_KEY to a key of yours\n")


def test_the_embedded_store_is_the_default(home):
    """Where no store is named, sessions are those of the embedded server, which every process shares."""
    here = {"RESUMABLE_HOME": str(home)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESUMABLE_HOME", str(home))
        store = open_store("embedded://")
        lease = store.acquire("kept", "me", duration=60.0, ttl=60.0, opening=Opening(b"{}", "h")).lease
        store.append([Append(lease, 1, [b'{"type":"ping"}'])])
        listed = run_process("sessions", "list", "--json", **here)
        shown = run_process("sessions", "events", "kept", "--json", **here)
        store.close()
    assert (listed.returncode, [one["session_id"] for one in json.loads(listed.stdout)]) == (0, ["kept"])
    assert [json.loads(line)["type"] for line in shown.stdout.splitlines()] == ["session.opened", "ping"]
