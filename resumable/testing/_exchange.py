"""What an upstream and those who carry out its answers say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._answer import Answer
    from ._clock import ManualClock
    from ._log import Recorded, RequestLog
    from ._replies import Json


@dataclass(slots=True)
class Exchange:
    """
    One request and the answer it gets; made by the upstream, carried out and settled once by whoever carries it.

    Attributes:
        answer: What arrives.
        recorded: Its entry in the log.
        body: The request as sent, if it asked for a message.
        expanded: The same with a thread's history.
        message: The message that was begun.
    """

    answer: Answer
    recorded: Recorded
    body: Json | None = None
    expanded: Json | None = None
    message: Json | None = None


class Endpoint(Protocol):
    """
    What decides the answers.

    Attributes:
        log: What was asked so far.
        clock: The time that passes in process.
        gzip: Whether bodies are compressed for clients that accept it.
    """

    log: RequestLog
    clock: ManualClock
    gzip: bool

    def exchange(self, method: str, target: str, headers: Mapping[str, str], payload: bytes) -> Exchange:
        """Decide what a request gets."""
        ...

    def settle(self, exchange: Exchange, *, whole: bool, client_closed: bool = False) -> None:
        """Note how an exchange ended."""
