"""
The public policy: how often, how long and by which means a session is recovered.

The only place that knows tenacity. It decides nothing: the core asks it for numbers.
"""

from __future__ import annotations

import math
import string
from abc import abstractmethod
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import tenacity
from tenacity.wait import wait_base, wait_fixed

from resumable._core.errors import ConfigurationError, StreamInterruptedError, UpstreamStatusError
from resumable._core.retry import Row
from resumable._core.seam import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.errors import AttemptError

StrategyName: TypeAlias = Literal["user_turn", "prefill", "restart", "restart_and_verify"]
Uncertain: TypeAlias = Literal["raise", "join"]

_COUNTS = ("max_attempts", "max_attempts_without_progress", "seam_window")
_SECONDS = (
    "max_wait",
    "retry_after_cap",
    "bytes_timeout",
    "progress_timeout",
    "thinking_timeout",
    "max_hold",
)
_OPTIONAL_SECONDS = ("first_event_timeout", "total_timeout")
_WAITS = {
    Row.RATE_LIMITED: "rate_limited",
    Row.OVERLOADED: "overloaded",
    Row.RECONNECT: "reconnect",
    Row.SERVER: "server",
}
# [s] About thirty years. Above a few hundred, timers of the operating system overflow, and infinity has no meaning
# to a budget; who wants no limit gets one that is never reached.
_LONGEST = 1e9
_WAIT_REMEDY = "pass a tenacity wait strategy that returns seconds, such as tenacity.wait_fixed(5)"
# [characters] A value that is longer is not shown: it may be a text.
_SHORT = 60
# One failure of each row, to ask a strategy about before there is one.
_SAMPLES = {
    Row.RATE_LIMITED: UpstreamStatusError(429, "rate_limit_error"),
    Row.OVERLOADED: UpstreamStatusError(529, "overloaded_error"),
    Row.RECONNECT: StreamInterruptedError("EOF"),
    Row.SERVER: UpstreamStatusError(500, "api_error"),
}
# A strategy is handed a whole retry state; tenacity will not make one without its retrying object.
_RETRYING = tenacity.Retrying()


class _Draw(tenacity.RetryCallState):
    """What a strategy is told: tenacity's own state, and the injected chance for ours."""

    def __init__(self, n: int, failure: AttemptError, chance: Callable[[], float]) -> None:
        super().__init__(_RETRYING, None, (), {})
        self.attempt_number = n
        self.set_exception((type(failure), failure, None))
        self.chance = chance


class _ChanceWait(wait_base):
    """A strategy that draws from the injected chance, so that the same chance gives the same wait (law L8)."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        # Invariant: only RetryPolicy.wait calls us, also from inside a combination.
        assert isinstance(retry_state, _Draw)
        return self.draw(retry_state)

    @abstractmethod
    def draw(self, state: _Draw) -> float:
        """[s] Say how long to wait."""


@dataclass(frozen=True)
class _Uniform(_ChanceWait):
    """[s] Uniformly random between two bounds."""

    least: float
    most: float

    def draw(self, state: _Draw) -> float:
        return self.least + state.chance() * (self.most - self.least)


@dataclass(frozen=True)
class _Backoff(_ChanceWait):
    """[s] `first`, doubled each time, at most `most`; then jitter; the first `at_once` waits are none."""

    first: float
    most: float
    jitter: float
    at_once: int = 0

    def draw(self, state: _Draw) -> float:
        doublings = state.attempt_number - 1 - self.at_once
        if doublings < 0:
            return 0.0
        # The bound on the exponent keeps a float from overflowing; it is far above any `most`.
        delay = min(self.first * 2.0 ** min(doublings, 100), self.most)
        return delay * (1 + self.jitter * (2 * state.chance() - 1))


@dataclass(frozen=True)
class _Steps(_ChanceWait):
    """[s] One after the other; the last one from then on."""

    delays: tuple[float, ...]

    def draw(self, state: _Draw) -> float:
        return self.delays[min(state.attempt_number, len(self.delays)) - 1]


@dataclass(frozen=True)
class _Scaled(wait_base):
    """Another strategy's wait, multiplied."""

    strategy: wait_base
    factor: float

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        return self.strategy(retry_state) * self.factor


