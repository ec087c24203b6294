"""What the policy refuses, in which words, and what it accepts although it is unusual."""

from __future__ import annotations

import datetime as dt
import math
from itertools import repeat
from typing import Any

import pytest
import tenacity

from resumable._core.errors import ConfigurationError, Exhausted, UpstreamEventError, UpstreamStatusError
from resumable._core.retry import Again, GiveUp, History, decide
from resumable._policy import RetryPolicy

COUNTS = ["max_attempts", "max_attempts_without_progress", "seam_window"]
SECONDS = ["max_wait", "retry_after_cap", "bytes_timeout", "progress_timeout", "thinking_timeout", "max_hold"]
DEADLINES = ["first_event_timeout", "total_timeout"]

WAIT_REMEDY = "pass a tenacity wait strategy that returns seconds, such as tenacity.wait_fixed(5)"
NAMES = "pass None, or a tuple of 'user_turn', 'prefill', 'restart', 'restart_and_verify'"
TEMPLATE = "pass a str with {anchor} in it exactly once and no other field, or None"

REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"max_attempts": 0}, "max_attempts: 0 leaves nothing to do; pass an int of at least 1"),
    ({"max_attempts": 2.5}, "max_attempts: 2.5 is not a whole number; pass an int of at least 1"),
    ({"max_wait": -1}, "max_wait: -1 is out of range; pass a positive number of seconds, at most 1e+09"),
    ({"max_wait": math.nan}, "max_wait: nan is out of range; pass a positive number of seconds, at most 1e+09"),
    (
        {"max_hold": 10**400},
        "max_hold: a value of type int is out of range; pass a positive number of seconds, at most 1e+09",
    ),
    ({"max_hold": "9"}, "max_hold: '9' is not a number; pass a positive number of seconds"),
    ({"max_hold": "9" * 99}, "max_hold: a value of type str is not a number; pass a positive number of seconds"),
    (
        {"thinking_timeout": 200},
        "thinking_timeout: 200 s is less than progress_timeout (300 s); pass at least as long",
    ),
    ({"progress_timeout": 901}, "thinking_timeout: 900 s is less than progress_timeout (901 s); pass at least as long"),
    ({"server": "5"}, f"server: '5' is not a strategy; {WAIT_REMEDY}"),
    ({"server": 5}, f"server: 5 is not a strategy; {WAIT_REMEDY}"),
    ({"server": lambda _: 5}, f"server: a value of type function is not a strategy; {WAIT_REMEDY}"),
    ({"server": tenacity.wait_fixed}, f"server: a value of type ABCMeta is not a strategy; {WAIT_REMEDY}"),
    ({"server": tenacity.wait_fixed(-1)}, f"server: its first wait is -1 s; {WAIT_REMEDY}"),
    ({"server": tenacity.wait_fixed(math.nan)}, f"server: its first wait is nan s; {WAIT_REMEDY}"),
    ({"server": tenacity.wait_fixed(math.inf)}, f"server: its first wait is inf s; {WAIT_REMEDY}"),
    (
        {"server": tenacity.wait_exception(lambda _: dt.timedelta(1))},  # type: ignore[arg-type, return-value]
        f"server: the strategy failed with TypeError; {WAIT_REMEDY}",
    ),
    (
        {"server": tenacity.wait_fixed(301)},
        (
            "server: 301 s is more than max_wait (300 s) and would never be waited; "
            "pass a shorter wait or a larger max_wait"
        ),
    ),
    ({"on_uncertain": "guess"}, "on_uncertain: 'guess' is unknown; pass 'raise' or 'join'"),
    ({"on_uncertain": None}, "on_uncertain: None is unknown; pass 'raise' or 'join'"),
    ({"strategies": ()}, f"strategies: an empty tuple allows no recovery at all; {NAMES}"),
    ({"strategies": "prefill"}, f"strategies: 'prefill' is not a tuple; {NAMES}"),
    ({"strategies": ["prefill"]}, f"strategies: a value of type list is not a tuple; {NAMES}"),
    ({"strategies": ("prefill", "magic")}, f"strategies: 'magic' is unknown; {NAMES}"),
    ({"strategies": ([],)}, f"strategies: a value of type list is unknown; {NAMES}"),
    ({"strategies": ("prefill", "prefill")}, "strategies: a name is there twice; name each once"),
    ({"instruction": 5}, f"instruction: 5 is not a str; {TEMPLATE}"),
    ({"instruction": "Go on."}, f"instruction: its fields are: none; {TEMPLATE}"),
    ({"instruction": "{{anchor}}"}, f"instruction: its fields are: none; {TEMPLATE}"),
    ({"instruction": "{anchor} {anchor}"}, f"instruction: its fields are: {{anchor}}, {{anchor}}; {TEMPLATE}"),
    ({"instruction": "{anchor} {name}"}, f"instruction: its fields are: {{anchor}}, {{name}}; {TEMPLATE}"),
    ({"instruction": "{anchor!r}"}, f"instruction: its fields are: {{anchor!r}}; {TEMPLATE}"),
    ({"instruction": "{anchor:>9}"}, f"instruction: its fields are: {{anchor:>9}}; {TEMPLATE}"),
    ({"instruction": "{}"}, f"instruction: its fields are: {{}}; {TEMPLATE}"),
    (
        {"instruction": "{anchor} }"},
        f"instruction: its braces do not pair (Single '}}' encountered in format string); {TEMPLATE}",
    ),
]


