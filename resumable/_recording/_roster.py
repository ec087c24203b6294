"""Which leases a process keeps and when, and what it has seen of its store's absences; times are arguments."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Protocol

from resumable._core.store_errors import (
    LeaseHeldError,
    LogRewoundError,
    SessionConflictError,
    SessionForbiddenError,
    StoreError,
    StoreUnavailableError,
)
from resumable.store import Appended, Cursor, Marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from resumable.store import Checkpoint, Entry, Lease, Opening, Vitals

_THIRD = 1 / 3  # of its duration: a lease outlives two renewals that were lost
_TOGETHER = 1 / 6  # of its duration: what is due so soon goes along
_SOON = 0.25  # [s] After a renewal that was not answered.
_HEARD = 30.0  # [s] For how long a cancel is remembered for a lease that is only just being taken.
FLIGHT = 250  # leases renewed in one flight: 2 ms of the server's time


class Listener(Protocol):
    """Who is told what becomes of a lease; called in the keeper's thread or task."""

    def lost(self, error: Exception) -> None:
        """Hear that the lease is lost for good."""
        ...

    def cancelled(self, reason: str) -> None:
        """Hear that somebody asks the session to stop."""
        ...

    def disown(self) -> None:
        """Let go in a forked child, without a word to anybody."""
        ...


class Vigil:
    """
    What this process has seen of a store's absences: while the store was away no holder could renew.

    So nothing is taken over for a full lease after it was away, or was started anew: holders come first.
    """

    def __init__(self) -> None:
        self._is_away = False
        self._since = -math.inf
        self._run_id: str | None = None

    def away(self, error: StoreUnavailableError, there: Checkpoint | None = None) -> None:
        """
        Note that it did not answer; a refusal that is ours alone says nothing about other holders.

        Args:
            error: What it said; `is_known` knows it again.
            there: The session that could be read before.
        """
        self._is_away |= error.retryable
        if there is not None:
            error.__dict__["is_known"] = True

    def back(self, now: float) -> None:
        """Note that it answered."""
        if self._is_away:
            self._is_away, self._since = False, now

    def told(self, vitals: Vitals, now: float) -> None:
        """Note what it says about itself."""
        self.back(now)
        if vitals.uptime is not None:
            self._since = max(self._since, now - vitals.uptime)
        if self._run_id not in {None, vitals.run_id}:  # Another server now, however long it has been up.
            self._since = now
        self._run_id = vitals.run_id

    def takeover_in(self, lease: float, now: float) -> float:
        """
        [s] Say how long nothing may be taken over; 0 when something may, infinite while the store is away.

        Args:
            lease: [s] Its duration.
            now: [s] The time.
        """
        return math.inf if self._is_away else max(0.0, self._since + lease - now)


def unfinished(there: Checkpoint | StoreError, opening: Opening | None) -> Checkpoint | None:
    """
    Give a session back if it is there and not over.

    Args:
        there: What a look said of it.
        opening: What it would be opened with; in whose name.

    Raises:
        SessionForbiddenError: It is somebody else's.
        StoreUnavailableError: Nobody knows.
    """
    if isinstance(there, StoreUnavailableError):
        raise there
    if isinstance(there, StoreError):
        return None
    if opening is not None and there.principal and opening.principal != there.principal:
        raise SessionForbiddenError(there.session_id)
    return None if there.status.is_over else there


def is_known(error: StoreError) -> bool:
    """Whether the session that an error is about is there, so that nobody must begin it anew."""
    return bool(error.__dict__.get("is_known"))


def end_of(there: Checkpoint) -> Cursor:
    """Say where a reader is that has seen all that the last holder wrote."""
    return Cursor(there.token, there.last_seq if there.last_seq > there.base else 0)


def was_left(following: Sequence[Entry]) -> bool:
    """
    Whether the holder of a session gave it up of his own accord: then he has no wish to come back.

    Args:
        following: What the log holds behind his last event.
    """
    return any(isinstance(entry, Marker) and not entry.holder for entry in following)


def refuse_takeover(there: Checkpoint, opening: Opening | None, wait: float) -> None:
    """
    Leave a running session alone while its holder has a right to come back.

    Args:
        there: The session.
        opening: What it would be opened with.
        wait: [s] How long nothing may be taken over.

    Raises:
        SessionConflictError: It was opened with another request.
        LeaseHeldError: It may be taken over only later.
    """
    if opening is not None and opening.request_hash != there.request_hash:
        raise SessionConflictError(there.session_id)
    raise LeaseHeldError(there.session_id, there.holder, max(there.lease_left, wait))


