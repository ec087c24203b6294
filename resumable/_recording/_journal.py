"""
The writer of one session: events go into its log before, or soon after, they go to the caller.

The two colours differ by `await` alone; what they decide is decided in `_ledger`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from resumable._core.store_errors import StoreError
    from resumable.store import Acquired, Cursor, Lease, Opening, Status

    from ._desk import AsyncDesk, Desk
    from ._ledger import Gap


class Journal:
    """
    The writer of one session, in a thread.

    Attributes:
        acquired: How the lease was come by, and what was there before.
        on_cancel: Called once, in another thread, as soon as somebody asks the session to stop.
        on_lost: Called once, in another thread, as soon as the lease is known to be lost.
    """

    acquired: Acquired
    on_cancel: Callable[[], object] | None
    on_lost: Callable[[StoreError], object] | None

    @classmethod
    def open(
        cls,
        desk: Desk,
        session_id: str,
        opening: Opening | None = None,
        *,
        lease: float = 15.0,
        ttl: float = 86_400.0,
        durability: str = "write-ahead",
        store_outage: str = "degrade",
    ) -> Self:
        """Take the lease of a session that nobody holds; create the session if *opening* is given."""
        raise NotImplementedError

    @property
    def session_id(self) -> str:
        """The session's ID."""
        raise NotImplementedError

    @property
    def lease(self) -> Lease:
        """The right to write."""
        raise NotImplementedError

    @property
    def last_seq(self) -> int:
        """Seq of the last event that the log is known to hold."""
        raise NotImplementedError

    @property
    def next_seq(self) -> int:
        """Seq that the next event will take; beyond `last_seq + 1` while some are on their way."""
        raise NotImplementedError

    @property
    def cursor(self) -> Cursor:
        """Where a reader is that has seen `last_seq`."""
        raise NotImplementedError

    @property
    def gap(self) -> Gap | None:
        """For how long, and for how many events, the log was behind the caller; `None` if it never was."""
        raise NotImplementedError

    @property
    def cancel_reason(self) -> str | None:
        """Why somebody asked the session to stop; `None` if nobody did."""
        raise NotImplementedError

    def write(self, events: Sequence[bytes] = (), fields: Mapping[str, str | int | bytes] = {}) -> None:
        """Write events, and fields of the checkpoint with the last of them."""
        raise NotImplementedError

    def end(
        self, status: Status, events: Sequence[bytes] = (), fields: Mapping[str, str | int | bytes] = {}
    ) -> None:
        """End the session behind these events, and leave it."""
        raise NotImplementedError

    def release(self) -> None:
        """Leave the session to the next holder, who need not wait."""
        raise NotImplementedError


class AsyncJournal:
    """`Journal`, method for method, for asyncio; `on_cancel` and `on_lost` are called in the loop."""

    acquired: Acquired
    on_cancel: Callable[[], object] | None
    on_lost: Callable[[StoreError], object] | None

    @classmethod
    async def open(
        cls,
        desk: AsyncDesk,
        session_id: str,
        opening: Opening | None = None,
        *,
        lease: float = 15.0,
        ttl: float = 86_400.0,
        durability: str = "write-ahead",
        store_outage: str = "degrade",
    ) -> Self:
        """As `Journal.open`."""
        raise NotImplementedError
