"""
What goes in and out of a store of sessions: cursors, entries of the log, leases, checkpoints, outcomes.

Values only; nothing here reads a clock or does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence  # noqa: TC003  # Reason: msgspec looks the fields' types up
from enum import Enum
from typing import NamedTuple, TypeAlias

import msgspec

from resumable._core.store_errors import CursorError

MAX_EVENTS = 500  # A script of this size holds the server up for about a millisecond (docs/reference/redis-keys.md).
LONGEST_WAIT = 5.0  # [s] So that a connection that died without a word is noticed soon.
SCHEMA = 1  # Major version of what is written; a reader of this version reads every minor of it.

# Canonical decimals only, so that a cursor has one spelling; `$`, `+` and `-` mean something to the server.
_CURSOR = re.compile(r"(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})")


class Status(Enum):
    """What a session is; what is over stays over, `ORPHANED` waits for a credential of its principal."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ORPHANED = "orphaned"

    @property
    def is_over(self) -> bool:
        """Whether nothing can be added any more."""
        return self in {Status.COMPLETE, Status.FAILED, Status.CANCELLED}


class Upkeep(Enum):
    """What is to be done for sessions that nobody writes."""

    LAPSED = "lapsed"  # Running when last heard of, and nobody holds the lease.
    ORPHANED = "orphaned"  # It waits for a credential of its principal.
    FINISHED = "finished"  # Over, and the log is as it was written.


class Cursor(NamedTuple):
    """
    Where a reader is: the id of an entry of the log, `<token>-<seq>`.

    Attributes:
        token: Fencing token of the lease the entry was written under.
        seq: Seq of the event; 0 for a marker.
    """

    token: int
    seq: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """
        Read a cursor, strictly: what a client sends is never passed on to the server unread.

        Args:
            text: `<token>-<seq>`, decimal and without leading zeros.

        Raises:
            CursorError: It is anything else, `$` and `0` included.
        """
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise CursorError(text[:64], "not of the form <token>-<seq>")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.token}-{self.seq}"


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """
    An entry of the log that is an event.

    Attributes:
        token: Of the lease it was written under.
        seq: Dense from 1 over the whole session.
        event: [bytes] As it was appended.
    """

    token: int
    seq: int
    event: bytes

    @property
    def cursor(self) -> Cursor:
        """Where a reader is that has seen it."""
        return Cursor(self.token, self.seq)


class Marker(NamedTuple):
    """
    An entry of the log that is no event: from here on the session has this status and this holder.

    Every change of either is one: created, taken over, released, orphaned, ended.

    Attributes:
        token: A new one, higher than every token before.
        status: From here on.
        holder: From here on; empty when nobody writes.
        base: Seq of the last event before it.
        after: The entry before it; `None` for the first. A reader that is elsewhere has seen what is lost.
    """

    token: int
    status: Status
    holder: str
    base: int
    after: Cursor | None

    @property
    def cursor(self) -> Cursor:
        """Where a reader is that has seen it."""
        return Cursor(self.token, 0)


Entry: TypeAlias = Recorded | Marker


class Lease(msgspec.Struct, frozen=True):
    """
    The right to write one session until somebody takes it over.

    Attributes:
        session_id: The session's ID.
        holder: Who has it; unique per writer, not per process.
        token: The fencing number.
        base: Seq of the last event before this lease; its own events begin behind it.
        duration: [s] For how long each append or renewal keeps it.
        ttl: [s] For how long the session is kept after its last write.
    """

    session_id: str
    holder: str
    token: int
    base: int
    duration: float
    ttl: float


class Opening(msgspec.Struct, frozen=True):
    """
    What a session is created with.

    Attributes:
        request: [bytes] Kept as it is; without credentials.
        request_hash: Two openings with the same one are the same request.
        principal: Who it belongs to; empty for nobody in particular.
        fields: First fields of the checkpoint.
    """

    request: bytes
    request_hash: str
    principal: str = ""
    fields: Mapping[str, str | int | bytes] = {}


