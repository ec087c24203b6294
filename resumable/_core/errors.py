"""
The whole error tree: whose fault it is, and what to do next, as facts in attributes.

Nothing here holds a prompt, a completion or a key in its sentence::

    ResumableError
    ├── ConfigurationError          you passed something that cannot work: fix the argument
    ├── LocalProtocolError          you called the machine out of order: fix your code
    ├── AttemptError                one attempt failed; the session may recover
    │   ├── ConnectError               no response arrived
    │   ├── UpstreamStatusError        4xx/5xx before the stream
    │   ├── UpstreamEventError         an `error` event inside the stream
    │   ├── StreamInterruptedError     the stream ended before the message did
    │   ├── StreamStalledError         silence longer than a watchdog allows
    │   ├── RemoteProtocolError        upstream sent what is not a message stream
    │   └── SeamMissedError            the continuation did not join where it was asked to
    ├── RecoveryError               the session is over; carries what was delivered
    │   ├── RetriesExhaustedError      every attempt the policy allows has failed
    │   ├── NotContinuableError        what was delivered cannot be continued
    │   └── SeamError                  no continuation joined with certainty
    └── StoreError                  the store of sessions refused; `store_errors` draws its branch
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class ResumableError(Exception):
    """
    Base of every error this library raises on its own account.

    Arguments are facts (all of them in `args`, so that pickles and copies are whole);
    the sentence is made from them when somebody reads it.
    """


class ConfigurationError(ResumableError, ValueError):
    """
    An argument cannot work: the caller's to fix, before anything was sent.

    Attributes:
        argument: Name of the argument.
        problem: What is wrong with its value.
        remedy: What to pass instead.
    """

    def __init__(self, argument: str, problem: str, remedy: str) -> None:
        super().__init__(argument, problem, remedy)
        self.argument = argument
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.argument}: {self.problem}; {self.remedy}"


class LocalProtocolError(ResumableError):
    """
    The machine was called out of order: a bug in the code that drives it.

    Attributes:
        input: What the machine was told.
        state: The state it was in.
    """

    def __init__(self, input: str, state: str) -> None:  # noqa: A002  # Reason: the field's word
        super().__init__(input, state)
        self.input = input
        self.state = state

    def __str__(self) -> str:
        return f"{self.input} is not allowed in state {self.state}"


class AttemptError(ResumableError):
    """
    One attempt failed. A value first: it is raised only inside a report or as a cause.

    Attributes:
        request_id: The API's `request-id` of the answer that failed, where there was one.
    """

    request_id: str | None = None


class ConnectError(AttemptError):
    """
    No response arrived: refused, unresolved, reset or timed out before the headers.

    Attributes:
        cause_name: Class name of the transport's exception.
        is_certificate: Whether TLS refused the server's certificate; that never heals.
        is_timeout: Whether it was a timeout.
    """

    def __init__(
        self,
        cause_name: str,
        is_certificate: bool = False,  # noqa: FBT001, FBT002  # Reason: pickled by position
        is_timeout: bool = False,  # noqa: FBT001, FBT002  # Reason: pickled by position
    ) -> None:
        super().__init__(cause_name, is_certificate, is_timeout)
        self.cause_name = cause_name
        self.is_certificate = is_certificate
        self.is_timeout = is_timeout

    def __str__(self) -> str:
        if self.is_certificate:
            return f"TLS refused the server's certificate ({self.cause_name})"
        return f"no response arrived ({self.cause_name})"


class UpstreamStatusError(AttemptError):
    """
    Upstream answered with an HTTP error before any event.

    Attributes:
        status: HTTP status.
        error_type: `error.type` of the body, or `None` where there is none.
        error_code: `error.details.error_code` of the body, or `None`.
        retry_after: [s] When upstream said to come back, or `None`.
        should_retry: What `x-should-retry` said, or `None`.
        is_prefill_refusal: Whether the body says that the model takes no prefill.
    """

    def __init__(
        self,
        status: int,
        error_type: str | None = None,
        error_code: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,  # noqa: FBT001  # Reason: pickled by position
        is_prefill_refusal: bool = False,  # noqa: FBT001, FBT002  # Reason: pickled by position
    ) -> None:
        super().__init__(status, error_type, error_code, retry_after, should_retry, is_prefill_refusal)
        self.status = status
        self.error_type = error_type
        self.error_code = error_code
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.is_prefill_refusal = is_prefill_refusal

    def __str__(self) -> str:
        what = self.error_code or self.error_type or "no error type"
        return f"upstream answered {self.status} ({what})"


class UpstreamEventError(AttemptError):
    """
    Upstream sent an `error` event inside the stream.

    Attributes:
        error_type: `error.type` of the event, or `None` where it is no JSON of the API's.
        error_code: `error.details.error_code`, or `None`.
        frame: The event as it came, for a caller to whom nothing was delivered.
    """

    def __init__(self, error_type: str | None, error_code: str | None = None, frame: bytes = b"") -> None:
        super().__init__(error_type, error_code, frame)
        self.error_type = error_type
        self.error_code = error_code
        self.frame = frame

    def __str__(self) -> str:
        return f"upstream sent an error event ({self.error_code or self.error_type or 'no error type'})"

    def __repr__(self) -> str:
        """Leave the frame out: it is long, and upstream's to fill."""
        return f"{type(self).__name__}(error_type={self.error_type!r}, error_code={self.error_code!r})"