@dataclass(frozen=True, kw_only=True, repr=False)
class RetryPolicy:
    """
    How often, how long and by which means a stream is recovered.

    Make one and share it: it never changes, and any number of clients, threads and tasks may
    use it at once. A value that cannot work raises `ConfigurationError` here, not mid-stream.

    The four waits are tenacity strategies. They are asked with `attempt_number` counting the
    failures of their row since the last progress, from 1, and the failure as `outcome`; once
    also here, with a sample, to see that they work. The defaults repeat when chance is
    injected; a strategy of your own need not.

    Attributes:
        max_attempts: [1.. attempts] In total, the first included.
        max_attempts_without_progress: [1.. attempts] In a row.
        max_wait: [s] Waiting in total. A wait that would exceed it is not begun.
        retry_after_cap: [s] Longest `retry-after` that is waited for; beyond it the session ends
            at once with `RetriesExhaustedError.retry_after`.
        rate_limited: Wait after 429 without `retry-after`: 5 s, 10 s, then 20 s each.
        overloaded: Wait after 529 or `overloaded_error`: 30-60 s, uniformly random.
        reconnect: Wait after a lost connection: none, then 0.5 s doubling up to 8 s, ± 25 %.
        server: Wait after 5xx and 409: 0.5 s doubling up to 8 s, ± 25 %.
        bytes_timeout: [s] Without any byte.
        progress_timeout: [s] Without an event other than a ping.
        thinking_timeout: [s] The same while thinking or a server tool is open, or before the first event.
        first_event_timeout: [s] From an attempt's start to its first event, or `None` for no limit of its own.
        total_timeout: [s] For the whole session, waits included, or `None` for no limit.
        max_hold: [s] How long a block may be held back before it flows live.
        on_uncertain: When no continuation joined with certainty: `"raise"` a `SeamError`, or `"join"` unverified.
        strategies: Continuations that may be used, as a set; the order is the model's. `None` allows all.
        instruction: What asks the model to go on, with `{anchor}` where the last words delivered
            are quoted; `None` for the built-in text. Braces are doubled as in `str.format`.
        seam_window: [characters] Most of a continuation that is held back while its seam is sought.
    """

    max_attempts: int = 10
    max_attempts_without_progress: int = 5
    max_wait: float = 300.0
    retry_after_cap: float = 120.0
    rate_limited: wait_base = _Steps((5.0, 10.0, 20.0))
    overloaded: wait_base = _Uniform(30.0, 60.0)
    reconnect: wait_base = _Backoff(0.5, 8.0, 0.25, at_once=1)
    server: wait_base = _Backoff(0.5, 8.0, 0.25)
    bytes_timeout: float = 180.0
    progress_timeout: float = 300.0
    thinking_timeout: float = 900.0
    first_event_timeout: float | None = None
    total_timeout: float | None = None
    max_hold: float = 120.0
    on_uncertain: Uncertain = "raise"
    strategies: tuple[StrategyName, ...] | None = None
    instruction: str | None = None
    seam_window: int = WINDOW

    def __post_init__(self) -> None:
        for name in _COUNTS:
            _check_count(name, getattr(self, name))
        for name in _SECONDS:
            _check_seconds(name, getattr(self, name))
        for name in _OPTIONAL_SECONDS:
            if getattr(self, name) is not None:
                _check_seconds(name, getattr(self, name))
        for row in _WAITS:
            self._check_wait(row)
        if self.thinking_timeout < self.progress_timeout:
            problem = f"{self.thinking_timeout:g} s is less than progress_timeout ({self.progress_timeout:g} s)"
            raise ConfigurationError(argument="thinking_timeout", problem=problem, remedy="pass at least as long")
        if self.on_uncertain not in get_args(Uncertain):
            problem = f"{_brief(self.on_uncertain)} is unknown"
            raise ConfigurationError(argument="on_uncertain", problem=problem, remedy="pass 'raise' or 'join'")
        _check_strategies(self.strategies)
        _check_instruction(self.instruction)

    def __repr__(self) -> str:
        """Show what differs from the defaults, on one line and without the instruction's text."""
        changed = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        shown = ("..." if name == "instruction" else _brief(getattr(self, name)) for name in changed)
        return f"RetryPolicy({', '.join(map('='.join, zip(changed, shown, strict=True)))})"

    def scaled(self, factor: float) -> RetryPolicy:
        """
        Make the same policy with other waits, for demonstrations and tests.

        Budgets and watchdogs stay: they are held against upstream's clock, which does not scale.

        Args:
            factor: What each of the four waits is multiplied by; positive.

        Returns:
            A new policy.

        Raises:
            ConfigurationError: The factor is not a positive number.
        """
        _check_seconds("factor", factor, "a positive number")
        return replace(
            self,
            rate_limited=_Scaled(self.rate_limited, factor),
            overloaded=_Scaled(self.overloaded, factor),
            reconnect=_Scaled(self.reconnect, factor),
            server=_Scaled(self.server, factor),
        )

    def wait(self, row: Row, n: int, failure: AttemptError, chance: Callable[[], float]) -> float:
        """
        Ask the row's strategy how long to wait.

        Args:
            row: The failure's row; not `TERMINAL`.
            n: Which failure of this row it is since the last progress; from 1.
            failure: The failure.
            chance: Draws from [0, 1).

        Returns:
            [s] What the strategy says.

        Raises:
            ConfigurationError: A strategy that is not ours failed, or returned no number.
        """
        argument = _WAITS[row]
        strategy: wait_base = getattr(self, argument)
        try:
            return float(strategy(_Draw(n, failure, chance)))
        except Exception as exc:  # Reason: it is the caller's code, and may raise anything
            problem = f"the strategy failed with {type(exc).__name__}"
            raise ConfigurationError(argument, problem, _WAIT_REMEDY) from exc

    def _check_wait(self, row: Row) -> None:
        argument = _WAITS[row]
        strategy = getattr(self, argument)
        if not isinstance(strategy, wait_base):
            raise ConfigurationError(argument, f"{_brief(strategy)} is not a strategy", _WAIT_REMEDY)
        first = self.wait(row, 1, _SAMPLES[row], lambda: 0.5)
        if not 0 <= first < math.inf:
            raise ConfigurationError(argument, f"its first wait is {first:g} s", _WAIT_REMEDY)
        if isinstance(strategy, wait_fixed) and first > self.max_wait:
            problem = f"{first:g} s is more than max_wait ({self.max_wait:g} s) and would never be waited"
            raise ConfigurationError(argument, problem, "pass a shorter wait or a larger max_wait")


