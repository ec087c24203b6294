"""What nobody writes is continued or marked, and what is over is compacted: once, whoever and however many sweep."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from resumable import RetriesExhaustedError
from resumable.sessions import Sessions, Swept, _upkeep
from resumable.store import Recorded, Status
from resumable.store._url import open_store
from resumable.store.redis._stores import RedisStore
from resumable.testing import Reject, ScriptedUpstream
from resumable.testing._conformance_scene import until
from tests.sessions.calls import Calls, aclient_of, client_of, expected_text, new_id
from tests.sessions.faces import sessions_of
from tests.sessions.lapsed import PLAIN, leave, leave_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resumable.store import Store
    from tests.store.servers import Server

COLOURS = pytest.mark.parametrize("colour", ["sync", "async"])


@pytest.fixture(autouse=True)
def no_vigil(monkeypatch):
    """Let the stores of these tests pass for old ones, and let nobody wait by chance."""
    monkeypatch.setattr(_upkeep, "_LEASE", 0.0)
    monkeypatch.setattr(_upkeep, "SPREAD", 0.0)


@pytest.fixture
def at(store: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """The same store as the sessions', to look into; empty where that can be."""
    if store != "memory://":
        request.getfixturevalue("valkey").wipe()
    opened = open_store(store)
    until(lambda: (opened.ping().uptime or 0.0) >= 1.0)  # Before, it says 0, and what was just left may come back.
    yield opened
    opened.close()


@contextmanager
def client_for(colour: str, sessions: Any, upstream: ScriptedUpstream) -> Iterator[Any]:
    """Give a client of the colour of sessions; it is closed where they live."""
    client: Any = client_of(upstream) if colour == "sync" else aclient_of(upstream)
    yield client
    if colour == "sync":
        client.close()
    else:
        sessions._portal.call(client.close)


def kinds(store: Store, session_id: str) -> list[str]:
    """Say what became of a session, in order."""
    return [one.status.value for one in store.read(session_id) if not isinstance(one, Recorded)]


@COLOURS
def test_without_a_credential_it_is_marked(colour, store, at):
    """Its readers are told once, and whoever has a credential can still finish it."""
    its = new_id()
    leave(at, its)
    with sessions_of(colour, store) as sessions:
        assert its in sessions.sweep().orphaned
        assert its not in sessions.sweep().orphaned
        assert sessions.get(its).status is Status.ORPHANED
    assert kinds(at, its) == ["running", "orphaned"]
    with ScriptedUpstream("text") as upstream:
        assert Calls(colour, store).resumed(upstream, its) == expected_text()
    assert kinds(at, its) == ["running", "orphaned", "running", "complete"]


@COLOURS
def test_with_a_credential_it_is_continued(colour, store, at):
    """Also what was marked before; the log then holds the whole message, and nobody was asked twice for any of it."""
    lapsed, marked = new_id(), new_id()
    leave(at, lapsed)
    leave(at, marked)
    until(lambda: at.orphan(marked))
    with (
        ScriptedUpstream("text") as upstream,
        sessions_of(colour, store) as sessions,
        client_for(colour, sessions, upstream) as client,
    ):
        swept = sessions.sweep(client)
        assert {lapsed, marked} <= set(swept.continued)
        assert not swept.failures
        for its in (lapsed, marked):
            assert sessions.get(its).status is Status.COMPLETE
            assert Calls(colour, store).resumed(upstream, its) == expected_text()
        assert len(upstream.log) == len(swept.continued)


@COLOURS
def test_a_credential_is_good_for_its_principal_alone(colour, store, at):
    """What belongs to another is marked, and waits until somebody sweeps in that one's name."""
    name = new_id()
    ours, theirs = f"{name}.ours", f"{name}.theirs"
    leave(at, ours, f"alice-{name}")
    leave(at, theirs, f"bob-{name}")
    with (
        ScriptedUpstream("text") as upstream,
        sessions_of(colour, store) as sessions,
        client_for(colour, sessions, upstream) as client,
    ):
        swept = sessions.sweep(client, principal=f"alice-{name}")
        assert (swept.continued, swept.failures) == ((ours,), {})
        assert theirs in swept.orphaned
        assert len(upstream.log) == 1
        assert not sessions.sweep(client, principal=f"alice-{name}").continued
        assert sessions.sweep(client, principal=f"bob-{name}").continued == (theirs,)
    assert kinds(at, theirs) == ["running", "orphaned", "running", "complete"]