class Checkpoint(msgspec.Struct, frozen=True):
    """
    What the store knows about a session besides its events.

    Attributes:
        session_id: The session's ID.
        status: What it is.
        last_seq: Seq of its last event; 0 before the first.
        base: Seq of the last event before the current lease.
        token: Fencing token of the current or last lease.
        holder: Who has or had it.
        lease_left: [s] Until the lease expires; at most 0 when nobody has it. By the store's clock.
        takeovers: How often the lease went to another holder.
        cancel: Why it was asked to stop; `None` when it was not.
        principal: Who it belongs to.
        request_hash: Of the request it was opened with.
        created: [s] Since 1970, by the store's clock.
        updated: [s] Its last write, likewise.
        schema: Version of what was written, `<major>` or `<major>.<minor>`.
        fields: All other fields: those of the layer above, and of versions to come.
        is_compact: Whether its log is in packs; its readers see no difference.
        marker: Token of the last marker in its log: where the session is over, that of its end. 0 where the store
            does not say.
    """

    session_id: str
    status: Status
    last_seq: int
    base: int
    token: int
    holder: str
    lease_left: float
    takeovers: int
    cancel: str | None
    principal: str
    request_hash: str
    created: float
    updated: float
    schema: str
    fields: Mapping[str, bytes]
    is_compact: bool = False
    marker: int = 0

    @property
    def is_held(self) -> bool:
        """Whether somebody may be writing: running, and the lease has not expired."""
        return self.status is Status.RUNNING and self.lease_left > 0

    def text(self, name: str) -> str:
        """Read one of `fields` as text; empty when it is not there."""
        return self.fields.get(name, b"").decode(errors="replace")

    def number(self, name: str) -> int:
        """Read one of `fields` as a number; 0 when it is not there."""
        return int(self.fields.get(name) or 0)


class Grant(Enum):
    """How a lease was come by."""

    CREATED = "created"  # The session is new.
    TAKEN = "taken"  # It is there, and nobody held it.
    KEPT = "kept"  # This holder has it already: the answer to an earlier call was lost.


class Acquired(msgspec.Struct, frozen=True):
    """
    A lease, and what its new holder must know.

    Attributes:
        lease: The lease.
        grant: How it was come by.
        last_seq: Seq of the last event; the next to write is one more.
        checkpoint: As it was before; `None` for a new session.
    """

    lease: Lease
    grant: Grant
    last_seq: int
    checkpoint: Checkpoint | None


class Append(msgspec.Struct, frozen=True, gc=False):
    """
    Events for one session's log, with the fields of its checkpoint that go with them.

    Attributes:
        lease: The right to write.
        first_seq: Seq of the first event.
        events: [0..500 events] In stream order.
        fields: Written in the same step; names of the store's own are refused.
        end: Ends the session behind these events: `COMPLETE`, `FAILED` or `CANCELLED`.
    """

    lease: Lease
    first_seq: int
    events: Sequence[bytes] = ()
    fields: Mapping[str, str | int | bytes] = {}
    end: Status | None = None


class Appended(msgspec.Struct, frozen=True, gc=False):
    """
    The log holds everything that was sent, and the lease is kept.

    Attributes:
        last_seq: Seq of the last event in the log.
        written: Events this call added; fewer than were sent when an earlier call had added them.
        cancel: Why the session is asked to stop; `None` when it is not.
    """

    last_seq: int
    written: int
    cancel: str | None


class Cancelled(NamedTuple):
    """
    What a cancel came to.

    Attributes:
        holder: Who was asked to stop; empty when nobody writes and the session was ended in place.
        last_seq: Seq of its last event.
    """

    holder: str
    last_seq: int


class Cancels(NamedTuple):
    """
    Sessions that were asked to stop, by anybody, anywhere; a hint: every append and renewal tells it too.

    Attributes:
        cursor: Where to go on listening.
        session_ids: Which ones; a session may come twice.
    """

    cursor: Cursor
    session_ids: Sequence[str]


class Vitals(NamedTuple):
    """
    What the store says about itself; `None` where it does not.

    Attributes:
        run_id: Another one means that the server was started anew, or that it is another server.
        uptime: [s] Since it was started.
        role: `"master"`, or another word for what cannot be written to.
    """

    run_id: str | None
    uptime: float | None
    role: str | None
