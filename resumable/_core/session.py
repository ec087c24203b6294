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
from resumable._core.continuation import Memory, Plan, Situation, Strategy, survey
from resumable._core.errors import (
    AttemptError,
    ConnectError,
    LocalProtocolError,
    RecoveryError,
    RemoteProtocolError,
    StreamInterruptedError,
    StreamStalledError,
)
from resumable._core.events import ContentBlockStop, MessageDelta, MessageStop, encode
from resumable._core.fleet import Courtesy
from resumable._core.hold import Gate
from resumable._core.intake import Intake, Mapper
from resumable._core.recovery import Finish, Next, Recovery, Rules, notice_of, own_words
from resumable._core.report import Attempt, Notice, Report
from resumable._core.seam import Seam
from resumable._core.states import TRANSITIONS, Action, Input, Open, Read, Sleep, State, Stop
from resumable._core.transcript import Transcript
from resumable._core.watch import Timeouts, Watch

if TYPE_CHECKING:
    from collections.abc import Callable


_READ: Final = Read()
_ASKED: Final = "next_action"
_RECEIVING: Final = frozenset({State.STREAMING, State.ENDING})
_FAILING: Final = _RECEIVING | {State.OPENING}
#: Failures that a watchdog may have brought about.
_SILENCES: Final = (StreamInterruptedError, StreamStalledError, ConnectError)


def _never(data: bytes) -> bool:  # noqa: ARG001  # Reason: its place is taken by a method that looks at it
    return False