def make(arguments: dict[str, Any]) -> RetryPolicy:
    """Make a policy of arguments that no type checker has seen."""
    return RetryPolicy(**arguments)


@pytest.mark.parametrize(("arguments", "sentence"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_value_that_cannot_work_is_refused_with_its_name_and_a_way_out(arguments: dict[str, Any], sentence: str):
    """Every refusal names the argument, the problem and the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        make(arguments)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.0, math.nan, "1", True, None])
def test_a_count_is_a_whole_number_from_one(name: str, value: Any):
    """Nothing else counts attempts or characters, a truth value least of all."""
    with pytest.raises(ConfigurationError) as caught:
        make({name: value})
    assert caught.value.argument == name


@pytest.mark.parametrize("name", SECONDS + DEADLINES)
@pytest.mark.parametrize("value", [0, -0.5, math.nan, math.inf, -math.inf, "1", True, (1,), dt.timedelta(1)])
def test_a_duration_is_a_positive_finite_number(name: str, value: Any):
    """Nothing else is a number of seconds."""
    with pytest.raises(ConfigurationError) as caught:
        make({name: value})
    assert caught.value.argument == name


def test_only_the_deadlines_may_be_missing():
    """Without the two watchdogs a stream could hang for ever, so that they cannot be switched off."""
    assert make(dict.fromkeys(DEADLINES)) == RetryPolicy()
    for name in SECONDS:
        with pytest.raises(ConfigurationError):
            make({name: None})


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_attempts": 1, "max_attempts_without_progress": 1},
        {"max_wait": 0.001, "retry_after_cap": 1},
        {"server": tenacity.wait_random(0, 1000)},
        {"thinking_timeout": 300, "progress_timeout": 300},
        {"strategies": ("restart_and_verify", "restart", "prefill", "user_turn")},
        {"instruction": "{{Ended}} with “{anchor}”. Go on."},
        {"instruction": "{anchor}"},
        {"on_uncertain": "join"},
    ],
)
def test_an_unusual_policy_that_can_work_is_accepted(arguments: dict[str, Any]):
    """Strictness ends where a policy begins to make sense."""
    policy = make(arguments)
    assert {name: getattr(policy, name) for name in arguments} == arguments


def test_a_short_budget_ends_the_longer_waits_at_once():
    """A policy may have less time than a row waits: that row then gives up, and the others work."""
    policy = RetryPolicy(max_wait=10)
    chance = repeat(0.0).__next__
    assert decide(UpstreamEventError("overloaded_error"), History(0.0), policy, chance, 0.0) == GiveUp(
        Exhausted.WAITING
    )
    assert decide(UpstreamStatusError(429), History(0.0), policy, chance, 0.0) == Again(5.0)
