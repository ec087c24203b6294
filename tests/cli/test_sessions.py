"""`resumable sessions`: what it prints, for people and for programs, and how it ends."""

from __future__ import annotations

import json
import re
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

import resumable
from resumable.cli import main
from resumable.cli._sessions_errors import CODES, code_of, sentence
from resumable.store import Append, Opening, Status
from resumable.store._url import open_store
from resumable.testing._conformance_scene import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from resumable.store import Lease, Store

_NUMBERS = count(1)
START = b'{"type":"message_start","message":{"id":"msg_1","model":"m"}}'
BLOCK = b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'
STOP = b'{"type":"message_stop"}'


def delta(text: str) -> bytes:
    """Write an event that brings text."""
    return json.dumps(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    ).encode()


class Scene:
    """
    A principal's sessions in this process's memory.

    Attributes:
        store: Where they are.
        principal: A new one for each test.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.principal = f"principal-{next(_NUMBERS)}"

    def name(self, name: str) -> str:
        """Make an ID that no other test has."""
        return f"{self.principal}.{name}"

    def open(self, name: str, *, holder: str = "me", lease: float = 60.0, **fields: str | int | bytes) -> Lease:
        """Open a session."""
        opening = Opening(b'{"path":"/v1/messages","body":{"model":"m"}}', "hash", self.principal, fields)
        return self.store.acquire(self.name(name), holder, duration=lease, ttl=600.0, opening=opening).lease

    def write(
        self,
        lease: Lease,
        first_seq: int,
        events: Sequence[bytes] = (),
        end: Status | None = None,
        **fields: str | int | bytes,
    ) -> None:
        """Append to one."""
        [done] = self.store.append([Append(lease, first_seq, events, fields, end)])
        assert not isinstance(done, Exception), done

    def finished(self, name: str, *texts: str, end: Status = Status.COMPLETE) -> str:
        """Open a session, write a whole answer, and give its ID."""
        lease = self.open(name, model="claude-sonnet-5-5", attempt=1)
        events = [START, BLOCK, *map(delta, texts), STOP]
        self.write(lease, 1, events, end, text_chars=sum(map(len, texts)))
        return lease.session_id


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Sessions of this test's own."""
    store = open_store("memory://")
    yield Scene(store)
    store.close()


@pytest.fixture
def run(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run a command at the store in memory; give its exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["sessions", *arguments, "--store", "memory://"])
        return code, *capsys.readouterr()

    return call


def objects(out: str) -> list[dict[str, Any]]:
    """Read an object a line."""
    return [json.loads(line) for line in out.splitlines()]


def test_a_list_is_a_table(scene, run):
    """A list shows each session in a line under its columns, the newest first, and says who writes it."""
    done = scene.finished("done", "Hello")
    lease = scene.open("held", holder="host:1", model="m")
    code, out, err = run("list", "--principal", scene.principal)
    header, *lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert header == ["session", "status", "model", "events", "characters", "age", "writer"]
    lines = [" ".join(line) for line in sorted(lines)]
    assert re.fullmatch(rf"{done} complete claude-sonnet-5-5 4 5 \d+ s", lines[0])
    assert re.fullmatch(rf"{lease.session_id} running m 0 \d+ s host:1", lines[1])
    assert len(lines) == 2


def test_a_list_can_be_narrowed(scene, run):
    """Status, age and number narrow a list; where nothing is left, it says so beside stdout."""
    done = scene.finished("done", "Hello")
    scene.finished("failed", "H", end=Status.FAILED)
    scene.open("held")
    mine = ("list", "--json", "--principal", scene.principal)
    assert [one["session_id"] for one in json.loads(run(*mine, "--status", "complete")[1])] == [done]
    assert len(json.loads(run(*mine, "--limit", "2")[1])) == 2
    assert len(json.loads(run(*mine, "--max-age", "1h")[1])) == 3
    assert run(*mine, "--min-age", "1.5d")[:2] == (0, "[]\n")
    assert run("list", "--principal", scene.principal, "--min-age", "90") == (0, "", "resumable: no sessions\n")


@pytest.mark.parametrize("wrong", ["", "5 m", "-3s", "1w", "s"])
def test_what_is_no_duration_is_refused(run, wrong):
    """A duration that cannot be read ends with 2 and an example of one that can."""
    code, out, err = run("list", f"--min-age={wrong}")
    assert (code, out) == (2, "")
    assert "write 90s, 15m, 2h or 7d" in err


