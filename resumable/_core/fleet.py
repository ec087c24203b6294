"""
What workers tell each other about an upstream that refuses: what is worth it, and how long to hold back for it.

A hint is worth no more than what upstream said: it never outlives it, and whatever it says is bounded by who reads it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

from resumable._core.errors import UpstreamStatusError
from resumable._core.retry import Row, row_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.errors import AttemptError

RATE_LIMITED: Final = "rate_limited"
OVERLOADED: Final = "overloaded"
#: [s] Longest wait that is passed on or believed; what upstream asks beyond that, each hears for himself.
LONGEST: Final = 120.0
#: [s] Where upstream names no time. Less than who was refused waits himself: an overload refuses some, not all, and
#: what holds everybody back for long costs more than it spares (benchmarks/fleet.py).
_LEAST: Final = {RATE_LIMITED: 5.0, OVERLOADED: 5.0}
_OVERLOAD_SPREAD: Final = 10.0
#: [s] Within these the workers come back.
_SHORTEST_SPREAD, _LONGEST_SPREAD = 1.0, 30.0
#: Of a wait that upstream asks for; all that were told the same come back over so much more.
_PART: Final = 0.5
#: [s] Shorter waits are none: they need not move a clock.
_NOTHING: Final = 0.001
#: Of a session's whole patience: the rest is for what it hears itself.
_SHARE: Final = 0.5


class Hint(msgspec.Struct, frozen=True):
    """
    What a worker passes on about a refusal.

    Attributes:
        wait_ms: [ms] Until when upstream is to be left alone, from when it said so.
        spread_ms: [ms] Within so long after that the workers come back.
    """

    wait_ms: int
    spread_ms: int

    @property
    def spread(self) -> float:
        """[s] The same, as everything else counts."""
        return self.spread_ms / 1000

    @property
    def life(self) -> float:
        """[s] How long the hint is of use, from when upstream spoke."""
        return (self.wait_ms + self.spread_ms) / 1000

    def encode(self) -> bytes:
        """Write it for a store."""
        return msgspec.json.encode(self)


def hint_of(failure: AttemptError) -> tuple[str, Hint] | None:
    """
    Say what of a failure is worth passing on.

    Args:
        failure: Why an attempt ended.

    Returns:
        The kind and the hint; `None` for what other workers need not know, or must hear themselves: a spend
        limit, or a wait beyond `LONGEST`.
    """
    row = row_of(failure)
    if row is not Row.RATE_LIMITED and row is not Row.OVERLOADED:
        return None
    kind = row.value
    asked = failure.retry_after if isinstance(failure, UpstreamStatusError) else None
    is_asked = asked is not None and asked > 0
    wait = asked if asked is not None and is_asked else _LEAST[kind]
    if not wait <= LONGEST:
        return None
    spread = _OVERLOAD_SPREAD if kind == OVERLOADED and not is_asked else wait * _PART
    spread = min(max(spread, _SHORTEST_SPREAD), _LONGEST_SPREAD)
    return kind, Hint(math.ceil(wait * 1000), round(spread * 1000))


def read_hint(value: bytes) -> Hint | None:
    """Read what some worker wrote; `None` for what no worker of ours writes, such as longer waits."""
    try:
        hint = msgspec.json.decode(value, type=Hint)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    is_sound = 0 < hint.wait_ms <= LONGEST * 1000 and 0 <= hint.spread_ms <= _LONGEST_SPREAD * 1000
    return hint if is_sound else None


def held_back(hint: Hint, left: float, unit: float) -> float:
    """
    Say how long a worker holds back.

    Args:
        hint: What it was told.
        left: [s] Of the hint's life; more than all of it is not believed.
        unit: The worker's place among all, from [0, 1); the same for every look at a hint.

    Returns:
        [s] From now; 0 where its time has come.
    """
    wait = min(left, hint.life) - (1.0 - unit) * hint.spread
    return wait if wait >= _NOTHING else 0.0


class Courtesy:
    """
    Holds the requests of one session back while others are refused; what others say never fails a session.

    It takes at most half of the policy's patience and nothing of a deadline: what does not fit is not waited for.
    """

    def __init__(self, ask: Callable[[], float], max_wait: float, cap: float) -> None:
        """
        Begin with nothing waited.

        Args:
            ask: Says how long [s] the fleet asks to hold back, as of now.
            max_wait: [s] The policy's, for the whole session.
            cap: [s] The policy's, for one wait that upstream asks for.
        """
        self._ask = ask
        self._left = max_wait * _SHARE
        self._cap = cap
        self._since: float | None = None

    def wait(self, now: float, until: float) -> float:
        """
        Say how long to hold the next request back.

        Args:
            now: [s] The driver's clock.
            until: [s] When the session's time is over.

        Returns:
            [s] To sleep before asking again; 0 to send.
        """
        wait = self._ask()
        spent = 0.0 if self._since is None else now - self._since
        if not 0 < wait <= min(self._cap, self._left - spent) or now + wait >= until:
            return 0.0
        if self._since is None:
            self._since = now
        return wait

    def end(self, now: float) -> float:
        """Note that the request is sent; give how long [s] it was held back."""
        spent = 0.0 if self._since is None else now - self._since
        self._since = None
        self._left -= spent
        return spent
