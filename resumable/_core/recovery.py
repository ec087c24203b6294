"""
A failed attempt and what was delivered into what comes next: another attempt, an ending, or the end.

Asks `retry` whether and when, `continuation` how, and says how the next answer joins on. Remembers what was tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from resumable._core import retry
from resumable._core.budget import ESTIMATE_ERROR, surfaced_tokens
from resumable._core.continuation import (
    DEFAULT_INSTRUCTION,
    Memory,
    Plan,
    Situation,
    Strategy,
    is_citing,
    obstacle,
    plan,
    request_obstacle,
    strategies,
    survey,
    tail_text,
)
from resumable._core.errors import (
    AttemptError,
    ConnectError,
    NotContinuableError,
    Obstacle,
    RecoveryError,
    RetriesExhaustedError,
    SeamError,
    SeamMissedError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable._core.report import Notice
from resumable._core.seam import MissedReason, choose_anchor
from resumable._core.splice import Joining, Splice
from resumable._core.transcript import SERVER_CALLS
from resumable._core.verify import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.hold import Gate
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

    @property
    def seam_window(self) -> int:
        """[characters] Most that a seam holds back."""
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
        rebuild: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self._body = body
        self._rebuild = rebuild
        self._has_broken = False
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
        self._tell_all(failure)
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

    def _tell_all(self, failure: AttemptError) -> None:
        """Carry the whole conversation from the first broken stream on: upstream may hold all of its reply, or none."""
        if not isinstance(failure, UpstreamStatusError | ConnectError):  # Before a stream nothing was held.
            self._has_broken = True
            if self._rebuild is not None:
                self._body, self._rebuild = self._rebuild(), None

    def join(self) -> None:
        """Note that a continuation joined; the next seam is a new one."""
        self._missed.clear()

    def mapper(self, tried: Plan, transcript: Transcript, gate: Gate, *, was_stopped: bool) -> Splice | Verifier:
        """
        Make what maps an attempt's events on to the message that is under way.

        Args:
            tried: The attempt.
            transcript: What was delivered; not nothing.
            gate: Is told when a block goes on.
            was_stopped: Whether the delivered text may have been at its end: its stop had come.
        """
        blocks = transcript.blocks
        is_open = bool(blocks) and not blocks[-1].closed
        if is_open:
            gate.reopen(len(blocks) - 1)
        if tried.strategy is Strategy.RESTART_AND_VERIFY:
            return Verifier(transcript)
        if tried.strategy is not Strategy.PREFILL and not tried.anchor:
            return Splice(Joining(tried.strategy, limit=tried.limit), transcript)
        delivered, blank = tail_text(transcript)
        stops = self._body.get("stop_sequences")
        joining = Joining(
            strategy=tried.strategy,
            delivered=delivered,
            blank=blank,
            anchor=tried.anchor,
            seam_index=len(blocks) - 1 if is_open else None,
            window=self._rules.seam_window,
            limit=tried.limit,
            stop_sequences=[stop for stop in stops if isinstance(stop, str)] if isinstance(stops, list) else [],
            is_citing=is_citing(self._body),
            accept=self._accepted(surfaced_tokens(blocks), was_stopped=was_stopped),
        )
        return Splice(joining, transcript)

    def _accepted(self, surfaced: int, *, was_stopped: bool) -> frozenset[str]:
        """Say what the next seam may be content with, see `Joining.accept`, behind text of so many tokens."""
        accepted = set()
        if was_stopped or MissedReason.ANCHOR_ONLY.value in self._missed:
            accepted.add("ended")
        limit = self._body.get("max_tokens")
        if isinstance(limit, int) and surfaced * (1 + ESTIMATE_ERROR) >= limit:
            accepted.add("spent")
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
        bound = request_obstacle(body)
        is_fresh = not self._has_broken or bool(transcript.blocks)
        if bound is not None and not (situation is Situation.RESTART and (bound is Obstacle.CREDIT or is_fresh)):
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


def own_words(failure: AttemptError, outcome: RecoveryError) -> bytes:
    """Give upstream's own `error` event, where it says best why it is over; a lost thread is not upstream's to tell."""
    is_lost = isinstance(outcome, NotContinuableError) and outcome.reason is Obstacle.THREAD
    return failure.frame if isinstance(failure, UpstreamEventError) and not is_lost else b""


def notice_of(session_id: str, attempt: int, failure: AttemptError, outcome: Outcome) -> Notice:
    """Tell people what was decided about a failure."""
    if isinstance(outcome, Next):
        strategy = outcome.plan.strategy
        verdict = "retry" if strategy is Strategy.RESTART else "continue"
        return Notice(session_id, attempt, failure, verdict, strategy, outcome.delay)
    verdict = "finish" if isinstance(outcome, Finish) else "give_up"
    return Notice(session_id, attempt, failure, verdict, None, 0.0)
