"""Law L1: downstream sees a prefix of exactly one well-formed message, or such a prefix followed by one error."""

from __future__ import annotations

from typing import Any

import anthropic
from hypothesis import strategies as st

import resumable
from tests.laws.calls import WAYS, Outcome, call
from tests.laws.grammar import events_of, flaw
from tests.laws.schedules import Schedule, anything, law

#: Before anything was delivered the SDK's own errors are what is raised; afterwards ours, which are also the SDK's.
EXPECTED = (resumable.ResumableError, anthropic.APIError)


def events_seen(outcome: Outcome, way: str) -> list[dict[str, Any]]:
    """Give the events of either way to read."""
    if way != "bytes":
        return outcome.events
    events = events_of(outcome.body)
    # The API's own error as the last and only event: the bytes' form of an error.
    return events[:-1] if events and events[-1]["type"] == "error" else events


@law(anything(), st.sampled_from(WAYS), st.booleans(), sample=80, campaign=5000)
def test_l1_grammar(schedule: Schedule, way: str, is_async) -> None:
    """However a caller reads, whatever befell the attempts, there is one message, or a prefix of one and an error."""
    outcome = call(schedule, way=way, is_async=is_async)
    events = events_seen(outcome, way)
    has_failed = outcome.error is not None or (way == "bytes" and b"event: error" in outcome.body)
    assert flaw(events, whole=not has_failed) is None
    if outcome.error is not None:
        assert isinstance(outcome.error, EXPECTED)
    if events and outcome.error is not None:
        assert isinstance(outcome.error, resumable.RecoveryError)
