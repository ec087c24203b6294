"""
A failure and what came before it into a verdict: again after a delay, or give up.

Never waits, reads a clock or draws a number: `now` and `chance` are arguments.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

import msgspec

from resumable._core.errors import (
    ConnectError,
    Exhausted,
    StreamStalledError,
    UpstreamEventError,
    UpstreamStatusError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable._core.errors import AttemptError


class Row(Enum):
    """The rows of the table of failures; each has its own wait."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    RECONNECT = "reconnect"
    SERVER = "server"
    TERMINAL = "terminal"


# The codes that no wait heals although their status or type says otherwise: somebody has to
# pay, raise a limit, or win an appeal. Every other code goes by its type and status, so that
# 429 `ramp_limit_exceeded`, 503 `cmek_key_unreachable` and 529 `compaction_unavailable` heal.
# Source: docstrings of the SDK's error classes; API errors page, "spend limits".
_TERMINAL_CODES = frozenset(
    {
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_billing_unavailable",
        "linked_organization_spend_limit_reached",
        "organization_on_hold",
    }
)

# Source: API errors page. The names below the blank line are Amazon Bedrock's; they take the
# row of the HTTP status that the Bedrock reference gives them, but for the two 424s, which it
# says to send again. The spelling differs by transport (`throttlingException` in a stream,
# `ThrottlingException` in a header), so case does not count.
_ROW_OF_TYPE = {
    "rate_limit_error": Row.RATE_LIMITED,
    "overloaded_error": Row.OVERLOADED,
    "api_error": Row.SERVER,
    "timeout_error": Row.SERVER,
    "conflict_error": Row.SERVER,
    "invalid_request_error": Row.TERMINAL,
    "authentication_error": Row.TERMINAL,
    "billing_error": Row.TERMINAL,
    "permission_error": Row.TERMINAL,
    "not_found_error": Row.TERMINAL,
    "request_too_large": Row.TERMINAL,
    "memory_precondition_failed_error": Row.TERMINAL,
    "memory_path_conflict_error": Row.TERMINAL,

    "throttlingexception": Row.RATE_LIMITED,
    "modelnotreadyexception": Row.RATE_LIMITED,
    "internalserverexception": Row.SERVER,
    "serviceunavailableexception": Row.SERVER,
    "modelstreamerrorexception": Row.SERVER,
    "modelerrorexception": Row.SERVER,
    "modeltimeoutexception": Row.RECONNECT,
    "validationexception": Row.TERMINAL,
    "accessdeniedexception": Row.TERMINAL,
    "resourcenotfoundexception": Row.TERMINAL,
    "servicequotaexceededexception": Row.TERMINAL,
}  # fmt: skip

_ROW_OF_STATUS = {
    408: Row.RECONNECT,
    409: Row.SERVER,
    429: Row.RATE_LIMITED,
    529: Row.OVERLOADED,
}
_FIRST_SERVER_STATUS = 500

_BODY_REFUSED_STATUSES = frozenset({400, 413, 422})
_BODY_REFUSED_TYPES = frozenset({"invalid_request_error", "request_too_large", "validationexception"})
_CREDENTIAL_REFUSED_STATUSES = frozenset({401, 402, 403})
_CREDENTIAL_REFUSED_TYPES = frozenset(
    {"authentication_error", "billing_error", "permission_error", "accessdeniedexception"}
)


class Again(msgspec.Struct, frozen=True):
    """
    Verdict: one more attempt.

    Attributes:
        delay: [s] How long to wait before it; 0 is at once.
    """

    delay: float


class GiveUp(msgspec.Struct, frozen=True):
    """
    Verdict: no more attempts.

    Attributes:
        limit: The limit of the policy that was reached.
        retry_after: [s] When upstream said to come back, where it did.
    """

    limit: Exhausted
    retry_after: float | None = None


