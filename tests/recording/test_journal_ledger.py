"""The books of one writer: what is sent, what is sent again and how, and what it means to be fenced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable._core.store_errors import DivergedError, FencedError, LogRewoundError
from resumable._recording._ledger import Ledger
from resumable._recording._rules import APPEND, PATIENCE, RETAINED, Backlog, Rules
from resumable.store import MAX_EVENTS, Appended, Lease, Marker, Recorded, Status
from tests.recording.books import AWAY, LEASE, Scene

if TYPE_CHECKING:
    from resumable.store import Entry

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("large"), st.integers(MAX_EVENTS - 1, MAX_EVENTS + 2), st.booleans()),
        st.tuples(st.just("fly"), st.sampled_from(["ok", "lost", "cut"]), st.none()),
        st.tuples(st.sampled_from(["save", "rewind"]), st.none(), st.none()),
    ),
    max_size=40,
)


@given(STEPS, st.booleans())
def test_any_schedule_of_lost_replies_and_losses_gives_a_dense_log(steps, ends):
    """Whatever is lost on the way, or by the store: each event is there once, and the last word of a field."""
    scene = Scene()
    expected: list[bytes] = []
    fields: dict[str, str | int | bytes] = {}
    for what, argument, has_fields in steps:
        if what in {"write", "large"}:
            events = [b"%d" % (len(expected) + i) for i in range(argument)]
            # Fields that are lost without an event are noticed by nobody; they are written anew soon enough.
            new = {f"f{len(expected) % 2}": len(expected), "n": len(scene.sent)} if has_fields and argument else {}
            scene.ledger.add(events, new, now=0.0)
            expected += events
            fields |= new
        elif what == "fly":
            scene.fly(argument)
        else:
            getattr(scene, what)()
    if ends:
        scene.ledger.add([b"last"], {"done": 1}, Status.COMPLETE, now=scene.clock.now())
        expected.append(b"last")
        fields["done"] = 1
    else:
        scene.ledger.add([b"more"], {}, now=0.0)  # Nobody notices a loss before he writes again.
        expected.append(b"more")
    scene.drain()
    assert scene.ledger.error is None
    assert scene.log() == expected
    assert {name: int(scene.field(name)) for name in fields} == fields
    assert scene.ledger.acked == scene.ledger.accepted == len(expected)
    assert scene.backlog.size == 0
    assert scene.store.get("s").status is (Status.COMPLETE if ends else Status.RUNNING)
    assert scene.ledger.is_over is ends


def test_what_was_not_answered_goes_again_as_it_was():
    """Events with other fields would lose the fields, so the same append goes again, and what came since behind it."""
    scene = Scene()
    scene.ledger.add([b"a"], {"x": 1}, now=0.0)
    scene.fly("lost")
    scene.ledger.add([], {"y": 2}, now=0.0)
    scene.fly("cut")
    scene.drain()
    assert [(list(append.events), append.fields) for append in scene.sent] == [
        ([b"a"], {"x": 1}),
        ([b"a"], {"x": 1}),
        ([b"a"], {"x": 1}),
        ([], {"y": 2}),
    ]
    assert (scene.field("x"), scene.field("y")) == ("1", "2")


def test_fields_that_were_lost_with_events_are_written_again():
    """Also those that went alone, between what the store kept and what it lost."""
    scene = Scene()
    for events, fields in ([b"a"], {"x": 1}), ([], {"y": 2}), ([b"b"], {"z": 3}):
        scene.ledger.add(events, fields, now=0.0)
        scene.drain()
        if fields == {"x": 1}:
            scene.save()
    scene.rewind()
    scene.ledger.add([b"c"], {}, now=0.0)
    scene.drain()
    assert scene.log() == [b"a", b"b", b"c"]
    assert [scene.field(name) for name in "xyz"] == ["1", "2", "3"]


def test_what_waits_goes_together():
    """All that came during a flight is one append, with the last word of every field."""
    scene = Scene()
    for i in range(10):
        scene.ledger.add([b"%d" % i], {"n": i}, now=0.0)
    scene.drain()
    assert [len(append.events) for append in scene.sent] == [10]
    assert scene.field("n") == "9"


@pytest.mark.parametrize(("size", "each", "appends"), [(1, MAX_EVENTS + 1, 2), (APPEND // 2 + 1, 1, 3)])
def test_an_append_is_bounded(size, each, appends):
    """In events and in bytes; the fields of what is cut go with its end."""
    scene = Scene()
    for _ in range(3 if each == 1 else 1):
        scene.ledger.add([b"x" * size] * each, {"n": 1}, now=0.0)
    scene.drain()
    assert len(scene.sent) == appends
    assert "n" in scene.sent[-1].fields
    if each > 1:
        assert not scene.sent[0].fields


def test_a_loss_that_memory_cannot_make_good_is_an_error():
    """What was acknowledged longer ago than is kept is lost, and nothing is put in its place."""
    scene = Scene()
    scene.ledger.add([b"x" * 100], {}, now=0.0)
    scene.drain()
    for _ in range(RETAINED // 100 + 1):
        scene.ledger.add([b"y" * 100], {}, now=0.0)
    scene.drain()
    scene.rewind()
    scene.ledger.add([b"z"], {}, now=0.0)
    scene.drain()
    assert isinstance(scene.ledger.error, LogRewoundError)
    with pytest.raises(LogRewoundError):
        scene.ledger.finish(1, now=0.0)
    with pytest.raises(LogRewoundError):
        scene.ledger.add([b"more"], {}, now=0.0)
    assert not scene.log()


def test_a_loss_behind_the_lease_is_an_error():
    """Events of an earlier holder are not ours to write again."""
    ledger = Ledger(Lease("s", "me", 7, 5, 15.0, 60.0), 5, Rules(), Backlog())
    ledger.add([b"six"], {}, now=0.0)
    ledger.load(0.0)
    ledger.settle(LogRewoundError("s", 5, 3), 0.0)
    assert isinstance(ledger.error, LogRewoundError)
    assert not ledger.is_waiting
    assert ledger.load(0.0) is None


def fenced(ledger: Ledger) -> None:
    """Have it taken over."""
    ledger.load(0.0)
    ledger.settle(FencedError("s", 7, 9, "other"), 0.0)


@pytest.mark.parametrize(
    ("held", "is_diverged"), [((1,), True), ((1, 2), False), ((1, 2, 3), False)], ids=["less", "all", "more"]
)
def test_who_is_fenced_has_diverged_only_beyond_the_log(held, is_diverged):
    """What was delivered and not acknowledged may be in the log all the same; the log is asked."""
    ledger = Ledger(LEASE, 0, Rules(is_relaxed=True), Backlog())
    ledger.finish(ledger.add([b"1", b"2"], {}, now=0.0), now=0.0)
    assert ledger.ahead == 2
    fenced(ledger)
    following: list[Entry] = [*(Recorded(7, seq, b"") for seq in held), Marker(9, Status.RUNNING, "other", 2, None)]
    following += [Recorded(9, len(held) + 1, b"theirs")]
    if is_diverged:
        with pytest.raises(DivergedError) as caught:
            ledger.judge(following)
        assert caught.value.last_seq == 1
        assert isinstance(ledger.error, DivergedError)
    else:
        ledger.judge(following)
        assert isinstance(ledger.error, FencedError)
        assert ledger.cursor == (7, held[-1])


def test_who_was_answered_has_not_diverged():
    """Written ahead, nothing is delivered that the log does not hold."""
    ledger = Ledger(LEASE, 0, Rules(), Backlog())
    ledger.add([b"1"], {}, now=0.0)
    fenced(ledger)
    ledger.judge(())
    assert ledger.cursor == (7, 0)


def test_the_first_error_stays():
    """What is said after it, or about it, changes nothing."""
    ledger = Ledger(LEASE, 0, Rules(), Backlog())
    ledger.add([b"1"], {}, now=0.0)
    ledger.load(0.0)
    ledger.lose(FencedError("s", 7, 9))
    ledger.settle(Appended(1, 1, None), 0.0)
    ledger.fail(AWAY)
    assert isinstance(ledger.error, FencedError)
    assert ledger.acked == 0


def test_who_ends_hears_of_it_from_the_append():
    """A renewal that crossed our own end says that the session is over, which is no loss."""
    ledger = Ledger(LEASE, 0, Rules(), Backlog())
    number = ledger.add([], {}, Status.COMPLETE, now=0.0)
    ledger.load(0.0)
    ledger.lose(FencedError("s", 7, 9))
    ledger.settle(Appended(0, 0, "why"), 0.0)
    ledger.finish(number, now=0.0)
    assert (ledger.is_over, ledger.is_done, ledger.is_left, ledger.cancel_reason) == (True, True, False, "why")
    ledger.settle(Appended(0, 0, None), 0.0)  # of nothing
    assert ledger.leave(1.0) == number


def test_to_leave_is_to_have_written():
    """Who leaves without an end has left when nothing is on its way."""
    ledger = Ledger(LEASE, 0, Rules(is_relaxed=True), Backlog())
    ledger.add([b"1"], {}, now=0.0)
    number = ledger.leave(1.0)
    assert ledger.until(number, 1.0) == 1.0 + PATIENCE
    assert (ledger.is_left, ledger.is_done) == (False, False)
    ledger.load(0.0)
    ledger.settle(Appended(1, 1, None), 0.0)
    assert (ledger.is_left, ledger.is_done) == (True, True)
