"""Where keys are said to be, and whom to ask."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from resumable.store import Append, Lease, Opening, Status
from resumable.store._keys import Keys
from resumable.store.cluster._places import SLOTS, Node, Primary, Slots, key_of, slot_of, stages
from resumable.store.redis._commands import Command, acquire, append, release, renew

A, B, C = Node("a", 1), Node("b", 2), Node("c", 3)
HALVES = [[0, 8191, [b"a", 1, b"id"], [b"x", 9, b"id"]], [8192, 16383, [b"b", 2, b"id", []]]]
KEYS = Keys()
LEASE = Lease("s", "me", 1, 0, 15.0, 60.0)


def first(plan):
    """Make the first flight of a plan."""
    return next(plan)


@pytest.mark.parametrize("key", ["", "a", "resumable:{s}:log", "{}x", "a{b", "a}b{c}{d}", "{ü}", "x{{y}}"])
def test_slots_are_the_servers(key):
    """A key is in the slot where the servers and their client think it is."""
    assert slot_of(key) == key_slot(key.encode())
    assert 0 <= slot_of(key) < SLOTS


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (Command(("XREAD", "COUNT", 5, "BLOCK", 9, "STREAMS", "k", "0-0")), "k"),
        (Command(("XRANGE", "k", "-", "+")), "k"),
        (Command(("TIME",), near="k"), "k"),
        (Command(("PING",)), ""),
    ],
)
def test_key_of_a_command(command, key):
    """A command finds its node by its first key, or by what it is near to."""
    assert key_of(command) == key


def test_an_index_is_written_before_a_session():
    """Hints come first, the session behind them; where there is one server, all travel at once."""
    flight = first(acquire(KEYS, "s", "me", duration=1, ttl=1, opening=Opening(b"", "h", "alice")))
    assert stages(flight, is_split=True) == [[0, 1, 2], [3]]
    assert stages(flight, is_split=False) == [[0, 1, 2, 3]]
    assert stages([], is_split=True) == []


@pytest.mark.parametrize(
    "flight",
    [
        first(append(KEYS, [Append(LEASE, 1, [b"a"]), Append(LEASE, 2, end=Status.COMPLETE)])),
        first(renew(KEYS, [LEASE, LEASE])),
        first(release(KEYS, LEASE)),
    ],
)
def test_an_index_is_cleared_behind_a_session(flight):
    """What clears or refreshes a hint waits until the session's own command is done."""
    [before, after] = stages(flight, is_split=True)
    assert all("{s}" in key_of(flight[i]) for i in before)
    assert {key_of(flight[i]) for i in after} <= {KEYS.active, KEYS.finished}
    assert KEYS.active in {key_of(flight[i]) for i in after}


def test_slots_learn():
    """The answer of any node says who holds what; what one of them says of a slot is believed at once."""
    places = Slots([A, B])
    assert (places.is_stale, places.node_of("k")) == (True, None)
    assert places.learn(C, HALVES)
    assert (places.is_stale, places.primaries()) == (False, [A, B])
    key = next(name for name in "abcdef" if slot_of(name) < 8192)
    assert places.node_of(key) == A
    places.moved(slot_of(key), C)
    assert (places.is_stale, places.node_of(key)) == (False, C)


def test_who_failed_is_asked_last():
    """Doubt makes the places stale, and the doubted node the last to be asked; an answer ends it."""
    places = Slots([A, C])
    places.learn(A, HALVES)
    places.doubt(A)
    assert places.is_stale
    assert list(places.candidates()) == [B, C, A]
    places.learn(B, HALVES)
    assert list(places.candidates()) == [A, B, C]
    places.doubt(None)
    assert places.is_stale


@pytest.mark.parametrize("answer", [None, [], [[0, 1]], [[0, 1, None]], [[0, 1, [b"h", b"x"]]], b"no", 7])
def test_what_is_no_answer(answer):
    """A node that knows of no others, or talks nonsense, is not believed."""
    places = Slots([A])
    assert not places.learn(A, answer)
    assert places.is_stale


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_that_does_not_know_its_address(host):
    """It is where it was asked."""
    places = Slots([A])
    assert places.learn(A, [[0, 16383, [host, 7, b"id"]]])
    assert places.primaries() == [Node("a", 7)]


def test_sentinels_name_the_primary():
    """There is one place; who named it is asked first, and last when what it named did not serve."""
    places = Primary("main", [A, B, C])
    asked = [node._replace(is_sentinel=True) for node in (A, B, C)]
    assert list(places.candidates()) == asked
    assert places.question() == ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
    assert not places.learn(asked[0], None)
    assert (places.node_of("k"), places.primaries()) == (None, [])
    assert places.learn(asked[1], [b"h", b"6379"])
    assert (places.node_of("k"), places.is_stale) == (Node("h", 6379), False)
    assert places.primaries() == [Node("h", 6379)]
    assert places.candidates()[0] == asked[1]
    places.doubt(asked[1])
    assert places.candidates()[0] == asked[1]
    places.doubt(Node("h", 6379))
    assert places.candidates()[0] == asked[0]
    places.learn(asked[0], [b"h", b"6379"])
    places.moved(3, A)
    assert places.is_stale
