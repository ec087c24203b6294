"""Failures that no wait would have helped: they are counted like all others, and waited for like none."""

from __future__ import annotations

import pytest

from resumable._core.errors import Exhausted, UpstreamStatusError
from resumable._core.retry import Again, GiveUp, History, decide, decide_at_once
from resumable._policy import RetryPolicy


def verdicts(count, *, progress=(), **limits):
    """Fail *count* times in a row at the same moment, with progress in the attempts named."""
    history = History(started_at=0.0)
    found = []
    for number in range(1, count + 1):
        if number in progress:
            history.progress()
        found.append(decide_at_once(history, RetryPolicy(**limits), 0.0))
    return found


def test_another_attempt_is_made_at_once():
    """Nothing is waited for, and no row is counted."""
    history = History(started_at=0.0)
    assert decide_at_once(history, RetryPolicy(), 0.0) == Again(0.0)
    assert (history.attempts, history.waited, history.in_a_row) == (1, 0.0, {})


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ({"max_attempts": 3}, Exhausted.ATTEMPTS),
        ({"max_attempts_without_progress": 3}, Exhausted.NO_PROGRESS),
    ],
)
def test_attempts_count_against_every_limit(limits, limit):
    """A refused or missed attempt is one of those the policy allows."""
    assert verdicts(3, **limits) == [Again(0.0), Again(0.0), GiveUp(limit)]


def test_progress_counts_for_its_own_attempt_only():
    """It refills the budget in a row, and is not left over for the next attempt."""
    assert verdicts(4, progress={1}, max_attempts_without_progress=3)[-1] == GiveUp(Exhausted.NO_PROGRESS)
    assert verdicts(4, progress={2}, max_attempts_without_progress=3)[-1] == Again(0.0)


@pytest.mark.parametrize(
    ("now", "verdict"), [(59.9, Again(0.0)), (60.0, GiveUp(Exhausted.TOTAL)), (1e6, GiveUp(Exhausted.TOTAL))]
)
def test_total_time_is_kept(now, verdict):
    """No attempt is begun after the time of the whole session."""
    assert decide_at_once(History(started_at=0.0), RetryPolicy(total_timeout=60.0), now) == verdict


def test_waits_go_on_where_they_were():
    """In between, nothing is forgotten of the rows that are waited for."""
    history, policy = History(started_at=0.0), RetryPolicy()
    refused = UpstreamStatusError(429)
    assert decide(refused, history, policy, lambda: 0.5, 0.0) == Again(5.0)
    assert decide_at_once(history, policy, 0.0) == Again(0.0)
    assert decide(refused, history, policy, lambda: 0.5, 0.0) == Again(10.0)
