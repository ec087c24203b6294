"""How long a writer waits for its store, what it does then, and what is said of it afterwards."""

from __future__ import annotations

import json

import pytest

from resumable._core.errors import ConfigurationError, LocalProtocolError
from resumable._core.store_errors import StoreUnavailableError
from resumable._recording._rules import ALL_BACKLOG, BACKLOG, LAG, LINGER, LONG_PATIENCE, PATIENCE, Gap, Rules
from resumable.store import Status
from tests.recording.books import Scene


def test_a_caller_waits_for_the_log():
    """Write-ahead: until it is written, or patience is at an end."""
    scene = Scene()
    number = scene.ledger.add([b"a"], {}, now=0.0)
    assert scene.ledger.until(number, 5.0) == 5.0 + PATIENCE
    scene.fly()
    assert scene.ledger.until(number, 5.0) < 0


def test_an_outage_is_borne_once_and_recorded():
    """The first write waits, those after it do not; when the store is back they wait again, and the gap is told."""
    scene = Scene()
    began = scene.clock.now()
    number = scene.ledger.add([b"a"], {}, now=scene.clock.now())
    scene.fly("cut")
    scene.wait(number)
    assert scene.clock.now() - began >= PATIENCE
    before = scene.clock.now()
    scene.write(b"b", b"c")
    assert scene.clock.now() == before
    assert scene.ledger.gap == Gap(1, 0.0, 3)
    scene.fly()  # the same as before, alone
    assert scene.log() == [b"a"]
    number = scene.ledger.add([b"d"], {}, now=scene.clock.now())
    assert scene.ledger.until(number, scene.clock.now()) > scene.clock.now()
    scene.drain()
    scene.ledger.finish(number, now=scene.clock.now())
    assert scene.log() == [b"a", b"b", b"c", b"d"]
    assert scene.ledger.gap is not None
    assert (scene.ledger.gap.outages, scene.ledger.gap.events) == (1, 3)
    told = json.loads(scene.field("gap"))
    assert told["outages"] == 1
    assert told["events"] == 3
    assert 0 < told["seconds"] <= round(scene.ledger.gap.seconds, 3)


def test_the_gap_is_written_also_when_nothing_else_is():
    """The outage swallowed one answer and nothing more: the field needs an append of its own."""
    scene = Scene()
    number = scene.ledger.add([b"a"], {}, now=scene.clock.now())
    scene.fly("lost")
    scene.wait(number)
    scene.drain()
    assert [len(append.events) for append in scene.sent] == [1, 1, 0]
    assert json.loads(scene.field("gap"))["events"] == 1


def test_a_second_outage_is_counted():
    """Each suspension of write-ahead is one."""
    scene = Scene()
    for _ in range(2):
        number = scene.ledger.add([b"a"], {}, now=scene.clock.now())
        scene.fly("cut")
        scene.wait(number)
        scene.drain()
    assert json.loads(scene.field("gap"))["outages"] == 2


def test_a_slow_store_is_an_outage():
    """No answer at all in time: nobody waits longer."""
    scene = Scene()
    scene.write(b"a")
    assert scene.ledger.gap is not None
    strict = Scene(Rules(degrades=False))
    with pytest.raises(StoreUnavailableError) as caught:
        strict.write(b"a")
    assert caught.value.reason == "timeout"


def test_to_fail_is_to_raise():
    """Under "fail" a write outlasts a failover, then raises; the next one sends the same first."""
    scene = Scene(Rules(degrades=False))
    number = scene.ledger.add([b"a"], {}, now=0.0)
    assert scene.ledger.until(number, 5.0) == 5.0 + LONG_PATIENCE
    scene.fly("lost")
    with pytest.raises(StoreUnavailableError):
        scene.wait(number)
    assert scene.ledger.gap is None
    scene.ledger.add([b"b"], {}, now=0.0)
    scene.drain()
    assert scene.log() == [b"a", b"b"]


