"""What answers become: values, or typed errors, and never anything else, whatever the server says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.store_errors import (
    CursorError,
    LogLostError,
    LogRewoundError,
    SeqExpiredError,
    SessionSchemaError,
    StoreError,
    StoreUnavailableError,
)
from resumable.store import Appended, Cursor, Lease, Marker, Recorded, Status
from resumable.store._chain import check_chain, check_found
from resumable.store.redis import _queries
from resumable.store.redis._commands import Command, on_the_wire, unknown
from resumable.store.redis._replies import (
    accepted,
    appended,
    checkpoint,
    entries,
    looked,
)
from resumable.store.redis._scripts import APPEND, HINT
from tests.store.commands import plain

LEASE = Lease("s", "h", 5, 0, 15.0, 60.0)
FIRST = Marker(5, Status.RUNNING, "h", 0, None)
ONE, TWO, THREE = (Recorded(5, seq, b"e") for seq in (1, 2, 3))
TAKEN = Marker(7, Status.RUNNING, "i", 2, Cursor(5, 2))
FLAT = {
    b"schema": b"1",
    b"status": b"running",
    b"holder": b"h",
    b"token": b"5",
    b"lease_until_ms": b"2000",
    b"base": b"0",
    b"last_seq": b"0",
    b"takeovers": b"0",
    b"principal": b"",
    b"request_hash": b"",
    b"created_ms": b"1",
    b"updated_ms": b"1",
}
REPLIES = st.recursive(st.none() | st.integers() | st.binary(max_size=8), lambda inner: st.lists(inner, max_size=4))


def flat(**changes: bytes | None) -> list[bytes]:
    """Spell a checkpoint as HGETALL does, with some fields changed or left out."""
    fields: dict[bytes, bytes | None] = {**FLAT, **{name.encode(): value for name, value in changes.items()}}
    return [word for name, value in fields.items() if value is not None for word in (name, value)]


def test_a_checkpoint_tells_what_is_left_of_the_lease():
    """By the server's clock, and nothing once it has run out."""
    assert checkpoint("s", 500, flat()).lease_left == 1.5
    assert checkpoint("s", 9000, flat()).lease_left == 0
    assert not checkpoint("s", 9000, flat()).is_held
    assert checkpoint("s", 500, flat()).is_held
    assert not checkpoint("s", 500, flat(status=b"complete")).is_held


@pytest.mark.parametrize("schema", [b"2", b"2.0", b"10", b"x", b""])
def test_a_newer_schema_is_refused(schema):
    """A major version that is not known, or no version at all."""
    with pytest.raises(SessionSchemaError):
        checkpoint("s", 0, flat(schema=schema))


@pytest.mark.parametrize("name", [name.decode() for name in FLAT if name != b"schema"])
def test_a_checkpoint_without_a_field_is_lost(name):
    """Half a hash is not read as another session."""
    with pytest.raises(LogLostError):
        checkpoint("s", 0, flat(**{name: None}))


def test_a_checkpoint_of_nonsense_is_lost():
    """A number that is none, or a state that nobody knows."""
    for wrong in ({"token": b"x"}, {"status": b"asleep"}):
        with pytest.raises(LogLostError):
            checkpoint("s", 0, flat(**wrong))


@given(REPLIES)
def test_no_answer_raises_anything_of_its_own(reply):
    """Whatever a server, a proxy or a stranger answers becomes a value or an error of ours."""
    assert isinstance(appended(LEASE, reply, seen=0), Appended | StoreError)
    assert isinstance(looked("s", reply), StoreError)


def test_what_is_no_answer_of_ours_is_unavailable():
    """Something else listens there."""
    with pytest.raises(StoreUnavailableError) as caught:
        accepted("s", b"HTTP/1.1")
    assert (caught.value.reason, caught.value.retryable) == ("refused", False)
    error = StoreUnavailableError("timeout", "TimeoutError")
    assert appended(LEASE, error, seen=0) is error


@pytest.mark.parametrize("fields", [[b"x", b"y"], [b"status", b"asleep", b"holder", b"", b"base", b"0"]])
def test_a_marker_that_nobody_knows_is_of_a_newer_version(fields):
    """An entry of another kind is not passed over in silence."""
    with pytest.raises(SessionSchemaError):
        entries("s", [[b"5-0", fields]])


