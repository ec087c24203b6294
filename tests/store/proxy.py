"""
A TCP proxy on loopback that loses what a network loses: replies after the command ran, requests, time, everything.

It listens on TCP and forwards to a server's unix socket. Each piece a client sends is judged by `rule`;
a client library sends one command, or one pipeline, in one piece unless it is large.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections import Counter
from contextlib import ExitStack, suppress
from enum import Enum
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

    from tests.store.servers import Server

PIECE = 1 << 16  # [bytes] read at once


class Fate(Enum):
    """What becomes of one piece a client sent."""

    PASS = "pass"
    """It arrives, and so does the reply."""
    LOSE_REPLY = "lose_reply"
    """It arrives and is executed; the reply is thrown away and the connection cut."""
    CUT = "cut"
    """It does not arrive; the connection is cut."""
    SWALLOW = "swallow"
    """It does not arrive; the connection stays open and silent for ever."""


def always_pass(piece: bytes) -> Fate:
    """Let everything by."""
    del piece
    return Fate.PASS


class Proxy:
    """
    One listening port in front of one unix socket; every connection has a thread.

    Attributes:
        rule: Judges each piece a client sends; replace it at any time.
        delay: [s] Waited before each reply is handed on.
        is_abrupt: Whether a cut is a reset (RST) and not an end (FIN).
        fates: How many pieces met which fate.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.rule: Callable[[bytes], Fate] = always_pass
        self.delay = 0.0
        self.is_abrupt = False
        self.fates: Counter[Fate] = Counter()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._spawn(self._accept, self._listener)

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def lose_reply(self, containing: bytes = b"", times: int = 1) -> None:
        """Let the next *times* pieces with *containing* be executed, lose their replies, then pass again."""
        self.rule = self._for(Fate.LOSE_REPLY, containing, times)

    def cut(self, containing: bytes = b"", times: int = 1) -> None:
        """Cut the connection before the next *times* pieces with *containing* arrive, then pass again."""
        self.rule = self._for(Fate.CUT, containing, times)

    def blackhole(self) -> None:
        """Swallow everything from now on; connections stay open."""
        self.rule = lambda _: Fate.SWALLOW

    def heal(self) -> None:
        """Pass everything again and without delay; a connection that was swallowed stays silent."""
        self.rule, self.delay = always_pass, 0.0

    def refuse(self) -> None:
        """Cut every connection and refuse new ones, as a server that is gone."""
        # Shut before close: a thread blocked in accept() would keep the port open, and alive.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def accept(self) -> None:
        """Listen on the same port again after `refuse`."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._spawn(self._accept, self._listener)

    def cut_all(self) -> None:
        """Cut every connection that is open now."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            self._end(connection)

    def close(self) -> None:
        """Cut everything and wait for the threads."""
        self._closing.set()
        self.refuse()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a thread of the proxy hangs"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _for(self, fate: Fate, containing: bytes, times: int) -> Callable[[bytes], Fate]:
        left = [fate] * times

        def rule(piece: bytes) -> Fate:
            with self._lock:
                return left.pop() if left and containing in piece else Fate.PASS

        return rule

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.add(client)
            if self._closing.is_set():
                self._end(client)
            self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.connect(str(self.target))
                self._relay(client, server)
            except OSError:
                pass  # either side went; so does the other
            finally:
                with self._lock:
                    self._connections.discard(client)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        fate = Fate.PASS
        sides = {client.fileno(): client, server.fileno(): server}
        poll = select.poll()  # select() knows 1024 files; a Cluster's clients have more.
        for number in sides:
            poll.register(number, select.POLLIN)
        while True:
            for side in [sides[number] for number, _ in poll.poll()]:
                piece = side.recv(PIECE)
                if piece and side is client:
                    # The rest of a large command shares the fate of its first piece.
                    fate = fate if fate is not Fate.PASS else self._judge(piece)
                    if fate in {Fate.PASS, Fate.LOSE_REPLY}:
                        server.sendall(piece)
                elif piece and fate is Fate.PASS:
                    self._closing.wait(self.delay)
                    client.sendall(piece)
                if not piece or fate is Fate.CUT or (fate is Fate.LOSE_REPLY and side is server):
                    self._end(client)
                    return

    def _judge(self, piece: bytes) -> Fate:
        fate = self.rule(piece)
        self.fates[fate] += 1
        return fate

    def _end(self, client: socket.socket) -> None:
        with suppress(OSError):
            if self.is_abrupt:
                # Closed with this set, it is reset; shut for reading only, or an end would go out before.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.shutdown(socket.SHUT_RD if self.is_abrupt else socket.SHUT_RDWR)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy in front of the shared server."""
    with Proxy(server.socket) as proxy:
        yield proxy


@pytest.fixture
def start_proxy() -> Iterator[Callable[[Server], Proxy]]:
    """Start proxies in front of servers of the test's own."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(Proxy(server.socket))
