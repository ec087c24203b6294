"""
The errors of sessions in a store: the log or the lease refused, as facts in attributes.

One branch of the tree in `errors`; nothing here holds a prompt, a completion, a key or a URL::

    StoreError                  the store of sessions refused, or could not be asked
    ├── StoreUnavailableError      the store did not answer, or cannot serve now
    ├── LeaseHeldError             another holder writes this session
    ├── FencedError                you are no longer the writer: stop, do not try again
    ├── DivergedError              you were fenced after delivering what the log does not hold
    ├── SessionNotFoundError       there is no session of this ID, or no longer
    ├── SessionEndedError          the session is over: read it, nothing can be added
    ├── SessionConflictError       the ID is in use for another request
    ├── SessionForbiddenError      the session belongs to another principal
    ├── SessionSchemaError         a newer version of this library wrote the session
    ├── SealedError                the session is encrypted, and cannot be opened here
    ├── CursorError                the cursor is malformed, or not one of this log's
    ├── SeqExpiredError            the log no longer reaches back to the cursor
    ├── LogRewoundError            the store lost events that it had acknowledged
    └── LogLostError               the store lost half of a session
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resumable._core.errors import ResumableError

if TYPE_CHECKING:
    from collections.abc import Mapping


class StoreError(ResumableError):
    """The store of sessions refused, or could not be asked."""


class StoreUnavailableError(StoreError):
    """
    The store did not answer, or cannot serve now.

    What was asked for may have happened all the same: every write of the store can be sent again as it is.

    Attributes:
        reason: One word: `"connection"`, `"timeout"`, `"loading"`, `"readonly"`, `"memory"`, `"disk"`, `"busy"`,
            `"clients"`, `"cluster"`, `"auth"`, `"permission"`, `"closed"` or `"refused"`.
        cause_name: Class name of the client's exception, or the first word of the server's answer.
        retryable: Whether it heals by waiting, without anybody changing a setting.
    """

    def __init__(
        self,
        reason: str,
        cause_name: str,
        retryable: bool = True,  # noqa: FBT001, FBT002  # Reason: pickled by position
    ) -> None:
        super().__init__(reason, cause_name, retryable)
        self.reason = reason
        self.cause_name = cause_name
        self.retryable = retryable

    def __str__(self) -> str:
        again = "" if self.retryable else ", and waiting does not help"
        return f"the store cannot be used: {self.reason} ({self.cause_name}){again}"


class LeaseHeldError(StoreError):
    """
    Another holder writes this session: read it, or wait.

    Attributes:
        session_id: The session's ID.
        holder: Who holds the lease.
        expires_in: [s] When the lease runs out unless it is renewed; by the store's clock.
    """

    def __init__(self, session_id: str, holder: str, expires_in: float) -> None:
        super().__init__(session_id, holder, expires_in)
        self.session_id = session_id
        self.holder = holder
        self.expires_in = expires_in

    def __str__(self) -> str:
        return f"session {self.session_id} is written by {self.holder}, for another {self.expires_in:g} s at least"


class FencedError(StoreError):
    """
    You are no longer the writer: stop, and do not try again.

    Attributes:
        session_id: The session's ID.
        token: The token you wrote with.
        highest: The highest token granted by now.
        holder: Who holds the lease now; empty when nobody does.
    """

    def __init__(self, session_id: str, token: int, highest: int, holder: str = "") -> None:
        super().__init__(session_id, token, highest, holder)
        self.session_id = session_id
        self.token = token
        self.highest = highest
        self.holder = holder

    def __str__(self) -> str:
        now = self.holder or "nobody"
        return f"session {self.session_id} is no longer yours: token {self.token} is behind {self.highest} ({now})"


class DivergedError(StoreError):
    """
    You were fenced after delivering what the log does not hold: what your caller saw and what readers see differ.

    Attributes:
        session_id: The session's ID.
        last_seq: The last event that both have.
        partial: The message as far as it was delivered here, in the API's own shape.
    """

    def __init__(self, session_id: str, last_seq: int, partial: Mapping[str, Any] | None = None) -> None:
        super().__init__(session_id, last_seq, partial)
        self.session_id = session_id
        self.last_seq = last_seq
        self.partial = partial

    def __str__(self) -> str:
        return (
            f"session {self.session_id} was taken over, and what was delivered here after event {self.last_seq} "
            "is not in its log"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(session_id={self.session_id!r}, last_seq={self.last_seq})"


class SessionNotFoundError(StoreError):
    """
    There is no session of this ID, or no longer.

    Attributes:
        session_id: The session's ID.
    """

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id

    def __str__(self) -> str:
        return f"there is no session {self.session_id}, or no longer"


class SessionEndedError(StoreError):
    """
    The session is over: read it, nothing can be added.

    Attributes:
        session_id: The session's ID.
        status: How it ended: `"complete"`, `"failed"` or `"cancelled"`.
        last_seq: Its last event.
    """

    def __init__(self, session_id: str, status: str, last_seq: int) -> None:
        super().__init__(session_id, status, last_seq)
        self.session_id = session_id
        self.status = status
        self.last_seq = last_seq

    def __str__(self) -> str:
        return f"session {self.session_id} is over ({self.status}) with event {self.last_seq}"


class SessionConflictError(StoreError):
    """
    The ID is in use for another request: choose another ID, or delete the session.

    Attributes:
        session_id: The session's ID.
    """

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id

    def __str__(self) -> str:
        return f"session {self.session_id} was opened with another request; choose another ID or delete the session"


class SessionForbiddenError(StoreError):
    """
    The session belongs to another principal: ask in the name it was opened in.

    Attributes:
        session_id: The session's ID.
    """

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id

    def __str__(self) -> str:
        return f"session {self.session_id} belongs to another principal"


class SessionSchemaError(StoreError):
    """
    A newer version of this library wrote the session: upgrade this process.

    Attributes:
        session_id: The session's ID.
        found: The schema version of the session.
        supported: The highest major version this library reads.
    """

    def __init__(self, session_id: str, found: str, supported: int) -> None:
        super().__init__(session_id, found, supported)
        self.session_id = session_id
        self.found = found
        self.supported = supported

    def __str__(self) -> str:
        return (
            f"session {self.session_id} was written with schema {self.found}; "
            f"this version reads schemas up to {self.supported}"
        )


class SealedError(StoreError):
    """
    The session is encrypted, and its content cannot be opened here.

    Attributes:
        session_id: The session's ID.
        reason: One word: `"no_key"`, `"wrong_key"`, `"shredded"` or `"altered"`.
        key_name: Name of the key that it is encrypted with; empty where the store does not say. Never the key.
    """

    def __init__(self, session_id: str, reason: str, key_name: str = "") -> None:
        super().__init__(session_id, reason, key_name)
        self.session_id = session_id
        self.reason = reason
        self.key_name = key_name

    def __str__(self) -> str:
        why = {
            "no_key": f"it is encrypted with key {self.key_name!r}, which this process does not have",
            "wrong_key": f"the key that this process calls {self.key_name!r} is not the one it is encrypted with",
            "shredded": "its data key was deleted, and its content with it",
            "altered": "something in it is not what was written there",
        }
        return f"session {self.session_id} cannot be opened: {why.get(self.reason, self.reason)}"


class CursorError(StoreError):
    """
    The cursor is malformed, or not one of this log's: start from the beginning, or from a cursor you were given.

    Attributes:
        cursor: The cursor as it was given, at most 64 characters of it.
        problem: What is wrong with it.
    """

    def __init__(self, cursor: str, problem: str) -> None:
        super().__init__(cursor, problem)
        self.cursor = cursor
        self.problem = problem

    def __str__(self) -> str:
        return f"cursor {self.cursor!r}: {self.problem}"


class SeqExpiredError(StoreError):
    """
    The log no longer reaches back to the cursor.

    Attributes:
        session_id: The session's ID.
        requested: The seq that was asked for.
        earliest: The first seq the log still holds.
    """

    def __init__(self, session_id: str, requested: int, earliest: int) -> None:
        super().__init__(session_id, requested, earliest)
        self.session_id = session_id
        self.requested = requested
        self.earliest = earliest

    def __str__(self) -> str:
        return f"event {self.requested} of session {self.session_id} is gone; the log begins with {self.earliest}"


class LogRewoundError(StoreError):
    """
    The store lost events that it had acknowledged, as in a failover: what follows is not what you have seen.

    Attributes:
        session_id: The session's ID.
        seen: The last event you have seen, or had acknowledged.
        last_seq: The last event that you and the log have in common.
    """

    def __init__(self, session_id: str, seen: int, last_seq: int) -> None:
        super().__init__(session_id, seen, last_seq)
        self.session_id = session_id
        self.seen = seen
        self.last_seq = last_seq

    def __str__(self) -> str:
        return (
            f"the log of session {self.session_id} went back: events after {self.last_seq} were lost, "
            f"of which you have seen up to {self.seen}"
        )


class LogLostError(StoreError):
    """
    The store lost half of a session, as by eviction: the rest is not enough to go on.

    Attributes:
        session_id: The session's ID.
        lost: Which half: `"log"`, `"checkpoint"` or `"request"`.
    """

    def __init__(self, session_id: str, lost: str) -> None:
        super().__init__(session_id, lost)
        self.session_id = session_id
        self.lost = lost

    def __str__(self) -> str:
        return f"the store lost the {self.lost} of session {self.session_id}; is its eviction policy noeviction?"