def _check_count(argument: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(argument, f"{_brief(value)} is not a whole number", "pass an int of at least 1")
    if value < 1:
        raise ConfigurationError(argument, f"{value} leaves nothing to do", "pass an int of at least 1")


def _check_seconds(argument: str, value: object, wanted: str = "a positive number of seconds") -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(argument, f"{_brief(value)} is not a number", f"pass {wanted}")
    if not 0 < value <= _LONGEST:
        raise ConfigurationError(argument, f"{_brief(value)} is out of range", f"pass {wanted}, at most {_LONGEST:g}")


def _check_strategies(value: object) -> None:
    if value is None:
        return
    known = get_args(StrategyName)
    remedy = f"pass None, or a tuple of {', '.join(map(repr, known))}"
    if not isinstance(value, tuple):
        raise ConfigurationError(argument="strategies", problem=f"{_brief(value)} is not a tuple", remedy=remedy)
    if not value:
        raise ConfigurationError(
            argument="strategies", problem="an empty tuple allows no recovery at all", remedy=remedy
        )
    for name in value:
        if name not in known:
            raise ConfigurationError(argument="strategies", problem=f"{_brief(name)} is unknown", remedy=remedy)
    if len(set(value)) < len(value):
        raise ConfigurationError(argument="strategies", problem="a name is there twice", remedy="name each once")


def _check_instruction(value: object) -> None:
    if value is None:
        return
    remedy = "pass a str with {anchor} in it exactly once and no other field, or None"
    if not isinstance(value, str):
        raise ConfigurationError(argument="instruction", problem=f"{_brief(value)} is not a str", remedy=remedy)
    try:
        parts = list(string.Formatter().parse(value))
    except ValueError as exc:
        raise ConfigurationError(
            argument="instruction", problem=f"its braces do not pair ({exc})", remedy=remedy
        ) from exc
    found = [
        "{" + name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}"
        for _, name, spec, conversion in parts
        if name is not None
    ]
    if found != ["{anchor}"]:
        problem = f"its fields are: {', '.join(found) or 'none'}"
        raise ConfigurationError(argument="instruction", problem=problem, remedy=remedy)


def _brief(value: Any) -> str:  # noqa: ANN401  # Reason: it is what the caller passed, whatever it is
    """Write a value on one short line; of strategies and long texts only what they are."""
    if isinstance(value, wait_base):
        return type(value).__name__
    shown = repr(value) if value is None or isinstance(value, bool | int | float | str | tuple) else ""
    return shown if 0 < len(shown) <= _SHORT else f"a value of type {type(value).__name__}"
