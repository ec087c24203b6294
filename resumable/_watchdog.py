"""
Break a read that is blocked in the middle of a response body, at an exact deadline, from another thread.

It never decides when a stream is late (the core owns deadlines) and never touches a connection that is not ours alone.

One daemon thread looks at every guard, sleeps until the earliest deadline it saw, and looks again. It starts with the
first deadline and ends when it sees no guard. Why a break can never hit a connection that another stream uses:

* It shuts down a *duplicate* of the socket that is the guard's own. The original may be closed at any moment and its
  number taken by another connection; the duplicate always means the connection it was made from. (It also avoids
  ``SSLSocket.shutdown``, which forgets the TLS state: whoever reads on would get ciphertext.)
* ``cancel`` and a break exclude each other, and closing the response's stream cancels first. That close is the only
  way a connection gets back to its pool. The lock is re-entrant because a finalizer may close a stream at any line.

Source: docs/decisions/0002-breaking-a-blocked-read.md
"""

from __future__ import annotations

import functools
import logging
import math
import os
import socket
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("resumable.watchdog")

#: [s] Until it looks again where nobody reads. A busy caller is seen between two reads nearly always: a thread that
#: ended there, and was started by the next read, would cost more than all the rest of recovery.
_PATROL: Final = 5.0


class Guard:
    """
    A deadline on one stream's reads; made by a `Watchdog`, which holds it weakly. Cancels when used as a context.

    Attributes:
        deadline: [seconds on the watchdog's clock] When a read is too late; infinite while nobody reads. May be set
            to a later time at will, and must be `arm`ed with an earlier one.
        fired: Whether the read was broken. The only sure sign: the reader gets one of several exceptions, or a clean
            end, depending on transport, TLS and framing.
    """

    __slots__ = ("__weakref__", "_break", "_lock", "_ref", "_release", "_watchdog", "deadline", "fired")

    def __init__(self, watchdog: Watchdog, break_: Callable[[], None], release: Callable[[], None]) -> None:
        self.fired: bool = False
        self._watchdog: Final = watchdog
        self._break: Final = break_
        self._release: Final = weakref.finalize(self, release)  # Alive until the guard is cancelled or dropped.
        self.deadline: float = math.inf
        self._lock: threading.RLock = threading.RLock()
        self._ref: Final = watchdog.hold(self)

    def arm(self, deadline: float | None) -> None:
        """
        Set when a read is too late; cheap enough for every event, but no barrier: a break may be under way.

        Args:
            deadline: [seconds on the watchdog's clock] None while nobody reads: a caller who pauses between events
                is not a silent upstream.
        """
        self.deadline = due = math.inf if deadline is None else deadline
        if due < self._watchdog.next_look:  # Read after the store; Watchdog.look does the reverse, so one side notices.
            self._watchdog.wake(self._ref, due)

    def cancel(self) -> None:
        """Stop watching: once this has returned nothing is broken any more. Any thread, any number of times."""
        with self._lock:  # A break under way finishes first.
            self._watchdog.guards.discard(self._ref)
            self._release()

    def look(self, now: float) -> float:
        """Break the read if it is late; give the deadline that remains, infinite if none."""
        with self._lock:
            if self.fired or not self._release.alive:
                return math.inf
            if self.deadline > now:
                return self.deadline
            self.fired = True
            self._watchdog.guards.discard(self._ref)  # There is nothing left to watch.
            try:
                self._break()
            except Exception:  # noqa: BLE001  Reason: one stream's trouble must not leave the others unwatched.
                _log.exception("resumable.break_failed")
        return math.inf

    def disown(self) -> None:
        """Let go in a forked child: the connection is the parent's, and the lock's holder stayed there."""
        self._lock = threading.RLock()
        self.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cancel()