def test_a_session_is_shown(scene, run):
    """Each fact is a line with its name; what there is not is left out, and so is what only a survivor needs."""
    lease = scene.open(
        "s", holder="host:1", model="m", attempt=2, strategy="prefill", snapshot=b"\x80", topic="sea", lease_ms=2500
    )
    scene.write(lease, 1, [START, BLOCK], usage='{"input_tokens":7,"cache":0}', usage_estimated=1)
    scene.store.cancel(lease.session_id, "too\nlong")
    code, out, _ = run("show", lease.session_id)
    facts = dict(line.split("  ", 1) for line in out.splitlines())
    told = {name: value.strip() for name, value in facts.items()}
    assert code == 0
    assert told.pop("status").startswith("running, written by host:1 for another ")
    assert told.pop("created").endswith(" s ago)")
    assert told.pop("updated").endswith(" s ago)")
    assert told == {
        "session": lease.session_id,
        "asked to stop": "too long",
        "model": "m",
        "attempt": "2 (prefill)",
        "events": "2",
        "usage": "input_tokens 7 (estimated)",
        "principal": scene.principal,
        "lease": "2.5 s",
        "topic": "sea",
    }


def test_a_session_nobody_writes_is_told_apart(scene, run):
    """A running session whose lease has run out is shown as one that nobody writes."""
    lease = scene.open("s", lease=0.01)
    until(lambda: not scene.store.get(lease.session_id).is_held)
    assert "running, nobody writes it" in run("show", lease.session_id)[1]
    assert run("list", "--principal", scene.principal)[1].endswith("nobody\n")


def test_a_session_is_an_object(scene, run):
    """For a program it is one object with every field, and the request if it is wanted."""
    lease = scene.open("s", model="m", attempt="many", usage="{", topic="sea")
    code, out, err = run("show", lease.session_id, "--json", "--request")
    shown = json.loads(out)
    assert (code, err) == (0, "")
    assert shown.pop("request") == {"path": "/v1/messages", "body": {"model": "m"}}
    assert 0 < shown.pop("lease_left_ms") <= 60_000
    assert abs(shown.pop("created_ms") - time.time() * 1000) < 60_000
    assert abs(shown.pop("updated_ms") - time.time() * 1000) < 60_000
    assert shown == {
        "session_id": lease.session_id,
        "status": "running",
        "is_held": True,
        "holder": "me",
        "takeovers": 0,
        "last_seq": 0,
        "cancel": None,
        "principal": scene.principal,
        "model": "m",
        "attempt": None,
        "strategy": None,
        "text_chars": None,
        "stop_reason": None,
        "usage": None,
        "is_estimated": False,
        "error": None,
        "fields": {"topic": "sea"},
    }
    assert '"path": "/v1/messages"' in run("show", lease.session_id, "--request")[1]


def test_a_log_is_printed(scene, run):
    """Each entry is a line: its cursor, its type, and what is in it."""
    its = scene.finished("s", "Hello\x1b[31m!")
    code, out, _ = run("events", its)
    lines = [line.split(None, 2) for line in out.splitlines()]
    assert code == 0
    assert [line[1] for line in lines] == [
        "session.opened",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "message_stop",
        "session.complete",
    ]
    assert json.loads(lines[3][2]) == {"index": 0, "delta": {"type": "text_delta", "text": "Hello\x1b[31m!"}}
    assert "\x1b" not in out


@pytest.mark.parametrize("command", ["events", "tail"])
def test_every_cursor_goes_on_behind_it(scene, run, command):
    """For a program each entry is an object a line; what follows any cursor is what followed it before."""
    its = scene.finished("s", "Hello", " world")
    code, out, _ = run(command, its, "--json")
    told = objects(out)
    assert (code, len(told)) == (0, 7)
    assert told[3]["event"] == json.loads(delta("Hello"))
    assert told[-1]["event"] == {"type": "session.complete", "status": "complete", "holder": "", "last_seq": 5}
    for k, one in enumerate(told):
        assert objects(run(command, its, "--json", "--after", one["cursor"])[1]) == told[k + 1 :]


def test_a_tail_follows_the_text(scene, run):
    """What is written while one follows comes to stdout as it is; stderr says who wrote it and how it ended."""
    lease = scene.open("s", holder="host:1")
    scene.write(lease, 1, [START, BLOCK, delta("Hello")])

    def write() -> None:
        scene.write(lease, 4, [delta(" wor"), delta("ld\N{HEAVY BLACK HEART}")])
        scene.store.release(lease)
        second = scene.store.acquire(lease.session_id, "host:2", duration=60.0, ttl=600.0).lease
        scene.write(second, 6, [delta("."), STOP], Status.COMPLETE)

    writer = threading.Timer(0.05, write)
    writer.start()
    code, out, err = run("tail", lease.session_id)
    writer.join()
    assert (code, out) == (0, "Hello world\N{HEAVY BLACK HEART}.\n")
    assert err.splitlines() == [
        "resumable: written by host:1",
        "resumable: nobody writes it: given up by its holder",
        "resumable: taken over by host:2 after event 5",
        "resumable: complete with event 7",
    ]


