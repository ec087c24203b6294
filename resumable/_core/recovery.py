"""
A failed attempt and what was delivered into what comes next: another attempt, an ending, or the end.

Asks `retry` whether and when, `continuation` how. Remembers what was tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from resumable._core import retry
from resumable._core.continuation import (
    DEFAULT_INSTRUCTION,
    Memory,
    Plan,
    Situation,
    Strategy,
    obstacle,
    plan,
    request_obstacle,
    strategies,
    survey,
    tail_text,
)
from resumable._core.errors import (
    AttemptError,
    NotContinuableError,
    Obstacle,
    RecoveryError,
    RetriesExhaustedError,
    SeamError,
    SeamMissedError,
    UpstreamStatusError,
)
from resumable._core.seam import MissedReason, choose_anchor
from resumable._core.transcript import SERVER_CALLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.transcript import Transcript


_CALLS: Final = SERVER_CALLS | {"tool_use"}


class Rules(retry.Limits, Protocol):
    """What recovery needs of a policy besides limits."""

    @property
    def on_uncertain(self) -> str:
        """`raise` or `join`."""
        ...

    @property
    def strategies(self) -> tuple[str, ...] | None:
        """Names of those allowed; `None` for all."""
        ...

    @property
    def instruction(self) -> str | None:
        """Template with one `{anchor}`; `None` for the built-in one."""
        ...


class Next(msgspec.Struct, frozen=True):
    """Another attempt, after a delay [s]."""

    plan: Plan
    delay: float


class Finish(msgspec.Struct, frozen=True):
    """The message ends here, with a `stop_reason` of our own."""

    stop_reason: str


Outcome = Next | Finish | RecoveryError


class Recovery:
    """
    Decides after each failure of one session.

    Attributes:
        first_failure: The session's first; what the caller hears when continuations are refused.
        history: What `retry` remembers.
    """

    def __init__(
        self,
        body: dict[str, Any],
        rules: Rules,
        memory: Memory,
        chance: Callable[[], float],
        started_at: float,
    ) -> None:
        self._body = body
        self._rules = rules
        self._memory = memory
        self._chance = chance
        self._refused: set[Strategy] = set()
        self._missed: list[str] = []
        self.first_failure: AttemptError | None = None
        self.history = retry.History(started_at)

    def next(self, failure: AttemptError, tried: Plan, transcript: Transcript, now: float) -> Outcome:
        """
        Say what comes after a failure.

        Args:
            failure: Why the attempt ended.
            tried: What it was.
            transcript: What was delivered.
            now: [s] The driver's clock.
        """
        if self.first_failure is None:
            self.first_failure = failure
        situation = survey(transcript)
        if situation is Situation.TOOL_USE:
            return Finish("tool_use")
        if tried.is_ours and retry.is_body_refusal(failure):
            return self._refuse(failure, tried, transcript, situation, now)
        if isinstance(failure, SeamMissedError):
            return self._miss(failure, tried, transcript, situation, now)
        verdict = retry.decide(failure, self.history, self._rules, self._chance, now)
        if isinstance(verdict, retry.GiveUp):
            return RetriesExhaustedError(
                self.history.attempts, failure, limit=verdict.limit, retry_after=verdict.retry_after
            )
        return self._go_on(situation, transcript, verdict.delay, now)

    def join(self) -> None:
        """Note that a continuation joined; the next seam is a new one."""
        self._missed.clear()

    def accepts(self) -> frozenset[str]:
        """Say what the next seam may be content with; see `Joining.accept`."""
        accepted = set()
        if MissedReason.ANCHOR_ONLY.value in self._missed:
            accepted.add("ended")
        if self._missed and self._rules.on_uncertain == "join":
            accepted.add("anything")
        return frozenset(accepted)

    def _refuse(
        self, failure: AttemptError, tried: Plan, transcript: Transcript, situation: Situation, now: float
    ) -> Outcome:
        """Upstream refused a body that the caller did not write: the next strategy, at once."""
        self._refused.add(tried.strategy)
        if isinstance(failure, UpstreamStatusError) and failure.is_prefill_refusal:
            self._memory.refuse_prefill(str(self._body.get("model", "")), now)
        return self._at_once(situation, transcript, now)

    def _miss(
        self, failure: SeamMissedError, tried: Plan, transcript: Transcript, situation: Situation, now: float
    ) -> Outcome:
        """Ask once more where a continuation did not join, then leave it to the policy."""
        self._missed.append(failure.reason)
        if tried.strategy is Strategy.RESTART_AND_VERIFY:
            return NotContinuableError(self.history.attempts + 1, self.first_failure, reason=Obstacle.DIVERGED)
        if len(self._missed) > 1:
            return SeamError(self.history.attempts + 1, failure)
        return self._at_once(situation, transcript, now)

    def _at_once(self, situation: Situation, transcript: Transcript, now: float) -> Outcome:
        verdict = retry.decide_at_once(self.history, self._rules, now)
        if isinstance(verdict, retry.GiveUp):
            return RetriesExhaustedError(self.history.attempts, self.first_failure, limit=verdict.limit)
        return self._go_on(situation, transcript, 0.0, now)

    def _go_on(self, situation: Situation, transcript: Transcript, delay: float, now: float) -> Outcome:
        body, attempts = self._body, self.history.attempts
        if situation is Situation.STUCK:
            kind = obstacle(transcript.blocks)
            reason = Obstacle.OPEN_BLOCK if kind in _CALLS else Obstacle.UNKNOWN_BLOCK
            return NotContinuableError(attempts, self.first_failure, reason=reason, block_type=kind)
        bound = None if situation is Situation.RESTART else request_obstacle(body)
        if bound is not None:
            return NotContinuableError(attempts, self.first_failure, reason=bound)
        allowed = frozenset(self._rules.strategies or (strategy.value for strategy in Strategy))
        usable = strategies(situation, body, allowed, self._memory, now)
        left = [strategy for strategy in usable if strategy not in self._refused]
        if not left:
            reason = Obstacle.REFUSED if usable or self._refused else Obstacle.STRATEGIES
            return NotContinuableError(attempts, self.first_failure, reason=reason)
        anchor = choose_anchor(tail_text(transcript)[0]) if situation is Situation.ANCHORED else ""
        chosen = plan(left[0], body, transcript, anchor, self._rules.instruction or DEFAULT_INSTRUCTION)
        return Finish("max_tokens") if chosen is None else Next(chosen, delay)