@COLOURS
@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_credential_that_is_refused_costs_the_session_nothing(colour, status, store, at):
    """Upstream wants another one: whoever sweeps hears it, and whoever has the right one finishes the message."""
    its = new_id()
    leave(at, its)
    with (
        ScriptedUpstream("text", [Reject(status)]) as upstream,
        sessions_of(colour, store) as sessions,
        client_for(colour, sessions, upstream) as client,
    ):
        [refused] = sessions.sweep(client).failures.values()
        assert isinstance(refused, RetriesExhaustedError)
        assert sessions.get(its).status is Status.ORPHANED
    assert kinds(at, its) == ["running", "running", "running", "orphaned"]
    with ScriptedUpstream("text") as upstream:
        assert Calls(colour, store).resumed(upstream, its) == expected_text()


@COLOURS
def test_what_was_to_be_cancelled_ends(colour, store, at):
    """A cancel that found nobody in time is not answered by a continuation, nor by a mark."""
    its = new_id()
    at.acquire(its, "gone", duration=0.3, ttl=60.0, opening=PLAIN)
    at.cancel(its)
    until(lambda: not at.get(its).is_held)
    with sessions_of(colour, store) as sessions:
        assert its not in sessions.sweep().orphaned
    assert kinds(at, its) == ["running", "cancelled"]


@COLOURS
def test_what_is_held_is_left_alone(colour, store, at):
    """A holder that writes, or one that has just taken over, is nobody's orphan."""
    its = new_id()
    at.acquire(its, "there", duration=60.0, ttl=60.0, opening=PLAIN)
    with sessions_of(colour, store) as sessions:
        swept = sessions.sweep()
    assert its not in [*swept.orphaned, *swept.continued]
    assert kinds(at, its) == ["running"]


@contextmanager
def sweepers(server: Server, count: int) -> Iterator[list[Sessions]]:
    """Give several, each with connections of its own, as processes have."""
    with ExitStack() as stack:
        stores = [RedisStore.from_url(server.url) for _ in range(count)]
        for one in stores:
            stack.callback(one.close)
        yield [stack.enter_context(Sessions(one)) for one in stores]


def together(sessions: list[Sessions], *args: Any, **options: Any) -> list[Swept]:
    """Sweep with all of them at the same time."""
    barrier = threading.Barrier(len(sessions))

    def one(its: Sessions) -> Swept:
        barrier.wait()
        return its.sweep(*args, **options)

    with ThreadPoolExecutor(len(sessions)) as pool:
        return list(pool.map(one, sessions))


def test_many_sweepers_mark_each_session_once(valkey):
    """Eight at once find sixty: each is marked by one of them, and by nobody a second time."""
    valkey.wipe()
    names = [f"s{i}" for i in range(60)]
    with sweepers(valkey, 8) as sessions, closing(open_store(valkey.url)) as store:
        for name in names:
            leave_plain(store, name)
        swept = together(sessions, limit=10)
        assert sorted(name for one in swept for name in one.orphaned) == sorted(names)
        assert sum(bool(one.orphaned) for one in swept) >= 6
        assert all(kinds(store, name) == ["running", "orphaned"] for name in names)


def test_many_sweepers_continue_each_session_once(valkey):
    """Four at once with credentials send one request for each session."""
    valkey.wipe()
    names = [f"s{i}" for i in range(8)]
    with (
        ScriptedUpstream("text") as upstream,
        sweepers(valkey, 4) as sessions,
        closing(open_store(valkey.url)) as store,
    ):
        for name in names:
            leave(store, name)
        with client_of(upstream) as client:
            swept = together(sessions, client)
        assert sorted(name for one in swept for name in one.continued) == names
        assert len(upstream.log) == len(names)
        assert all(kinds(store, name) == ["running", "running", "complete"] for name in names)