@pytest.mark.parametrize("degrades", [True, False])
def test_what_does_not_heal_is_not_waited_for(degrades):
    """A wrong password is no outage to bear."""
    scene = Scene(Rules(degrades=degrades))
    number = scene.ledger.add([b"a"], {}, now=0.0)
    scene.ledger.load(0.0)
    scene.ledger.settle(StoreUnavailableError("auth", "AuthenticationError", retryable=False), 0.0)
    assert scene.ledger.until(number, 0.0) < 0
    if degrades:
        scene.ledger.finish(number, now=0.0)
        assert scene.ledger.gap is not None
    else:
        with pytest.raises(StoreUnavailableError):
            scene.ledger.finish(number, now=0.0)


def test_relaxed_is_a_bounded_lag():
    """Nobody waits until the log is too far behind, then until there is room."""
    scene = Scene(Rules(is_relaxed=True))
    began = scene.clock.now()
    scene.write(b"x" * LAG)
    assert scene.clock.now() == began
    assert scene.ledger.ahead == 1
    number = scene.ledger.add([b"y"], {}, now=began)
    assert scene.ledger.until(number, began) == began + PATIENCE
    scene.drain()
    assert scene.ledger.until(number, began) < began
    assert scene.ledger.gap is None


@pytest.mark.parametrize("is_own", [True, False])
def test_memory_is_bounded(is_own):
    """With the store away for too long the write waits once more, then raises, whatever the policy."""
    scene = Scene()
    scene.write(b"a")
    scene.fly("cut")
    if is_own:
        scene.ledger.add([b"x" * BACKLOG], {}, now=0.0)
    else:
        scene.backlog.size += ALL_BACKLOG
    before = scene.clock.now()
    with pytest.raises(StoreUnavailableError):
        scene.write(b"b")
    assert scene.clock.now() - before == pytest.approx(PATIENCE)


def test_an_end_waits_for_the_log():
    """Also when relaxed, and also in an outage, since the process may end right behind it."""
    scene = Scene(Rules(is_relaxed=True))
    scene.write(b"a")
    number = scene.ledger.add([b"b"], {}, Status.COMPLETE, now=scene.clock.now())
    assert scene.ledger.until(number, scene.clock.now()) > scene.clock.now()
    scene.fly("cut")
    scene.wait(number)
    with pytest.raises(LocalProtocolError):
        scene.ledger.add([b"c"], {}, now=0.0)
    scene.drain()
    assert scene.store.get("s").status is Status.COMPLETE
    assert scene.log() == [b"a", b"b"]
    assert json.loads(scene.field("gap"))["outages"] == 1


def test_nothing_is_kept_for_ever():
    """A session that is over is not kept in memory for a store that never comes back."""
    scene = Scene()
    scene.ledger.add([b"a"], {}, Status.COMPLETE, now=scene.clock.now())
    scene.fly("cut")
    assert scene.ledger.is_waiting
    scene.clock.advance(LINGER)
    scene.fly("cut")
    assert isinstance(scene.ledger.error, StoreUnavailableError)
    assert scene.backlog.size == 0


def test_a_store_that_was_closed_is_not_waited_for():
    """Who closed it is in this process."""
    scene = Scene()
    number = scene.ledger.add([b"a"], {}, now=0.0)
    scene.store.close()
    scene.ledger.load(0.0)
    scene.ledger.settle(StoreUnavailableError("closed", "MemoryStore", retryable=False), 0.0)
    with pytest.raises(StoreUnavailableError):
        scene.ledger.finish(number, now=0.0)


@pytest.mark.parametrize("words", [("written", "fail"), ("relaxed", "shrug")])
def test_other_words_are_refused(words):
    """A policy that is misspelled is no policy."""
    with pytest.raises(ConfigurationError):
        Rules.of(*words)
    assert Rules.of("relaxed", "fail") == Rules(is_relaxed=True, degrades=False)