@pytest.mark.parametrize(("end", "code"), [(Status.COMPLETE, 0), (Status.FAILED, 1), (Status.CANCELLED, 1)])
def test_a_tail_ends_as_its_session(scene, run, end, code):
    """The exit code says whether the answer is whole."""
    its = scene.finished("s", "Hello", end=end)
    assert run("tail", its)[0] == code
    assert run("tail", its, "--json")[0] == code


def test_a_held_session_is_asked_to_stop(scene, run):
    """A cancel says whom it asked; where nobody writes, that it is done; where it is over, that it is too late."""
    held, left = scene.open("held", holder="host:1"), scene.open("left")
    scene.store.release(left)
    assert run("cancel", held.session_id, "--reason", "enough") == (
        0,
        f"{held.session_id}: asked host:1 to stop, after event 0\n",
        "",
    )
    assert scene.store.get(held.session_id).cancel == "enough"
    code, out, _ = run("cancel", left.session_id, "--json")
    assert (code, json.loads(out)) == (0, {"session_id": left.session_id, "holder": None, "last_seq": 0})
    assert run("cancel", left.session_id)[:2] == (0, f"{left.session_id}: cancelled, after event 0\n")
    code, out, err = run("cancel", scene.finished("over"))
    assert (code, out) == (1, "")
    assert err.startswith("resumable: session ")


def test_a_session_is_deleted_once(scene, run):
    """A delete says that it is gone, and the second one that there is none."""
    its = scene.finished("s")
    assert run("delete", its) == (0, f"{its}: deleted\n", "")
    assert run("delete", its) == (4, "", f"resumable: there is no session {its}, or no longer\n")
    its = scene.finished("s")
    assert json.loads(run("delete", its, "--json")[1]) == {"session_id": its, "is_deleted": True}


@pytest.mark.parametrize("command", ["show", "events", "tail", "resume", "cancel", "delete"])
def test_what_is_not_there_is_four(run, monkeypatch, command):
    """A session that does not exist ends every command with 4 and one line."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    assert run(command, "nobody") == (4, "", "resumable: there is no session nobody, or no longer\n")


@pytest.mark.parametrize("command", ["show", "events", "tail", "cancel", "delete"])
def test_what_cannot_be_an_id_is_two(run, command):
    """An ID with characters that no ID has ends with 2 and says what it may be."""
    code, out, err = run(command, "no body")
    assert (code, out) == (2, "")
    assert "[A-Za-z0-9_.-]{1,128}" in err


@pytest.mark.parametrize("command", ["events", "tail"])
@pytest.mark.parametrize("cursor", ["$", "0", "99999999999999-1"])
def test_what_is_no_cursor_is_two(scene, run, command, cursor):
    """A cursor that is none, or that lies in the future, ends with 2 and one line that names it."""
    its = scene.finished("s")
    code, out, err = run(command, its, "--after", cursor)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert cursor in err


def test_a_store_that_is_away_is_five(capsys):
    """A store that does not answer ends with 5 and one line, and one that cannot be with 2."""
    assert main(["sessions", "list", "--store", "redis://127.0.0.1:1/0"]) == 5
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "the store cannot be used: connection" in err
    assert "resumable doctor" in err
    assert main(["sessions", "list", "--store", "ftp://x"]) == 2
    assert "ftp:// is not the URL of a store" in capsys.readouterr().err


def test_the_code_says_what_went_wrong():
    """What a script may want to tell apart has a code of its own, everything else has 1."""
    assert {kind.__name__: code for kind, code in CODES.items()} == {
        "ConfigurationError": 2,
        "CursorError": 2,
        "SessionNotFoundError": 4,
        "StoreUnavailableError": 5,
    }
    assert code_of(resumable.SessionNotFoundError("s")) == 4
    assert code_of(resumable.SessionForbiddenError("s")) == 1
    assert sentence(resumable.SessionForbiddenError("s")) == (
        "session s belongs to another principal; name yours with --principal"
    )
    assert sentence(resumable.SessionNotFoundError("s")) == str(resumable.SessionNotFoundError("s"))
    assert code_of(resumable.LogLostError("s", "log")) == 1
