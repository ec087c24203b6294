"""Law L3: any split of the upstream bytes, also inside a UTF-8 sequence, gives the same events."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from resumable.testing import SCRIPTS, Slow
from tests.laws.calls import Outcome, call
from tests.laws.machine import Played, play
from tests.laws.noise import Noise, body_of, noise
from tests.laws.schedules import Schedule, anything, law

_sizes = st.lists(st.integers(1, 300), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) > 20 * len(sizes))
_fine = st.one_of(st.just([1]), st.just([2]), st.lists(st.integers(1, 40), min_size=1, max_size=5))


def _facts(outcome: Outcome) -> tuple[Any, ...]:
    """Everything but names that are drawn anew for each call."""
    attempts = [(one.strategy, str(one.failure), one.delay, one.output_tokens) for one in outcome.attempts]
    error = outcome.error
    return outcome.items, type(error), str(error), attempts, outcome.clock.waits


def _core_facts(played: Played) -> tuple[Any, ...]:
    report = played.session.report
    attempts = [
        (one.strategy, str(one.failure), one.delay, one.output_tokens, one.discarded) for one in report.attempts
    ]
    records = re.sub(rb"\n{3,}", b"\n\n", bytes(played.out))  # one blank line ends a record as well as two
    return records, str(played.error), attempts, report.seams, report.synthesised, played.waits


@law(anything(), _sizes.map(tuple), sample=50, campaign=2000)
def test_l3_chunking(schedule: Schedule, sizes: tuple[int, ...]) -> None:
    """The same bytes in other pieces give the same events, errors, waits and books."""
    assume(not any(isinstance(fault, Slow) for faults in schedule.faults for fault in faults))
    assert _facts(call(schedule.split((1 << 20,)))) == _facts(call(schedule.split(sizes)))


@law(st.sampled_from(tuple(SCRIPTS)), st.lists(noise, min_size=1, max_size=3), _fine, sample=80, campaign=6000)
def test_l3_chunking_of_spoiled_bytes(reply: str, spoils: list[Noise], sizes: list[int]) -> None:
    """Streams that are broken in themselves break in the same way wherever they are split."""
    body = Schedule(reply, "claude-haiku-4-5").body
    answers = [*(one.spoil(body_of(reply)) for one in spoils), body_of("text")]
    assert _core_facts(play(body, answers, [1 << 20])) == _core_facts(play(body, answers, sizes))


@pytest.mark.parametrize("reply", ["unicode", "tools", "thinking", "citations"])
def test_l3_every_single_split(reply: str) -> None:
    """One split at each byte of a stream, inside UTF-8 sequences and line ends too, changes nothing."""
    body, answer = Schedule(reply).body, body_of(reply)
    whole = _core_facts(play(body, [answer], [len(answer)]))
    step = max(1, len(answer) // 400)
    for at in range(1, len(answer), step):
        assert _core_facts(play(body, [answer], [at, len(answer)])) == whole, at


def test_l3_a_failure_in_the_same_read_as_the_ending() -> None:
    """What fails after a message is complete is swallowed, also when both come in one read."""
    body, answer = Schedule("text").body, body_of("text")
    cut = answer[: answer.index(b"event: message_stop")] + b'event: error\ndata: {"type":"error","error":{}}\n\n'
    played = play(body, [cut], [len(cut)])
    assert played.error is None
    assert len(played.session.report.attempts) == 1
    assert bytes(played.out).endswith(answer[answer.index(b"event: message_delta") :])


def test_l3_progress_in_the_same_read_as_a_failure() -> None:
    """Text that arrives together with a failure counts as progress, and so do the waits that follow it."""
    body, answer = Schedule("text").body, body_of("text")
    cut = answer[: answer.index(b'"text":" ')] + b"\n\nevent: x\ndata: nonsense\n\n"
    assert _core_facts(play(body, [cut, answer], [len(cut)])) == _core_facts(play(body, [cut, answer], [1]))
