"""
The only decision loop: states, the table of transitions, what to do next and until when.

Rules of this file:

1. Everything that changes the state is here, and goes through `TRANSITIONS`.
2. Time is an argument. Every deadline is known here; a driver only obeys.
3. Upstream nonsense never raises: it becomes a failure of the attempt. The one exception the
   methods raise is `LocalProtocolError`, a bug in the code that drives the machine.
4. Fold first, emit second: what is returned for the caller is in the transcript already.

A driver asks `next_action`, performs it, and tells the machine what happened::

    Open   send the request; then `receive_response`, or `receive_failure`
    Read   read from the response until `deadline`; then `receive_data`, `receive_eof` or `receive_failure`
    Sleep  let time pass
    Stop   close the response; the message is complete, or `error` is to be raised

What `receive_*` return goes to the caller at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from resumable._core.budget import merged_usage, surfaced_tokens
from resumable._core.continuation import Memory, Plan, Situation, Strategy, is_citing, survey, tail_text
from resumable._core.errors import (
    AttemptError,
    ConnectError,
    LocalProtocolError,
    RecoveryError,
    RemoteProtocolError,
    StreamInterruptedError,
    StreamStalledError,
    UpstreamEventError,
)
from resumable._core.events import ContentBlockStop, MessageDelta, MessageStop, encode
from resumable._core.hold import Gate
from resumable._core.intake import Intake, Mapper
from resumable._core.recovery import Finish, Next, Recovery, Rules
from resumable._core.report import Attempt, Notice, Report
from resumable._core.seam import Seam
from resumable._core.splice import Joining, Splice
from resumable._core.states import TRANSITIONS, Action, Input, Open, Read, Sleep, State, Stop
from resumable._core.transcript import Transcript
from resumable._core.verify import Verifier
from resumable._core.watch import PAUSE, Timeouts, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.recovery import Outcome


_READ: Final = Read()
_RECEIVING: Final = frozenset({State.STREAMING, State.ENDING})
_FAILING: Final = _RECEIVING | {State.OPENING}
#: Failures that a watchdog may have brought about.
_SILENCES: Final = (StreamInterruptedError, StreamStalledError, ConnectError)


class Policy(Rules, Timeouts, Protocol):
    """All that a session needs of a policy; `RetryPolicy` is one."""

    @property
    def max_hold(self) -> float:
        """[s] How long a block may be held back."""
        ...

    @property
    def seam_window(self) -> int:
        """[characters] Most that a seam holds back."""
        ...


class Session:
    """
    One logical message across all its attempts.

    Made for one call and driven by one thread or task at a time; `close` may come from another.

    Attributes:
        report: What recovery did so far.
        transcript: What the caller has received.
        notices: Decisions that nobody was told about yet; the driver empties it.
        state: Where it is.
        is_reading: Whether the next action is `Read`; an attribute, since it is asked for every event.
        patience: [s] A read that begins after this time follows a pause of the caller's: `resume` first.
    """

    def __init__(
        self,
        body: dict[str, Any],
        *,
        policy: Policy,
        hold: frozenset[str],
        memory: Memory,
        chance: Callable[[], float],
        session_id: str,
        now: float,
    ) -> None:
        """
        Args:
            body: The caller's request.
            policy: Limits, waits and watchdogs.
            hold: Names out of `HOLDABLE`.
            memory: What models refused before; shared.
            chance: Draws from [0, 1).
            session_id: The session's ID.
            now: [s] The driver's clock.
        """
        self._body = body
        self._policy = policy
        self._recovery = Recovery(body, policy, memory, chance, now)
        self._watch = Watch(policy, now)
        self._plan = Plan(Strategy.ORIGINAL, body)
        self._resume_at = now
        self._intake: Intake | None = None
        self._mapper: Mapper | None = None
        self._surfaced = 0
        self._was_stopped = False
        self._error: RecoveryError | None = None
        self.transcript = Transcript()
        self._gate = Gate(self.transcript, hold, policy.max_hold)
        self.report = Report(session_id)
        self.notices: list[Notice] = []
        self.state = State.READY
        self.is_reading = False
        self.patience = now

    @property
    def deadline(self) -> float:
        """[s] Until when the driver may wait for what it is doing, on its clock."""
        return self._watch.deadline

    @property
    def has_delivered(self) -> bool:
        """Whether the caller has received any part of the message."""
        return self.transcript.message is not None

    def next_action(self, now: float) -> Action:
        """Say what to do next; the same until the machine is told that it was done."""
        if self.is_reading:
            return _READ
        if self.state is State.WAITING and now < self._resume_at:
            return Sleep(self._resume_at - now)
        if self.state is State.READY or self.state is State.WAITING:
            self._open(now)
            return Open(len(self.report.attempts), self._plan)
        if self.state is State.OPENING:
            raise LocalProtocolError("next_action", self.state.value)
        return Stop(self._error)

    def receive_response(self, now: float, request_id: str | None = None) -> None:
        """Take note that the request was answered with a stream."""
        if self.state is State.CLOSED:
            return
        self._move(Input.RESPOND)
        self._watch.receive(now, progressed=False, is_slow=True)
        self._attempt.request_id = request_id
        self._mapper = self._new_mapper()
        merge = self._merge_usage if len(self.report.attempts) > 1 else None
        self._intake = Intake(self._gate, self._mapper, merge)

    def resume(self, now: float) -> None:
        """Note that reading begins after a pause: a caller who was away is not an upstream that was silent."""
        self._watch.resume(now)

    def receive_data(self, data: bytes, now: float) -> bytes:
        """
        Take bytes of the response, split anywhere.

        Returns:
            Frames for the caller; empty when nothing is delivered because of them.
        """
        intake = self._intake
        if intake is None or not self.is_reading:
            return self._refuse("receive_data")
        watch = self._watch
        if now < watch.total and intake.passes(data):
            watch.bytes_at = watch.progress_at = now
            self.patience = now + PAUSE
            return data
        return self._receive(intake, data, now)

    def _receive(self, intake: Intake, data: bytes, now: float) -> bytes:
        out: list[bytes] = []
        failure: AttemptError | None = None
        self.patience = now + PAUSE
        try:
            intake.feed(data, now, out)
        except AttemptError as error:
            failure = error  # What came before it in the same read counts first.
        if intake.turned:
            self._turn(intake, now, out)
        elif self._watch.receive_more(now, progressed=intake.passed) and self.state is State.STREAMING:
            failure = failure or StreamInterruptedError("silence", intake.received)
        if failure is not None and self.is_reading:
            self._fail(failure, now, out)
        return out[0] if len(out) == 1 else b"".join(out)

    def _turn(self, intake: Intake, now: float, out: list[bytes]) -> None:
        """Look at what more than text may have changed: blocks, the seam, the end."""
        intake.turned = False
        self._watch.receive(now, progressed=True, is_slow=intake.is_slow)
        if self._mapper is not None:
            self._look_at_seam(self._mapper, now, out)
        if intake.is_complete and self.state is State.STREAMING:
            self._complete(now)

    def receive_eof(self, now: float) -> bytes:
        """Take note of a clean end of the response; returns frames for the caller."""
        received = 0 if self._intake is None else self._intake.received
        return self.receive_failure(StreamInterruptedError("EOF", received), now)

    def receive_failure(self, failure: AttemptError, now: float) -> bytes:
        """Take note of a failure, before or after the response; returns frames for the caller."""
        if self.state not in _FAILING:
            return self._refuse("receive_failure")
        out: list[bytes] = []
        intake = self._intake
        if intake is not None and self.state is not State.OPENING:
            try:
                intake.finish(now, out)
            except AttemptError as worse:
                failure = worse
            if not intake.grammar.is_started and isinstance(failure, StreamInterruptedError) and intake.received:
                failure = RemoteProtocolError("the response holds no message")
            if self._mapper is not None:
                self._look_at_seam(self._mapper, now, out)
            if intake.is_complete and self.state is State.STREAMING:
                self._complete(now)
        if self.state in _FAILING:
            self._fail(failure, now, out)
        return b"".join(out)

    def close(self, now: float) -> None:
        """Take note that the caller has left: nothing is sent any more."""
        if self.is_reading:
            self._end_attempt(None, now)
        self._move(Input.CLOSE)

    def _move(self, happened: Input) -> None:
        try:
            self.state = TRANSITIONS[self.state][happened]
        except KeyError:
            raise LocalProtocolError(happened.value, self.state.value) from None
        self.is_reading = self.state in _RECEIVING

    def _refuse(self, happened: str) -> bytes:
        """Refuse what is out of order; what comes after the caller has left is only late."""
        if self.state is State.CLOSED:
            return b""
        raise LocalProtocolError(happened, self.state.value)

    @property
    def _attempt(self) -> Attempt:
        return self.report.attempts[-1]

    def _open(self, now: float) -> None:
        self._move(Input.OPEN)
        self._watch.open(now)
        self._intake = self._mapper = None
        self._surfaced = surfaced_tokens(self.transcript.blocks)
        self.report.attempts.append(Attempt(len(self.report.attempts) + 1, self._plan.strategy, now))

    def _new_mapper(self) -> Mapper | None:
        """How this attempt's events become part of the message; the first one's are the message."""
        blocks = self.transcript.blocks
        if not self.has_delivered:
            return None
        if self._plan.strategy is Strategy.RESTART_AND_VERIFY:
            return Verifier(self.transcript)
        joins = self._plan.strategy is Strategy.PREFILL or bool(self._plan.anchor)
        if not joins:
            return Splice(Joining(self._plan.strategy), self.transcript)
        is_open = bool(blocks) and not blocks[-1].closed
        if is_open:
            self._gate.reopen(len(blocks) - 1)
        delivered, blank = tail_text(self.transcript)
        stops = self._body.get("stop_sequences")
        joining = Joining(
            strategy=self._plan.strategy,
            delivered=delivered,
            blank=blank if not is_open else "",
            anchor=self._plan.anchor,
            seam_index=len(blocks) - 1 if is_open else None,
            window=self._policy.seam_window,
            limit=self._plan.limit,
            stop_sequences=[stop for stop in stops if isinstance(stop, str)] if isinstance(stops, list) else [],
            is_citing=is_citing(self._body),
            accept=self._recovery.accepts() | ({"ended"} if self._was_stopped else frozenset()),
        )
        return Splice(joining, self.transcript)

    def _look_at_seam(self, mapper: Mapper, now: float, out: list[bytes]) -> None:
        """Note the seam when it is found, and end the message where a limit of the caller's does."""
        number = self._attempt.number
        if mapper.join is not None and (not self.report.seams or self.report.seams[-1].attempt != number):
            at = len(mapper.delivered)
            join = mapper.join
            self._recovery.join()
            self.report.saved_tokens += self._surfaced
            self.report.seams.append(Seam(number, self._plan.strategy.value, at, join.quality, join.cut))
        if mapper.ended is not None and self.state is State.STREAMING:
            self._end_attempt(None, now)
            self._end_message(mapper.ended.stop_reason, mapper.ended.stop_sequence, now, out)

    def _complete(self, now: float) -> None:
        """Take note that the message is complete; what is left is to let its body end."""
        self._move(Input.COMPLETE)
        self._watch.linger(now)
        self._end_attempt(None, now)

    def _fail(self, failure: AttemptError, now: float, out: list[bytes]) -> None:
        if self.state is State.ENDING:
            # Logically complete: a failure is swallowed, and the ending written if it is missing.
            self._move(Input.DRAIN)
            if self._intake is not None and not self._intake.is_over:
                out += self._gate.push(MessageStop(), encode("message_stop", {}), now)
            return
        if self._mapper is not None:
            self._look_at_seam(self._mapper, now, out)
        failure = self._watch.stall(now) or failure if isinstance(failure, _SILENCES) else failure
        # Kept over attempts that added nothing: the text may be complete where the caller's ends.
        has_grown = surfaced_tokens(self.transcript.blocks) > self._surfaced
        is_stopped = self._gate.is_stopped(len(self.transcript.blocks) - 1)
        self._was_stopped = is_stopped or (self._was_stopped and not has_grown)
        if has_grown:
            self._recovery.history.progress()
        self._end_attempt(failure, now)
        self._close_blocks(now, out)
        outcome = self._recovery.next(failure, self._plan, self.transcript, now)
        self._tell(failure, outcome)
        if isinstance(outcome, Next):
            self._move(Input.RECOVER)
            self._attempt.delay = outcome.delay
            self._plan, self._resume_at = outcome.plan, now + outcome.delay
        elif isinstance(outcome, Finish):
            self._end_message(outcome.stop_reason, None, now, out)
        else:
            self._move(Input.GIVE_UP)
            outcome.partial, outcome.session_id = self.transcript.partial(), self.report.session_id
            if isinstance(failure, UpstreamEventError) and failure.frame and not self.has_delivered:
                out.append(failure.frame)  # A caller who received nothing gets upstream's own error.
            else:
                self._error = outcome

    def _end_attempt(self, failure: AttemptError | None, now: float) -> None:
        """Write the attempt's books; what a lost one produced is estimated."""
        attempt, intake = self._attempt, self._intake
        attempt.ended_at, attempt.failure = now, failure
        held = self._gate.held_tokens
        if failure is not None:
            attempt.discarded = self._gate.discard()
        self.report.overdue = self._gate.overdue
        if intake is None or intake.message is None:
            return
        attempt.message_id, attempt.model = _text(intake.message.get("id")), _text(intake.message.get("model"))
        attempt.usage = intake.usage
        if intake.output_tokens is not None:
            attempt.output_tokens = intake.output_tokens
        else:
            attempt.output_tokens = surfaced_tokens(self.transcript.blocks) - self._surfaced + held
            attempt.is_estimated = True

    def _close_blocks(self, now: float, out: list[bytes]) -> None:
        """Stop what cannot go on; an open text block at the end can, unless a citation already covers it."""
        last = len(self.transcript.blocks) - 1
        keeps_last = (
            survey(self.transcript) is Situation.ANCHORED
            and self.transcript.blocks[last].type == "text"
            and not self.transcript.blocks[last].citations
        )
        if survey(self.transcript) is not Situation.STUCK:
            for index in self.transcript.open_indices:
                if index != last or not keeps_last:
                    out += self._stop_block(index, now)

    def _stop_block(self, index: int, now: float) -> list[bytes]:
        return self._gate.push(ContentBlockStop(index), encode("content_block_stop", {"index": index}), now)

    def _end_message(self, stop_reason: str, sequence: str | None, now: float, out: list[bytes]) -> None:
        """Write the ending that upstream did not get to write."""
        self._move(Input.FINISH)
        self.report.synthesised = stop_reason
        for index in self.transcript.open_indices:
            out += self._stop_block(index, now)
        delta = {"stop_reason": stop_reason, "stop_sequence": sequence}
        usage = {"output_tokens": self.report.output_tokens}
        out += self._gate.push(
            MessageDelta(delta, usage), encode("message_delta", {"delta": delta, "usage": usage}), now
        )
        out += self._gate.push(MessageStop(), encode("message_stop", {}), now)

    def _merge_usage(self, usage: dict[str, Any]) -> dict[str, Any]:
        first = (self.transcript.message or {}).get("usage") or {}
        return merged_usage(first, (attempt.output_tokens for attempt in self.report.attempts[:-1]), usage)

    def _tell(self, failure: AttemptError, outcome: Outcome) -> None:
        strategy = outcome.plan.strategy if isinstance(outcome, Next) else None
        if isinstance(outcome, Next):
            verdict = "retry" if strategy is Strategy.RESTART else "continue"
        else:
            verdict = "finish" if isinstance(outcome, Finish) else "give_up"
        delay = outcome.delay if isinstance(outcome, Next) else 0.0
        self.notices.append(Notice(self.report.session_id, self._attempt.number, failure, verdict, strategy, delay))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
