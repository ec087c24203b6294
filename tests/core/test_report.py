"""What recovery did, as facts that add up."""

from __future__ import annotations

import pytest

from resumable._core.continuation import Strategy
from resumable._core.errors import StreamInterruptedError
from resumable._core.report import Attempt, Notice, Report
from resumable._core.seam import Seam


def test_new_report_is_empty():
    """Before the first attempt there is nothing to tell."""
    report = Report("s1")
    assert (report.session_id, report.attempts, report.seams, report.synthesised) == ("s1", [], [], None)
    assert (report.waited, report.discarded, report.output_tokens, report.has_estimates) == (0, [], 0, False)


def test_sums_are_those_of_the_attempts():
    """Waits, dropped blocks and tokens add up over all attempts, in their order."""
    lost = Attempt(1, Strategy.ORIGINAL, 0.0, delay=0.5, output_tokens=40, discarded=["tool_use", "text"])
    last = Attempt(2, Strategy.USER_TURN, 1.0, delay=1.25, output_tokens=2, discarded=["text"])
    report = Report("s1", [lost, last], [Seam(2, "user_turn", 12, "exact", 4)])
    assert report.waited == 1.75
    assert report.discarded == ["tool_use", "text", "text"]
    assert report.output_tokens == 42


@pytest.mark.parametrize("estimated", [[], [False], [False, True], [True, False]])
def test_one_estimate_makes_the_books_an_estimate(estimated):
    """A sum is measured only if each of its parts is."""
    attempts = [Attempt(1, Strategy.ORIGINAL, 0.0, is_estimated=guess) for guess in estimated]
    assert Report("s1", attempts).has_estimates is any(estimated)


def test_attempts_share_nothing():
    """Each attempt and each report has its own lists."""
    first, second = Attempt(1, Strategy.ORIGINAL, 0.0), Attempt(2, Strategy.RESTART, 0.0)
    first.discarded.append("text")
    first.usage["output_tokens"] = 1
    Report("s1").attempts.append(first)
    assert (second.discarded, second.usage, Report("s2").attempts) == ([], {}, [])


def test_notice_is_a_fact_that_stays():
    """What a callback was told does not change under it."""
    notice = Notice("s1", 1, StreamInterruptedError("EOF"), "continue", Strategy.PREFILL, 0.5)
    with pytest.raises(AttributeError):
        notice.delay = 0.0  # type: ignore[misc]  # Reason: that it is refused is the point
    assert Notice.__struct_fields__ == ("session_id", "attempt", "failure", "verdict", "strategy", "delay")
