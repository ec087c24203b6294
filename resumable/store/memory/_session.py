"""One session in memory, and what is done for those that nobody writes; pure, as `_model`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resumable.store._packs import Pack, Stored, size_of
from resumable.store._records import Marker, Opening, Status, Upkeep

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class MemorySession:
    """One session; times are milliseconds."""

    status: Status
    token: int
    holder: str
    marker: int
    lease_until: int  # [ms] 0: given up
    ttl: int  # [ms]
    gone: int  # [ms]
    created: int  # [ms]
    updated: int  # [ms]
    opening: Opening
    base: int = 0
    last_seq: int = 0
    takeovers: int = 0
    cancel: str | None = None
    fields: dict[str, bytes] = field(default_factory=dict)
    log: list[Stored] = field(default_factory=list)
    is_compact: bool = False
    claimed: int = 0  # [ms] Nobody else is told until then that there is something to be done for it.

    def mark(self, now: int, status: Status, holder: str) -> None:
        """Change status and holder, with a marker for the readers; its token fences every older one."""
        self.marker = max(now, self.marker + 1)
        self.log.append(Marker(self.marker, status, holder, self.last_seq, self.log[-1].cursor))
        self.status = status
        self.updated, self.claimed = now, 0

    def end(self, now: int, status: Status, ttl: int) -> None:
        """Change status for good; nobody writes any more."""
        self.mark(now, status, "")
        self.lease_until = 0
        self.gone = now + ttl

    def keep(self, now: int, ttl: int) -> None:
        """Keep it for another *ttl*, once a tenth of it is used up."""
        if self.gone - now < ttl * 0.9:
            self.gone = now + ttl

    def compact(self, log: Sequence[Stored]) -> bool:
        """Put packs in the place of events, if the log is the one that was read."""
        if self.is_compact or not self.status.is_over:
            return self.is_compact
        if not log or size_of(log) != len(self.log) or log[-1].cursor != self.log[-1].cursor:
            return False
        there = {entry.cursor: entry for entry in self.log}
        self.log = [one if isinstance(one, Pack) else there[one.cursor] for one in log]
        self.is_compact = True
        return True

    def is_due(self, upkeep: Upkeep, principal: str, now: int, age: int) -> bool:
        """Whether something is to be done for it, and nobody is at it."""
        if self.gone <= now or self.claimed > now:
            return False
        if upkeep is Upkeep.LAPSED:
            return self.status is Status.RUNNING and self.lease_until <= now - age
        if upkeep is Upkeep.ORPHANED and self.opening.principal != principal:
            return False
        if upkeep is Upkeep.ORPHANED:
            return self.status is Status.ORPHANED and self.updated <= now - age
        return self.status.is_over and not self.is_compact and self.updated <= now - age