class StreamInterruptedError(AttemptError):
    """
    The stream ended before the message did.

    Attributes:
        cause_name: Class name of the transport's exception; `"EOF"` for a clean end.
        received: [bytes] What this attempt had received.
    """

    def __init__(self, cause_name: str, received: int = 0) -> None:
        super().__init__(cause_name, received)
        self.cause_name = cause_name
        self.received = received

    def __str__(self) -> str:
        return f"the stream ended after {self.received} bytes, before the message did ({self.cause_name})"


class StreamStalledError(AttemptError):
    """
    Upstream was silent for longer than a watchdog allows.

    Attributes:
        watchdog: `"bytes"`, `"progress"`, `"first_event"`, or `"total"`.
        limit: [s] What it allows.
    """

    def __init__(self, watchdog: str, limit: float) -> None:
        super().__init__(watchdog, limit)
        self.watchdog = watchdog
        self.limit = limit

    def __str__(self) -> str:
        return f"upstream stalled: the {self.watchdog} watchdog allows {self.limit:g} s"


class RemoteProtocolError(AttemptError):
    """
    Upstream sent what is not a message stream: garbage, or events out of grammar.

    Attributes:
        problem: What was wrong, without content.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"upstream sent what is not a message stream: {self.problem}"


class SeamMissedError(AttemptError):
    """
    The continuation did not join where it was asked to.

    Attributes:
        reason: Why, one word of the seam's.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the continuation did not join ({self.reason})"


class RecoveryError(ResumableError):
    """
    The session is over: recovery ended before the message did.

    Attributes:
        attempts: Requests that were sent upstream.
        last: The failure that ended it; the session's first, where continuations of ours were refused or missed.
        partial: The message as far as it was delivered, in the API's own shape.
        session_id: The session's ID.
    """

    def __init__(
        self,
        attempts: int,
        last: AttemptError | None,
        partial: Mapping[str, Any] | None = None,
        session_id: str | None = None,
    ) -> None:
        super().__init__(attempts, last, partial, session_id)
        self.attempts = attempts
        self.last = last
        self.partial = partial
        self.session_id = session_id

    def __str__(self) -> str:
        return f"the stream could not be recovered after {self.attempts} attempts: {self.last}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(attempts={self.attempts}, last={self.last!r}, session_id={self.session_id!r})"


class Exhausted(Enum):
    """Which limit of the policy was reached."""

    ATTEMPTS = "attempts"
    NO_PROGRESS = "attempts in a row without progress"
    WAITING = "time spent waiting"
    TOTAL = "total time"
    RETRY_AFTER = "longest acceptable retry-after"
    TERMINAL = "failures that heal"


class RetriesExhaustedError(RecoveryError):
    """
    Every attempt the policy allows has failed, or the failure is one that never heals.

    Attributes:
        limit: The limit of the policy that was reached.
        retry_after: [s] When upstream said to come back, where it did.
    """

    def __init__(
        self,
        attempts: int,
        last: AttemptError | None,
        partial: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        limit: Exhausted = Exhausted.ATTEMPTS,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(attempts, last, partial, session_id)
        self.args: tuple[Any, ...] = (attempts, last, partial, session_id, limit, retry_after)
        self.limit = limit
        self.retry_after = retry_after

    def __str__(self) -> str:
        if self.limit is Exhausted.TERMINAL:
            return f"the failure does not heal by waiting: {self.last}"
        if self.limit is Exhausted.RETRY_AFTER and self.retry_after is not None:
            return f"upstream asks to come back in {self.retry_after:g} s, longer than the policy waits: {self.last}"
        return f"gave up after {self.attempts} attempts (limit: {self.limit.value}): {self.last}"


class Obstacle(Enum):
    """Why what was delivered cannot be continued."""

    OPEN_BLOCK = "a block of this type was delivered unfinished"
    UNKNOWN_BLOCK = "an unknown block was delivered unfinished"
    REFUSED = "upstream refused every form of continuation"
    THREAD = "the conversation is held by the server"
    CREDIT = "the request carries a fallback credit, which binds it byte for byte"
    DIVERGED = "the repeated answer differs from what was delivered"
    STRATEGIES = "the policy allows no strategy that applies"


class NotContinuableError(RecoveryError):
    """
    What was delivered cannot be continued: keep the partial, ask again.

    Attributes:
        reason: The obstacle.
        block_type: Type of the block in the way, where there is one.
    """

    def __init__(
        self,
        attempts: int,
        last: AttemptError | None,
        partial: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        reason: Obstacle = Obstacle.OPEN_BLOCK,
        block_type: str | None = None,
    ) -> None:
        super().__init__(attempts, last, partial, session_id)
        self.args: tuple[Any, ...] = (attempts, last, partial, session_id, reason, block_type)
        self.reason = reason
        self.block_type = block_type

    def __str__(self) -> str:
        block = f" [{self.block_type}]" if self.block_type else ""
        return f"cannot continue: {self.reason.value}{block}; first failure: {self.last}"


class SeamError(RecoveryError):
    """No continuation joined with certainty, and the policy says to raise rather than to guess."""

    def __str__(self) -> str:
        return (
            f"no continuation joined with certainty after {self.attempts} attempts ({self.last}); "
            "keep the partial, or set on_uncertain='join' to accept a seam that is not verified"
        )
