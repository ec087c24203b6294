"""
What an upstream was asked and what became of it.

Tests read it to count requests, and to see that nothing is sent after a close and that no connection is left open.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ._replies import Json

Strategy: TypeAlias = Literal["original", "retry", "prefill", "user_turn", "pause", "other"]


@dataclass(slots=True)
class Recorded:
    """
    One request.

    Attributes:
        number: From 1 over all requests of the log.
        attempt: From 1 over the requests for a message; 0 for any other path.
        method: HTTP method.
        path: Path without the query.
        query: The query, as sent.
        headers: In lower case, with those that a platform carries in the body. They hold the caller's key: do not
            print them.
        body: The parsed body; ``None`` when it is no JSON object.
        platform: By which platform it came: ``anthropic``, ``bedrock`` or ``vertex``.
        strategy: What the upstream took the request for, also when it refused it.
        variant: Which wording of the reply it got.
        status: Status it was answered with; 0 when it got no response.
        message_id: Id of the message, if one was begun.
        bytes_sent: [bytes] Of the body.
        whole: Whether the complete answer was sent.
        client_closed: Whether the client closed before the answer's end.
        done: Whether the exchange is over.
    """

    number: int
    attempt: int
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Json | None
    platform: str = "anthropic"
    strategy: Strategy = "other"
    variant: int = 0
    status: int = 0
    message_id: str | None = None
    bytes_sent: int = 0
    whole: bool = False
    client_closed: bool = False
    done: bool = False

    def __repr__(self) -> str:
        return (
            f"<Recorded {self.number}: {self.method} {self.path} {self.strategy} {self.status}"
            f" {self.bytes_sent}B done={self.done}>"
        )


class RequestLog:
    """
    Every request of one upstream, in the order of arrival; safe to read from any thread.

    Attributes:
        connections: Connections opened so far.
        open_connections: Connections open now.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._recorded: list[Recorded] = []
        self._in_flight = 0
        self.connections: int = 0
        self.open_connections: int = 0

    def __len__(self) -> int:
        return len(self._recorded)

    def __getitem__(self, number: int) -> Recorded:
        return self._recorded[number]

    def __iter__(self) -> Iterator[Recorded]:
        return iter(tuple(self._recorded))

    @property
    def messages(self) -> list[Recorded]:
        """The requests for a message, in order: one for each attempt."""
        return [recorded for recorded in self if recorded.attempt]

    @property
    def strategies(self) -> list[Strategy]:
        """What each attempt was taken for."""
        return [recorded.strategy for recorded in self.messages]

    def add(self, recorded: Recorded) -> None:
        """
        Add a request that has arrived.

        Args:
            recorded: The request.
        """
        with self._changed:
            self._recorded.append(recorded)
            self._in_flight += 1
            self._changed.notify_all()

    def finish(self, recorded: Recorded) -> None:
        """
        Mark a request's exchange as over.

        Args:
            recorded: A request that was added before.
        """
        with self._changed:
            if not recorded.done:
                recorded.done = True
                self._in_flight -= 1
            self._changed.notify_all()

    def connected(self) -> None:
        """Count a new connection."""
        with self._changed:
            self.connections += 1
            self.open_connections += 1
            self._changed.notify_all()

    def disconnected(self) -> None:
        """Count a connection that has ended."""
        with self._changed:
            self.open_connections -= 1
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[RequestLog], bool], timeout: float = 10.0) -> None:
        """
        Block until something is true of this log.

        Args:
            condition: Called with this log, again after each change.
            timeout: [seconds] How long to wait at most, in real time.

        Raises:
            TimeoutError: It did not become true.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout):
                raise TimeoutError(repr(self))

    def wait_idle(self, timeout: float = 10.0) -> None:
        """
        Block until no exchange is going on; kept-alive connections may stay open.

        Args:
            timeout: [seconds] How long to wait at most, in real time.

        Raises:
            TimeoutError: An exchange is still going on.
        """
        self.wait_for(lambda _: self._in_flight == 0, timeout)  # Reason: its own

    def wait_closed(self, timeout: float = 10.0) -> None:
        """
        Block until no connection is open.

        Args:
            timeout: [seconds] How long to wait at most, in real time.

        Raises:
            TimeoutError: A connection is still open: something leaks.
        """
        self.wait_for(lambda log: log.open_connections == 0, timeout)

    def __repr__(self) -> str:
        return f"<RequestLog: {len(self)} requests, {self._in_flight} in flight, {self.open_connections} open>"
