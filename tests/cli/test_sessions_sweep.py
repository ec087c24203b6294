"""`resumable sessions sweep`: what it does to what nobody writes, and what it says of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resumable import SessionNotFoundError, StoreUnavailableError
from resumable.cli import main
from resumable.sessions import Sessions, Swept, _upkeep
from resumable.store import Status
from resumable.store._url import open_store
from resumable.testing import ScriptedUpstream
from tests.sessions.calls import new_id
from tests.sessions.lapsed import leave

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resumable.store import Store


@pytest.fixture
def store(monkeypatch) -> Iterator[Store]:
    """This process's memory, as if it had been there for long."""
    monkeypatch.setattr(_upkeep, "_LEASE", 0.0)
    monkeypatch.setattr(_upkeep, "SPREAD", 0.0)
    opened = open_store("memory://")
    yield opened
    opened.close()


def test_it_marks_and_compacts(store, capsys):
    """Without a key it says how many were marked; a session that has just ended is compacted if asked."""
    its = new_id()
    leave(store, its)
    assert main(["sessions", "sweep", "--store", "memory://", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert its in told["orphaned"]
    assert told["again_in_ms"] > 0
    assert store.get(its).status is Status.ORPHANED
    store.cancel(its)
    assert main(["sessions", "sweep", "--store", "memory://", "--compact-after", "never", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["compacted"] == []
    assert main(["sessions", "sweep", "--store", "memory://", "--compact-after", "0s"]) == 0
    assert "again in" in capsys.readouterr().out
    assert store.get(its).is_compact


def test_it_continues_with_a_key(store, capsys, monkeypatch):
    """What belongs to the principal is brought to its end; without a key nothing is touched."""
    its = new_id()
    leave(store, its, f"principal-{its}")
    asked = ["sessions", "sweep", "--store", "memory://", "--continue", "--principal", f"principal-{its}", "--json"]
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    assert main(asked) == 3
    assert "there is no key" in capsys.readouterr().err
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    with ScriptedUpstream("text") as upstream:
        assert main([*asked, "--base-url", upstream.url]) == 0
    assert json.loads(capsys.readouterr().out)["continued"] == [its]
    assert store.get(its).status is Status.COMPLETE


def test_failures_are_told(monkeypatch, capsys):
    """Each has its line, and the code is 1."""
    error = SessionNotFoundError("s")
    monkeypatch.setattr(Sessions, "sweep", lambda *_, **__: Swept(failures={"s": error}))
    assert main(["sessions", "sweep", "--store", "memory://"]) == 1
    assert str(error) in capsys.readouterr().err


def test_it_goes_on(monkeypatch, capsys):
    """Until Ctrl-C it sweeps when it is told to, and bears that the store is away."""
    waits: list[float] = []
    outcomes: Iterator[Swept | Exception] = iter(
        [Swept(again_in=7.0), StoreUnavailableError("timeout", "TimeoutError"), Swept(again_in=3.0)]
    )

    def swept(*_: object, **__: object) -> Swept:
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        raise KeyboardInterrupt

    monkeypatch.setattr(Sessions, "sweep", swept)
    monkeypatch.setattr("time.sleep", waits.append)
    assert main(["sessions", "sweep", "--store", "memory://", "--forever"]) == 130
    assert waits == [7.0, 15.0, 3.0]
    assert capsys.readouterr().out.count("again in") == 2