@pytest.mark.parametrize(
    ("before", "following"),
    [
        (None, [FIRST, ONE, TWO, TAKEN, Recorded(7, 3, b"e")]),
        (Cursor(5, 0), [ONE, TWO]),
        (Cursor(5, 2), [THREE]),
        (Cursor(5, 2), [TAKEN]),
        (Cursor(7, 0), [Recorded(7, 9, b"e")]),  # A cursor alone does not tell the base; the scripts see to it.
        (Cursor(5, 1), []),
        (Cursor(7, 0), [Marker(8, Status.COMPLETE, "", 2, Cursor(7, 0))]),
    ],
)
def test_what_follows_is_let_by(before, following):
    """Events that follow by their seq, markers by what they name."""
    check_chain("s", before, following)


@pytest.mark.parametrize(
    ("before", "following", "seen", "last_seq"),
    [
        (Cursor(5, 9), [TAKEN], 9, 2),
        (Cursor(5, 1), [TWO, THREE, TAKEN], 3, 2),
        (Cursor(6, 0), [TAKEN], 2, 2),
        (Cursor(3, 4), [FIRST], 4, 0),
    ],
)
def test_a_marker_behind_something_earlier_is_a_rewound_log(before, following, seen, last_seq):
    """What the reader has seen is not what the log went on from."""
    with pytest.raises(LogRewoundError) as caught:
        check_chain("s", before, following)
    assert (caught.value.seen, caught.value.last_seq) == (seen, last_seq)


@pytest.mark.parametrize(
    ("before", "following", "requested", "earliest"),
    [
        (None, [THREE], 1, 3),
        (None, [TAKEN], 1, 3),
        (None, [FIRST, TWO], 1, 2),
        (Cursor(5, 1), [THREE], 2, 3),
        (Cursor(5, 1), [Recorded(7, 2, b"e")], 2, 2),
        (Cursor(5, 1), [TAKEN], 2, 3),
    ],
)
def test_a_hole_is_told(before, following, requested, earliest):
    """Something between was removed."""
    with pytest.raises(SeqExpiredError) as caught:
        check_chain("s", before, following)
    assert (caught.value.requested, caught.value.earliest) == (requested, earliest)


def test_a_cursor_between_entries_was_never_given():
    """The log goes back behind it, and yet does not have it."""
    with pytest.raises(CursorError):
        check_found("s", Cursor(5, 1), [TWO], FIRST)
    with pytest.raises(SeqExpiredError):
        check_found("s", Cursor(5, 1), [TWO], TWO)
    with pytest.raises(SeqExpiredError) as caught:
        check_found("s", Cursor(5, 1), [TAKEN], TAKEN)
    assert caught.value.earliest == 3
    with pytest.raises(LogRewoundError):
        check_found("s", Cursor(5, 9), [TAKEN], FIRST)


def test_an_unknown_script_is_sent_again_with_all_of_its_kind():
    """In order, the text once, and nothing of other kinds a second time."""
    flight = [
        Command(("k", 1), HINT, 1),
        Command(("k", 2), APPEND, 1),
        Command(("ZREM", "z", "s")),
        Command(("k", 3), APPEND, 1),
    ]
    assert [plain(words)[0] for words in on_the_wire(flight)] == ["EVALSHA", "EVALSHA", "ZREM", "EVALSHA"]
    again = unknown(flight, [False, False, False, True])
    assert again == [1, 3]
    first, second = map(plain, on_the_wire([flight[i] for i in again], with_texts=True))
    assert first == ["EVAL", APPEND.text, "1", "k", "2"]
    assert second == ["EVALSHA", APPEND.sha, "1", "k", "3"]


@given(
    after=st.builds(Cursor, st.integers(1, 2), st.integers(0, 3)),
    raw=st.lists(
        st.tuples(st.integers(1, 2), st.integers(1, 6)).map(lambda at: [b"%d-%d" % at, [b"d", b"{}"]]), max_size=4
    ),
    steps=st.booleans(),
)
def test_the_short_way_says_what_the_long_one_does(after, raw, steps):
    """Whether the entries that came are the next ones, others, or have holes."""
    if steps:
        raw = [[b"%d-%d" % (after.token, after.seq + 1 + i), fields] for i, (_, fields) in enumerate(raw)]
    short, long = _queries.following("s", after, raw), _queries._checked("s", after, raw)
    assert (type(short), str(short)) == (type(long), str(long))
