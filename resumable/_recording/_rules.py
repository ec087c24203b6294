"""How far a session's log may be behind its caller, in time and in bytes, and what that is called."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from resumable._core.errors import ConfigurationError

PATIENCE = 3.0  # [s] One silence of a server is noticed after 2 s; a reader of the stream bears no more.
LONG_PATIENCE = 10.0  # [s] Under "fail": outlasts a failover, which takes 2.4 to 4.3 s.
LINGER = 300.0  # [s] How long a session that is over is kept in memory for a store that is away.
RETAINED = 1 << 17  # [bytes] Acknowledged, and kept in case the store loses it: some 1000 deltas.
APPEND = 1 << 20  # [bytes] In one append.
LAG = 1 << 18  # [bytes] How far the log may be behind the caller when durability is relaxed.
BACKLOG = 1 << 24  # [bytes] ... and with the store away; more than the longest message takes.
ALL_BACKLOG = 1 << 28  # [bytes] ... in all sessions of the process together.


class Gap(msgspec.Struct, frozen=True):
    """
    How far write-ahead was suspended, because the store was away.

    Attributes:
        outages: How often.
        seconds: [s] Altogether, until the log had caught up.
        events: Delivered before the log held them.
    """

    outages: int = 0
    seconds: float = 0.0
    events: int = 0

    def field(self) -> str:
        """Write it as a field of the checkpoint."""
        rounded = Gap(self.outages, round(self.seconds, 3), self.events)
        return msgspec.json.encode(rounded).decode()


class Backlog:
    """
    What all sessions of a process hold for their store.

    Attributes:
        size: [bytes] Accepted, and not acknowledged.
    """

    def __init__(self) -> None:
        self.size = 0


class Rules(NamedTuple):
    """
    How a session is written.

    Attributes:
        is_relaxed: Whether events are delivered before the log holds them.
        degrades: Whether the stream goes on while the store is away.
    """

    is_relaxed: bool = False
    degrades: bool = True

    @classmethod
    def of(cls, durability: str, store_outage: str) -> Rules:
        """
        Read the words a user says it in.

        Raises:
            ConfigurationError: It is another word.
        """
        for argument, word, words in (
            ("durability", durability, ("write-ahead", "relaxed")),
            ("store_outage", store_outage, ("degrade", "fail")),
        ):
            if word not in words:
                raise ConfigurationError(argument, f"{word!r} is unknown", f"pass one of {', '.join(words)}")
        return cls(durability == "relaxed", store_outage == "degrade")
