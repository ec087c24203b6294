"""
Carry out answers over HTTP/1.1 on the loopback interface.

One thread runs one event loop; every connection is a task in it. What is sent before a reset is acknowledged by the
client's machine first, so that a cut at a byte is a cut at that byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._answer import Answer
    from ._exchange import Endpoint, Exchange

_MAX_HEAD = 1024 * 1024
_LINGER = struct.pack("ii", 1, 0)
_BACKLOG = 512
_GZIP_WINDOW = 31
_REASONS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests", 500: "Internal Server Error"}


if sys.platform == "win32":  # pragma: no cover  # Reason: there a reset may overtake what was sent before it

    def _unacknowledged(connected: socket.socket) -> int:
        del connected
        return 0

else:
    import fcntl
    import termios

    def _unacknowledged(connected: socket.socket) -> int:
        """Count the bytes the other side's machine has not taken yet."""
        answer = fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        return int(struct.unpack("i", answer)[0])


class Server:
    """
    An HTTP server for one upstream; started once, stopped once.

    Attributes:
        url: Address, known once it has started.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-upstream", daemon=True)
        self._listening: socket.socket
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self.url = ""

    def start(self) -> None:
        """
        Start to listen; returns when connections are accepted.

        Raises:
            OSError: There can be no server: no loopback interface, no free port or file descriptor.
        """
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._thread.start()
        self._ready.wait()
        if not self.url:
            self._listening.close()
            self._thread.join()
            raise self._failures.pop()

    def stop(self) -> None:
        """
        Close every connection and wait for the thread to end.

        Raises:
            Exception: The first error of a script, a continuer or a fault plan, which no client could have shown.
        """
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        if self._failures:
            raise self._failures[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:  # noqa: BLE001  # Reason: whatever it is, it is raised by `start` or `stop`
            self._failures.append(error)
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        listener = await asyncio.start_server(self._accept, sock=self._listening, limit=_MAX_HEAD, backlog=_BACKLOG)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._ready.set()
        await self._stopping.wait()
        listener.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(_Connection(self._endpoint, reader, writer).serve())
        self._connections.add(connection)
        connection.add_done_callback(self._over)

    def _over(self, connection: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        failure = None if connection.cancelled() else connection.exception()
        if failure is not None:
            self._failures.append(failure)


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    target: str
    headers: dict[str, str]
    payload: bytes

    @property
    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


class _Connection:
    """One client's connection, from its first request to its end."""

    def __init__(self, endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._endpoint = endpoint
        self._reader = reader
        self._writer = writer
        self._ahead = b""
        # Every write then waits until the kernel has taken it: what counts as sent has left this process.
        writer.transport.set_write_buffer_limits(high=0)

    async def serve(self) -> None:
        """Answer requests until either side ends the connection."""
        self._endpoint.log.connected()
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while (asked := await self._read()) is not None and await self._answer(asked):
                    pass
        finally:
            self._writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self._writer.wait_closed()
            self._endpoint.log.disconnected()

    async def _read(self) -> _Asked | None:
        """Read one request; ``None`` when the client has no more."""
        ahead, self._ahead = self._ahead, b""
        head = ahead + await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = [line.split(":", 1) for line in lines if ":" in line]
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            payload = await self._read_chunked()
        else:
            payload = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return _Asked(method, target, headers, payload)

    async def _read_chunked(self) -> bytes:
        payload = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            payload += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readuntil(b"\r\n")
        return payload

    async def _answer(self, asked: _Asked) -> bool:
        """Answer one request; tell whether the connection can be used for another."""
        exchange = self._endpoint.exchange(asked.method, asked.target, asked.headers, asked.payload)
        sending = asyncio.create_task(self._send(exchange, asked))
        closing = asyncio.create_task(self._reader.read(1))
        stopped = False
        try:
            await asyncio.wait({sending, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and _received(closing):
                # Not a close: the next request was sent ahead of this answer's end.
                await asyncio.wait({sending})
        except asyncio.CancelledError:
            stopped = True
            raise
        finally:
            await _end(sending)
            await _end(closing)
            over = not sending.cancelled() and sending.exception() is None
            sent = over and sending.result()
            self._endpoint.settle(exchange, whole=sent, client_closed=not (over or stopped))
        self._ahead = _received(closing)
        return sent and asked.keeps_alive and exchange.answer.ending.how == "eof"

    async def _send(self, exchange: Exchange, asked: _Asked) -> bool:
        """Send an answer as far as it goes; tell whether all bytes of it were sent."""
        answer = exchange.answer
        ending = answer.ending
        if not ending.early:
            zipped = self._endpoint.gzip and "gzip" in asked.headers.get("accept-encoding", "")
            body = _Body(self._writer, answer, zipped=zipped, silent=asked.method == "HEAD")
            await body.open()
            for part in answer.frames:
                if answer.pause:
                    await asyncio.sleep(answer.pause)
                await body.write(part.payload)
                exchange.recorded.bytes_sent += len(part.payload)
            if ending.how == "eof":
                await body.close(whole=answer.whole)
                return True
            if ending.how == "stall":
                await self._stall(body, answer)
        elif ending.how == "stall":
            await asyncio.sleep(ending.seconds)
        if ending.how in {"rst", "refused"}:
            await self._reset()
        return False

    async def _stall(self, body: _Body, answer: Answer) -> None:
        ending = answer.ending
        left = ending.seconds
        while left > 0:
            pause = min(left, ending.ping_every) if ending.pings else left
            await asyncio.sleep(pause)
            left -= pause
            if ending.pings:
                await body.write(answer.ping)

    async def _reset(self) -> None:
        connected: socket.socket = self._writer.get_extra_info("socket")
        # The kernel tells nobody when its queue is empty.
        while _unacknowledged(connected):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._writer.transport.abort()


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task unless it is over, and wait for it without raising what it raised."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _received(reading: asyncio.Task[bytes]) -> bytes:
    """Give what was read; nothing if the other side has closed, or nothing came."""
    if not reading.done() or reading.cancelled() or reading.exception() is not None:
        return b""
    return reading.result()


class _Body:
    """The body of one response, framed and perhaps compressed."""

    def __init__(self, writer: asyncio.StreamWriter, answer: Answer, *, zipped: bool, silent: bool) -> None:
        self._writer = writer
        self._answer = answer
        self._silent = silent
        # A body of announced length is short: it goes out as it is.
        self._gzip = zlib.compressobj(wbits=_GZIP_WINDOW) if zipped and answer.length is None else None

    async def open(self) -> None:
        """Send the head of the response."""
        answer = self._answer
        lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        if self._gzip is not None:
            lines.append("content-encoding: gzip")
        framing = "transfer-encoding: chunked" if answer.length is None else f"content-length: {answer.length}"
        self._writer.write("\r\n".join([*lines, framing, "", ""]).encode("latin-1"))
        await self._writer.drain()

    async def write(self, payload: bytes) -> None:
        """Send some bytes of the body in a write of their own."""
        if self._gzip is not None:
            payload = self._gzip.compress(payload) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._raw(payload)

    async def close(self, *, whole: bool) -> None:
        """End the body as HTTP wants it; a body that is not whole stays without the end of its compression."""
        if self._gzip is not None and whole:
            await self._raw(self._gzip.flush(zlib.Z_FINISH))
        if self._answer.length is None and not self._silent:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def _raw(self, payload: bytes) -> None:
        if self._silent or not payload:
            return
        if self._answer.length is None:
            payload = b"%x\r\n%b\r\n" % (len(payload), payload)
        self._writer.write(payload)
        await self._writer.drain()