class Limits(Protocol):
    """What a verdict needs of a policy; `RetryPolicy` is one."""

    @property
    def max_attempts(self) -> int:
        """[1.. attempts] In total."""
        ...

    @property
    def max_attempts_without_progress(self) -> int:
        """[1.. attempts] In a row."""
        ...

    @property
    def max_wait(self) -> float:
        """[s] Of waiting in total."""
        ...

    @property
    def retry_after_cap(self) -> float:
        """[s] Longest `retry-after` that is waited for."""
        ...

    @property
    def total_timeout(self) -> float | None:
        """[s] From the session's start, or `None` for no limit."""
        ...

    def wait(self, row: Row, n: int, failure: AttemptError, chance: Callable[[], float]) -> float:
        """
        Say how long to wait.

        Args:
            row: The failure's row; never `TERMINAL`.
            n: Which failure of this row it is since the last progress; from 1.
            failure: The failure.
            chance: Draws from [0, 1).

        Returns:
            [s] The wait. Negative is at once; what is no number is never over.
        """
        ...


class History(msgspec.Struct):
    """
    What a session remembers of its attempts; one session makes one and alone writes to it.

    "In a row" means without progress in between, whatever else failed meanwhile: two rows that
    take turns would otherwise never back off.

    Attributes:
        started_at: [s] When the session started, on the clock that `decide` is given.
        attempts: Attempts that have failed.
        attempts_without_progress: Those of them since the last that made progress.
        has_progress: Whether the attempt under way has made progress.
        in_a_row: How many failures of each row since the last progress.
        waited: [s] The sum of the delays so far.
    """

    started_at: float
    attempts: int = 0
    attempts_without_progress: int = 0
    has_progress: bool = False
    in_a_row: dict[Row, int] = {}
    waited: float = 0.0

    def progress(self) -> None:
        """Note that the attempt under way made progress; cheap enough for every event."""
        self.has_progress = True

    def end_attempt(self, row: Row | None) -> int:
        """
        Count the attempt under way as failed; `decide` and `decide_at_once` do it.

        Progress refills the budget of attempts without progress and starts the waits afresh.
        It gives back neither attempts nor time.

        Args:
            row: The failure's row; `None` for one that is not waited for, and so is in none.

        Returns:
            Which failure of this row it is since the last progress; from 1, or 0 without a row.
        """
        self.attempts += 1
        self.attempts_without_progress += 1
        if self.has_progress:
            self.has_progress = False
            self.attempts_without_progress = 0
            self.in_a_row = {}
        if row is None:
            return 0
        n = self.in_a_row.get(row, 0) + 1
        self.in_a_row[row] = n
        return n


def row_of(failure: AttemptError) -> Row:
    """
    Classify a failure.

    Everything that is neither a status, an `error` event nor a refused certificate is a lost
    connection in some form. So is, for want of a better row, a missed seam: nobody is to be
    spared by waiting. Whether to ask again at all is not decided here.

    Args:
        failure: Why the attempt ended.

    Returns:
        The first of: terminal code, `x-should-retry`, type, status.
    """
    if isinstance(failure, UpstreamStatusError):
        return _row_of_response(failure)
    if isinstance(failure, UpstreamEventError):
        # Reason: a type we do not know is retried. Upstream had accepted the request, the
        # budget bounds the cost, and giving up would break streams on the day a type is added.
        if failure.error_code in _TERMINAL_CODES:
            return Row.TERMINAL
        return _row_of_type(failure.error_type) or Row.SERVER
    if isinstance(failure, ConnectError) and failure.is_certificate:
        return Row.TERMINAL
    return Row.RECONNECT


def is_body_refusal(failure: AttemptError) -> bool:
    """
    Say whether upstream refused what the request's body holds.

    Asked first, and only about a body that is ours: the next strategy is then tried at once.

    Args:
        failure: Why the attempt ended.

    Returns:
        True for 400, 413, 422 and for an `error` event under HTTP 200 that says the same.
    """
    if isinstance(failure, UpstreamEventError):
        return failure.error_type is not None and failure.error_type.lower() in _BODY_REFUSED_TYPES
    return isinstance(failure, UpstreamStatusError) and failure.status in _BODY_REFUSED_STATUSES