class Watchdog:
    """
    Watches any number of streams, of both colours, with at most one thread; `WATCHDOG` serves the whole process.

    Attributes:
        guards: The live guards, weakly.
        next_look: [seconds on the clock *now*] When it will look at every guard again; infinite when it will not.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.guards: Final[set[weakref.ref[Guard]]] = set()
        self.next_look: float = math.inf
        self._now: Final = now
        self._wakeup: threading.Condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, response: object) -> Guard | None:
        """
        Guard the body of an httpx or httpx2 response; closing the response's stream cancels the guard.

        Returns:
            The guard, not yet armed; None where no socket of its own is reachable (in-process transports, aiohttp,
            HTTP/2): there only the transport's read timeout ends a blocked read.
        """
        own = _duplicate(response)
        if own is None:
            return None
        guard = self.guard(functools.partial(_shut_down, own), own.close)
        stream: Any = getattr(response, "stream")  # noqa: B009  Reason: of whichever httpx the SDK speaks.
        for name in ("close", "aclose"):
            if close := getattr(stream, name, None):
                setattr(stream, name, functools.partial(_cancel_then, guard, close))
        return guard

    def guard(self, break_: Callable[[], None], release: Callable[[], None] = lambda: None) -> Guard:
        """Guard any blocking call: *break_* ends it, at most once, without blocking; *release* runs at the end."""
        return Guard(self, break_, release)

    def look(self) -> float:
        """Break every read that is late; give the earliest deadline that remains, infinite if none."""
        # Invariant: stored before any deadline is read, so that an arm() this look misses will wake us.
        self.next_look = math.inf
        now = self._now()
        return min((guard.look(now) for ref in tuple(self.guards) if (guard := ref())), default=math.inf)

    def hold(self, guard: Guard) -> weakref.ref[Guard]:
        """Hold *guard* weakly, until it is dropped or cancelled."""
        ref = weakref.ref(guard, self.guards.discard)
        self.guards.add(ref)
        return ref

    def wake(self, ref: weakref.ref[Guard], due: float) -> None:
        """Look at *due* at the latest, if *ref* is still watched."""
        with self._wakeup:
            if ref not in self.guards:
                return
            self.next_look = min(self.next_look, due)
            if self._thread is not None:
                self._wakeup.notify()
                return
            thread = threading.Thread(target=self._run, name="resumable-watchdog", daemon=True)
            with suppress(RuntimeError):  # No more threads, or the interpreter is ending; the read timeout remains.
                thread.start()
                self._thread = thread

    def restart(self) -> None:
        """Start afresh in a forked child: threads and lock holders stayed behind, connections are the parent's."""
        self._wakeup = threading.Condition()
        self._thread = None
        self.next_look = math.inf
        for ref in tuple(self.guards):
            if guard := ref():
                guard.disown()

    def _run(self) -> None:
        while True:
            due = self.look()
            with self._wakeup:
                if not self.guards:
                    self.next_look, self._thread = math.inf, None
                    return
                if due == math.inf:
                    due = self._now() + _PATROL
                self.next_look = due = min(due, self.next_look)
                self._wakeup.wait(min(max(due - self._now(), 0.0), threading.TIMEOUT_MAX))


def _duplicate(response: object) -> socket.socket | None:
    """Give a socket of our own on the connection that carries *response* and nothing else, if there is one."""
    extensions: Any = getattr(response, "extensions", {})
    network: Any = extensions.get("network_stream")
    if network is None or extensions.get("http_version") == b"HTTP/2":
        return None
    original: Any = network.get_extra_info("socket")
    try:  # By number: what asyncio, uvloop and trio hand out are no sockets, but they have these three.
        return socket.fromfd(original.fileno(), original.family, original.type)
    except (AttributeError, OSError, ValueError):  # None, or closed, or this process is out of descriptors.
        return None


def _shut_down(own: socket.socket) -> None:
    with suppress(OSError):  # The peer was faster.
        own.shutdown(socket.SHUT_RDWR)


def _cancel_then(guard: Guard, close: Callable[[], object]) -> object:
    guard.cancel()
    return close()  # An awaitable, where the stream is asynchronous.


WATCHDOG: Final = Watchdog()
if hasattr(os, "register_at_fork"):  # Not on Windows, which cannot fork.
    os.register_at_fork(after_in_child=WATCHDOG.restart)
