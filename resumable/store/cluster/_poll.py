"""
How many logs in many slots are waited for: by asking, since no command blocks on keys of two slots; pure.

Each poll is one pipeline for each primary. The pause between polls grows while nothing comes, and with what a poll
takes, so that a thousand logs cost no more than a share of the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable._core.store_errors import StoreError, StoreUnavailableError
from resumable.store._records import LONGEST_WAIT, MAX_EVENTS
from resumable.store.redis._commands import Command
from resumable.store.redis._queries import following

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resumable.store._keys import Keys
    from resumable.store._records import Cursor, Entry
    from resumable.store.redis._commands import Flight
    from resumable.store.redis._replies import Replies

SHORTEST_PAUSE = 0.01  # [s] Invisible between tokens.
LONGEST_PAUSE = 0.05  # [s] Of logs where nothing happens.
_GROWTH = 1.5
_SHARE = 2.0  # A poll is followed by a pause of at least this many times what it took.


class Poll:
    """
    One wait; times are those of any one clock.

    Args:
        names: The keys.
        after: As of `Store.wait`.
        seconds: [s] As of `Store.wait`.
        now: [s] The time.
    """

    def __init__(self, names: Keys, after: Mapping[str, Cursor], seconds: float, now: float) -> None:
        self._after = after
        self._until = now + min(seconds, LONGEST_WAIT)
        self._pause = SHORTEST_PAUSE
        self._trouble: StoreUnavailableError | None = None
        self.flight: Flight = [
            Command(("XREAD", "COUNT", MAX_EVENTS, "STREAMS", names.session(session_id)[1], str(cursor)))
            for session_id, cursor in after.items()
        ]

    def read(self, replies: Replies) -> Mapping[str, Sequence[Entry] | StoreError]:
        """
        Read what a poll brought.

        Raises:
            StoreUnavailableError: Something is wrong that waiting does not cure.
        """
        self._trouble = None
        found: dict[str, Sequence[Entry] | StoreError] = {}
        for (session_id, cursor), reply in zip(self._after.items(), replies, strict=True):
            if isinstance(reply, StoreUnavailableError):
                if not reply.retryable:
                    raise reply
                self._trouble = reply
            elif reply:
                found[session_id] = following(session_id, cursor, reply[0][1])
        return found

    def pause(self, began: float, now: float) -> float | None:
        """
        [s] Say how long to pause before the next poll; `None` when the wait is over.

        Args:
            began: [s] When the last poll began.
            now: [s] The time.

        Raises:
            StoreUnavailableError: It is over, and some of the logs could not be asked last.
        """
        if now >= self._until:
            if self._trouble is not None:
                raise self._trouble
            return None
        pause = max(self._pause, _SHARE * (now - began))
        self._pause = min(self._pause * _GROWTH, LONGEST_PAUSE)
        return min(pause, self._until - now)