def is_credential_refusal(failure: AttemptError | None) -> bool:
    """
    Say whether upstream refused who asks, and not what is asked.

    Args:
        failure: Why the last attempt ended, if it was an attempt.

    Returns:
        True for 401, 402 and 403, for what they are called in a body or an `error` event, and for
        an account that may spend no more: another credential may be accepted.
    """
    if not isinstance(failure, UpstreamStatusError | UpstreamEventError):
        return False
    if failure.error_code in _TERMINAL_CODES or (failure.error_type or "").lower() in _CREDENTIAL_REFUSED_TYPES:
        return True
    return isinstance(failure, UpstreamStatusError) and failure.status in _CREDENTIAL_REFUSED_STATUSES


def decide(
    failure: AttemptError, history: History, limits: Limits, chance: Callable[[], float], now: float
) -> Again | GiveUp:
    """
    Count an attempt as failed and say what comes next; total, whatever the arguments hold.

    A wait that would break a limit is not shortened: upstream would see us too early, and
    the caller would see the same failure later.

    Args:
        failure: Why the attempt ended.
        history: The session's; the attempt and the delay are added to it.
        limits: The session's policy.
        chance: Draws from [0, 1).
        now: [s] Time on the clock of `history.started_at`.

    Returns:
        The verdict; the same for the same arguments (law L8).
    """
    row = row_of(failure)
    n = history.end_attempt(row)
    asked = _retry_after(failure)
    limit = _reached(failure, row, history, limits)
    if limit is not None:
        return GiveUp(limit, asked)
    if asked is not None and asked > limits.retry_after_cap:
        return GiveUp(Exhausted.RETRY_AFTER, asked)
    # The order of `max` matters: a NaN stays one, and then fails the comparison with the budget.
    delay = asked if asked is not None else max(limits.wait(row, n, failure, chance), 0.0)
    if not history.waited + delay <= limits.max_wait:
        return GiveUp(Exhausted.WAITING, asked)
    if _is_late(history, limits, now + delay):
        return GiveUp(Exhausted.TOTAL, asked)
    history.waited += delay
    return Again(delay)


def decide_at_once(history: History, limits: Limits, now: float) -> Again | GiveUp:
    """
    Count an attempt as failed that no wait would have helped, and say whether there may be another.

    Upstream was there and answered: it refused a body of ours, or the answer did not join.

    Args:
        history: The session's; the attempt is added to it.
        limits: The session's policy.
        now: [s] Time on the clock of `history.started_at`.

    Returns:
        The verdict; another attempt is made at once.
    """
    history.end_attempt(None)
    limit = _spent(history, limits) or (Exhausted.TOTAL if _is_late(history, limits, now) else None)
    return Again(0.0) if limit is None else GiveUp(limit)


def _row_of_response(failure: UpstreamStatusError) -> Row:
    if failure.error_code in _TERMINAL_CODES or failure.should_retry is False:
        return Row.TERMINAL
    row = _row_of_type(failure.error_type) or _row_of_status(failure.status)
    if failure.should_retry and row is Row.TERMINAL:
        return Row.SERVER
    return row


def _row_of_type(error_type: str | None) -> Row | None:
    return None if error_type is None else _ROW_OF_TYPE.get(error_type.lower())


def _row_of_status(status: int) -> Row:
    if status in _ROW_OF_STATUS:
        return _ROW_OF_STATUS[status]
    return Row.SERVER if status >= _FIRST_SERVER_STATUS else Row.TERMINAL


def _retry_after(failure: AttemptError) -> float | None:
    """Return the positive number of seconds that upstream asked for, if it did (NaN is none)."""
    if isinstance(failure, UpstreamStatusError) and failure.retry_after is not None and failure.retry_after > 0:
        return failure.retry_after
    return None


def _reached(failure: AttemptError, row: Row, history: History, limits: Limits) -> Exhausted | None:
    if row is Row.TERMINAL:
        return Exhausted.TERMINAL
    if isinstance(failure, StreamStalledError) and failure.watchdog == "total":
        return Exhausted.TOTAL
    return _spent(history, limits)


def _spent(history: History, limits: Limits) -> Exhausted | None:
    if history.attempts >= limits.max_attempts:
        return Exhausted.ATTEMPTS
    if history.attempts_without_progress >= limits.max_attempts_without_progress:
        return Exhausted.NO_PROGRESS
    return None


def _is_late(history: History, limits: Limits, then: float) -> bool:
    return limits.total_timeout is not None and then - history.started_at >= limits.total_timeout