class Policy(Rules, Timeouts, Protocol):
    """All that a session needs of a policy; `RetryPolicy` is one."""

    @property
    def max_hold(self) -> float:
        """[s] How long a block may be held back."""
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
        seen_at: [s] When bytes came last; a read that begins more than `PAUSE` later follows a pause of the
            caller's: `resume` first.
        slack: [s] From then until `deadline`.
        received: [bytes] Of the response that is open, but for what flowed since `receive_data` was called last.
        flows: Says whether what was read goes on as it is, and takes note of it if so: then all that is left to
            do is to set `seen_at`. What does not flow goes to `receive_data`.
    """

    def __init__(
        self,
        body: dict[str, Any],
        *,
        policy: Policy,
        hold: frozenset[str],
        memory: Memory,
        chance: Callable[[], float],
        report: Report,
        now: float,
        rebuild: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        """
        Start a session; nothing is sent before the first action is asked for.

        Args:
            body: The caller's request.
            policy: Limits, waits and watchdogs.
            hold: Names out of `HOLDABLE`.
            memory: What models refused before, and how long to hold back; shared.
            chance: Draws from [0, 1).
            report: Receives what recovery does; with the session's ID.
            now: [s] The driver's clock.
            rebuild: Makes *body* carry the whole conversation, where it continues one that upstream holds.
        """
        self._policy = policy
        self._recovery = Recovery(body, policy, memory, chance, now, rebuild)
        self._watch = Watch(policy, now)
        self._courtesy = Courtesy(memory.held_back, policy.max_wait, policy.retry_after_cap)
        self._plan = Plan(Strategy.ORIGINAL, body)
        self._resume_at = now
        self._intake: Intake | None = None
        self._mapper: Mapper | None = None
        self._surfaced = 0
        self._was_stopped = False
        self._error: RecoveryError | None = None
        self.transcript = Transcript()
        self._gate = Gate(self.transcript, hold, policy.max_hold)
        self.report = report
        self.notices: list[Notice] = []
        self.state = State.READY
        self.is_reading = False
        self.seen_at = now
        self.slack = self._watch.deadline - now
        self.received = 0
        self.flows: Callable[[bytes], bool] = _never

    def adopt(self, log: Transcript, attempts: list[Attempt], now: float, *, is_over: bool) -> bytes:
        """
        Go on with a message that another holder began and lost; instead of the first action.

        Args:
            log: What was delivered; kept.
            attempts: All that were sent, the last of them lost. None: nothing was delivered either.
            now: [s] The driver's clock.
            is_over: Whether `message_stop` was delivered.

        Returns:
            Frames that end what can't go on.
        """
        if not attempts:
            return b""
        self.transcript.take(log)
        self.report.attempts, last = attempts, attempts[-1]
        self._recovery.history.attempts = last.number - 1
        self._move(Input.OPEN)
        self._watch.open(now)
        self._settle(now)
        produced = surfaced_tokens(log.blocks) - sum(attempt.output_tokens for attempt in attempts[:-1])
        last.write(None if last.message_id else log.message, {}, None, max(produced, 0))
        if log.stop_reason is None:
            return self.receive_failure(StreamInterruptedError("HolderLost"), now)
        last.ended_at = now
        self._move(Input.FINISH)
        return b"" if is_over else b"".join(self._gate.push(MessageStop(), encode("message_stop", {}), now))

    @property
    def deadline(self) -> float:
        """[s] Until when the driver may wait for what it is doing, on its clock."""
        return self.seen_at + self.slack

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
        if self.state is State.OPENING:
            raise LocalProtocolError(_ASKED, self.state.value)
        if self.state is State.READY or self.state is State.WAITING:
            wait = self._courtesy.wait(now, self._watch.total)
            return Sleep(wait) if wait else self._open(now)
        return Stop(self._error)

    def receive_response(self, now: float, request_id: str | None = None) -> None:
        """Take note that the request was answered with a stream."""
        if self.state is State.CLOSED:
            return
        self._move(Input.RESPOND)
        self._watch.receive(now, progressed=False, is_slow=True)
        self._attempt.request_id = request_id
        if self.has_delivered:
            self._mapper = self._recovery.mapper(self._plan, self.transcript, self._gate, was_stopped=self._was_stopped)
        merge = self._merge_usage if len(self.report.attempts) > 1 else None
        self._intake = Intake(self._gate, self._mapper, merge)
        self.received = 0
        self._settle(now)

    def resume(self, now: float) -> None:
        """Note that reading begins after a pause: a caller who was away is not an upstream that was silent."""
        self._watch.catch_up(self.seen_at)
        self._watch.resume(now)
        self._settle(now)

    def receive_data(self, data: bytes, now: float) -> bytes:
        """
        Take bytes of the response, split anywhere.

        Returns:
            Frames for the caller; empty when nothing is delivered because of them.
        """
        intake = self._intake
        if intake is None or not self.is_reading:
            return self._refuse("receive_data")
        self.received += len(data)
        self._watch.catch_up(self.seen_at)
        out = self._receive(intake, data, now)
        self._settle(now)
        return out

    def _settle(self, now: float) -> None:
        """Make what is asked for at every read cheap: while text flows, all that moves is `seen_at`."""
        self.seen_at = now
        self.slack = self._watch.deadline - now
        intake = self._intake
        self.flows = intake.flows if intake and intake.is_idle and self._watch.is_calm else _never

    def _receive(self, intake: Intake, data: bytes, now: float) -> bytes:
        out: list[bytes] = []
        failure: AttemptError | None = None
        try:
            intake.feed(data, now, out)
        except AttemptError as error:
            failure = error  # What came before it in the same read counts first.
        if intake.turned:
            self._turn(intake, now, out)
        else:
            self._watch.receive_more(now, progressed=intake.passed)
        if now >= self._watch.deadline:  # Pings and trickles keep a read from ever timing out.
            failure = failure or StreamInterruptedError("silence", self.received)
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
        return self.receive_failure(StreamInterruptedError("EOF", self.received), now)

    def receive_failure(self, failure: AttemptError, now: float) -> bytes:
        """Take note of a failure, before or after the response; returns frames for the caller."""
        if self.state not in _FAILING:
            return self._refuse("receive_failure")
        out: list[bytes] = []
        intake = self._intake
        self._watch.catch_up(self.seen_at)
        if intake is not None and self.state is not State.OPENING:
            try:
                intake.finish(self._watch.bytes_at, out)  # It came before the silence, and must not age by it.
            except AttemptError as worse:
                failure = worse
            is_no_message = not intake.grammar.is_started and self.received > 0 and now < self.deadline
            if is_no_message and isinstance(failure, StreamInterruptedError):
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
        self._end_books(now)
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

    def _open(self, now: float) -> Open | Stop:
        self._move(Input.OPEN)
        if self.state is State.CLOSED:  # Meanwhile, from another thread.
            return Stop(None)
        self._watch.open(now)
        self._settle(now)
        self._intake = self._mapper = None
        self._surfaced = surfaced_tokens(self.transcript.blocks)
        number, deferred = len(self.report.attempts) + 1, self._courtesy.end(now)
        self._recovery.history.waited += deferred
        self.report.attempts.append(Attempt(number, self._plan.strategy, now, deferred=deferred))
        return Open(number, self._plan, self._watch.limit(now))

    def _look_at_seam(self, mapper: Mapper, now: float, out: list[bytes]) -> None:
        """Note the seam when it is found, and end the message where a limit of the caller's does."""
        number = self._attempt.number
        if mapper.join is not None and (not self.report.seams or self.report.seams[-1].attempt != number):
            at, join = len(mapper.delivered), mapper.join
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
            self._end_books(now)
            return
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
        self.notices.append(notice_of(self.report.session_id, self._attempt.number, failure, outcome))
        if isinstance(outcome, Next):
            self._move(Input.RECOVER)
            self._attempt.delay = outcome.delay
            self._plan, self._resume_at = outcome.plan, now + outcome.delay
        elif isinstance(outcome, Finish):
            self._end_message(outcome.stop_reason, None, now, out)
        else:
            self._move(Input.GIVE_UP)
            outcome.partial, outcome.session_id = self.transcript.partial(), self.report.session_id
            own = b"" if self.has_delivered else own_words(failure, outcome)
            if own:
                out.append(own)  # A caller who received nothing gets upstream's own error.
            else:
                self._error = outcome

    def _end_attempt(self, failure: AttemptError | None, now: float) -> None:
        """Write the attempt's books; what a lost one produced is estimated."""
        attempt = self._attempt
        attempt.ended_at, attempt.failure = now, failure
        if failure is not None:
            attempt.request_id = failure.request_id or attempt.request_id
        held = self._gate.held_tokens
        if failure is not None:
            attempt.discarded = self._gate.discard()
        self.report.overdue = self._gate.overdue
        if self._intake is not None:
            produced = surfaced_tokens(self.transcript.blocks) - self._surfaced + held
            attempt.write(self._intake.message, self._intake.usage, self._intake.output_tokens, produced)

    def _end_books(self, now: float) -> None:
        """End the books of the attempt that is under way; to those of one that has ended, add what it told since."""
        attempts = self.report.attempts
        if attempts and attempts[-1].ended_at is None:
            self._end_attempt(None, now)
        elif self._intake is not None:
            its = self._intake
            attempts[-1].write(its.message, its.usage, its.output_tokens, attempts[-1].output_tokens)

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
        first = (self.transcript.message or {}).get("usage")
        return merged_usage(
            first if isinstance(first, dict) else {},
            (attempt.output_tokens for attempt in self.report.attempts[:-1]),
            usage,
        )