class _Kept:
    __slots__ = ("due", "is_told", "lease", "listener")

    def __init__(self, lease: Lease, listener: Listener, due: float) -> None:
        self.lease = lease
        self.listener = weakref.ref(listener)  # weak: a session that nobody writes any more must run out
        self.due = due
        self.is_told = False


class Roster:
    """The leases of a process; holders name them."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._heard: dict[str, float] = {}
        self._notices: list[Callable[[], None]] = []

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to keep, or to tell."""
        return bool(self._kept or self._notices)

    def keep(self, lease: Lease, listener: Listener, now: float) -> None:
        """Renew a lease from now on, as long as its listener lives."""
        heard = self._heard.pop(lease.session_id, -math.inf)
        due = now if now - heard < _HEARD else now + lease.duration * _THIRD
        self._kept[lease.holder] = _Kept(lease, listener, due)

    def drop(self, lease: Lease) -> None:
        """Renew a lease no more."""
        self._kept.pop(lease.holder, None)

    def disown(self) -> None:
        """Let everybody go, in a forked child."""
        for kept in self._kept.values():
            if (listener := kept.listener()) is not None:
                listener.disown()
        self._kept.clear()
        self._notices.clear()

    def due_at(self) -> float:
        """[s] Say when something is to be done next."""
        if self._notices:
            return -math.inf
        return min((kept.due for kept in self._kept.values()), default=math.inf)

    def due(self, now: float) -> list[Lease]:
        """List the leases to renew in one flight; those whose listener is gone are forgotten."""
        for holder in [holder for holder, kept in self._kept.items() if kept.listener() is None]:
            del self._kept[holder]
        if self.due_at() > now:
            return []
        soon = [kept for kept in self._kept.values() if kept.due <= now + kept.lease.duration * _TOGETHER]
        return [kept.lease for kept in sorted(soon, key=lambda kept: kept.due)[:FLIGHT]]

    def renewed(self, leases: Sequence[Lease], outcomes: Sequence[Appended | Exception], now: float) -> None:
        """Take note of what became of renewals."""
        for lease, outcome in zip(leases, outcomes, strict=True):
            kept = self._kept.get(lease.holder)
            if kept is None:
                continue
            if isinstance(outcome, Appended):
                kept.due = now + lease.duration * _THIRD
                if outcome.cancel is not None:
                    self._tell_cancelled(kept, outcome.cancel)
            elif isinstance(outcome, StoreUnavailableError | LogRewoundError):
                kept.due = now + min(_SOON, lease.duration * _TOGETHER)
            else:
                self.lost(lease, outcome)

    def lost(self, lease: Lease, error: Exception) -> None:
        """Take note that a lease is lost, and tell its listener."""
        kept = self._kept.pop(lease.holder, None)
        if kept is not None and (listener := kept.listener()) is not None:
            self._notices.append(lambda: listener.lost(error))

    def asked(self, lease: Lease, reason: str) -> None:
        """Take note that the store says why a session should stop, and tell its listener."""
        kept = self._kept.get(lease.holder)
        if kept is not None:
            self._tell_cancelled(kept, reason)

    def _tell_cancelled(self, kept: _Kept, reason: str) -> None:
        if not kept.is_told and (listener := kept.listener()) is not None:
            kept.is_told = True
            self._notices.append(lambda: listener.cancelled(reason))

    def hear(self, session_ids: Iterable[str] | None, now: float) -> bool:
        """
        Take note of a hint that sessions were asked to stop; renewing their leases tells whether, and why.

        Args:
            session_ids: Which ones; `None` for any.
            now: [s] The time.

        Returns:
            Whether anything is due earlier for it.
        """
        self._heard = {one: at for one, at in self._heard.items() if now - at < _HEARD}
        ids = None if session_ids is None else set(session_ids)
        found = [kept for kept in self._kept.values() if ids is None or kept.lease.session_id in ids]
        for kept in found:
            if not kept.is_told:
                kept.due = now
        self._heard |= dict.fromkeys(ids or (), now)
        return bool(found)

    def notices(self) -> list[Callable[[], None]]:
        """Take what is to be told; never to be called with a lock held."""
        taken, self._notices = self._notices, []
        return taken
