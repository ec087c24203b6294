"""Real reads on real sockets end when the watchdog breaks them, and no other connection is touched."""

from __future__ import annotations

import gc
import math
import queue
import socket
import ssl
import threading
import time
import weakref
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import httpx2
import pytest
import trustme

from resumable._watchdog import WATCHDOG, Watchdog
from tests.test_watchdog import HANG, SOON, Clock, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resumable._watchdog import Guard

EVENT = b'event: ping\ndata: {"type": "ping"}\n\n'
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
END = b"0\r\n\r\n"


def framed(body: bytes) -> bytes:
    """Put *body* in one chunk of the chunked transfer coding."""
    return b"%x\r\n%s\r\n" % (len(body), body)


class Upstream:
    """A server on loopback whose test says what goes out on a connection, and when."""

    def __init__(self, certificate: trustme.LeafCert | None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.listener.getsockname()[1]}"
        self.accepted = 0
        self.answers: queue.Queue[list[bytes | threading.Event]] = queue.Queue()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if certificate and self._tls:
            certificate.configure_cert(self._tls)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def will(self, *answer: bytes | threading.Event) -> None:
        """Answer the next request with these bytes; an event is set when everything before it is on its way."""
        self.answers.put(list(answer))

    def close(self) -> None:
        """Stop, after every connection has ended."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self._threads:
            thread.join(HANG)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.accepted += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with ExitStack() as stack, suppress(OSError):
            stack.enter_context(connection)
            if self._tls:
                connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
            while self._received_request(connection):
                for part in self.answers.get(timeout=HANG):
                    if isinstance(part, bytes):
                        connection.sendall(part)
                    else:
                        part.set()

    @staticmethod
    def _received_request(connection: socket.socket) -> bool:
        """Wait for a GET, or for the client's end of the connection, which is where a stall ends too."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            if not (received := connection.recv(65536)):
                return False
            request += received
        return True


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Sign what the TLS servers here show."""
    return trustme.CA()


@pytest.fixture(params=["plain", "tls"])
def upstream(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[Upstream]:
    """Serve on loopback, in the clear and encrypted."""
    server = Upstream(authority.issue_cert("127.0.0.1") if request.param == "tls" else None)
    yield server
    server.close()


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """Trust the servers here."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def client(upstream: Upstream, trust: ssl.SSLContext) -> Iterator[httpx2.Client]:
    """Connect with the client class that the SDK uses."""
    with anthropic.DefaultHttpxClient(base_url=upstream.url, verify=trust, timeout=HANG) as client:
        yield client


def opened(client: httpx2.Client) -> httpx2.Response:
    """Send a request and come back with its headers."""
    return client.send(client.build_request("GET", "/"), stream=True)


def watched(watchdog: Watchdog, response: httpx2.Response) -> Guard:
    """Guard a response whose socket must be reachable."""
    guard = watchdog.watch(response)
    assert guard is not None
    return guard


def test_blocked_sync_read_ends_at_the_deadline(upstream: Upstream, client: httpx2.Client) -> None:
    """A sync read that is blocked in the middle of a body ends at its deadline, and the pool serves the next one."""
    upstream.will(CHUNKED, framed(EVENT))
    upstream.will(CHUNKED, framed(EVENT), END)
    response = opened(client)
    guard = watched(WATCHDOG, response)
    body = response.iter_raw()
    assert next(body) == EVENT
    due = time.monotonic() + SOON
    guard.arm(due)
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        next(body)
    assert due <= time.monotonic() < due + HANG / 2
    assert guard.fired
    assert client.get("/").content == EVENT
    assert upstream.accepted == 2


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_blocked_async_read_ends_at_the_deadline(upstream: Upstream, trust: ssl.SSLContext) -> None:
    """An async read that is blocked in the middle of a body ends at its deadline, and the pool serves the next one."""
    upstream.will(CHUNKED, framed(EVENT))
    upstream.will(CHUNKED, framed(EVENT), END)
    async with anthropic.DefaultAsyncHttpxClient(base_url=upstream.url, verify=trust, timeout=HANG) as client:
        response = await client.send(client.build_request("GET", "/"), stream=True)
        guard = watched(WATCHDOG, response)
        body = response.aiter_raw()
        assert await anext(body) == EVENT
        due = time.monotonic() + SOON
        guard.arm(due)
        with anyio.fail_after(HANG / 2), pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            await anext(body)
        assert due <= time.monotonic()
        assert guard.fired
        assert (await client.get("/")).content == EVENT
    assert upstream.accepted == 2


def test_only_fired_tells_a_break_from_a_clean_end(upstream: Upstream, client: httpx2.Client) -> None:
    """A body that ends with its connection ends silently when broken, and `fired` is the sign."""
    upstream.will(UNTIL_CLOSE, EVENT)
    response = opened(client)
    guard = watched(WATCHDOG, response)
    body = response.iter_raw()
    assert next(body) == EVENT
    guard.arm(time.monotonic() + SOON)
    with suppress(httpx2.ReadError):  # TLS may notice that its own end is missing.
        assert list(body) == []
    assert guard.fired


def test_late_read_gets_what_had_arrived_and_no_ciphertext(upstream: Upstream, client: httpx2.Client) -> None:
    """A read that begins after the break yields the events that had arrived, decrypted, and nothing else."""
    arrived = threading.Event()
    upstream.will(UNTIL_CLOSE, EVENT, arrived)
    watchdog = Watchdog(clock := Clock())
    response = opened(client)
    guard = watched(watchdog, response)
    assert arrived.wait(HANG)
    guard.arm(1.0)
    clock.now = 1.0
    assert watchdog.look() == math.inf
    assert guard.fired
    received = b""
    with suppress(httpx2.ReadError):
        for part in response.iter_raw():
            received += part
    assert received in (b"", EVENT)
    quiet(watchdog)


def test_no_socket_of_its_own_means_no_guard(upstream: Upstream, client: httpx2.Client) -> None:
    """In-process transports, HTTP/2 and closed connections have no socket to break, and the answer says so."""
    in_process = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200)))
    assert WATCHDOG.watch(in_process.get("http://nowhere/")) is None
    upstream.will(CHUNKED, END)
    response = opened(client)
    shared = httpx2.Response(200, extensions={**response.extensions, "http_version": b"HTTP/2"})
    assert WATCHDOG.watch(shared) is None
    response.extensions["network_stream"].close()
    assert WATCHDOG.watch(response) is None
    response.close()
    assert WATCHDOG.watch(object()) is None


def test_pooled_connection_is_never_broken(upstream: Upstream, client: httpx2.Client) -> None:
    """A deadline that passes while the connection goes back to its pool leaves the connection alone."""
    upstream.will(CHUNKED, framed(EVENT), END)
    upstream.will(CHUNKED, framed(EVENT), END)
    watchdog = Watchdog(clock := Clock())
    response = opened(client)
    stream: Any = response.stream
    release = stream.close

    def release_then_look() -> None:
        release()
        clock.now = 2.0
        watchdog.look()

    stream.close = release_then_look
    guard = watched(watchdog, response)
    guard.arm(1.0)
    assert b"".join(response.iter_raw()) == EVENT
    assert not guard.fired
    assert client.get("/").content == EVENT
    assert upstream.accepted == 1
    quiet(watchdog)


def test_dropped_stream_leaks_nothing(upstream: Upstream, client: httpx2.Client) -> None:
    """A response dropped without a close takes its guard and the duplicated socket with it."""
    upstream.will(CHUNKED, framed(EVENT))
    response = opened(client)
    guard = watched(WATCHDOG, response)
    guard.arm(time.monotonic() + SOON)
    alive = weakref.ref(guard)
    duplicate = guard._break.args[0]  # type: ignore[attr-defined]
    assert duplicate.fileno() >= 0
    del guard, response
    gc.collect()
    assert alive() is None
    assert duplicate.fileno() == -1
