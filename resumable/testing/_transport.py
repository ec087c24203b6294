"""
Carry out answers in process, for the sync and the async HTTP client of the installed SDK.

No socket is opened and no real time passes: silence advances the upstream's clock by the caller's read timeout and
then raises what the HTTP client would raise.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from resumable._sdk import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ._answer import Answer
    from ._exchange import Endpoint, Exchange

_GZIP_WINDOW = 31
# The sentences of the real client.
_CLOSED = "[Errno 9] Bad file descriptor"
_SILENT = "timed out"


class ScriptedTransport(httpx.BaseTransport):
    """A transport for `httpx.Client`; made by `ScriptedUpstream.transport`, safe to share between threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._pool = _Pool(endpoint)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        delivery = self._pool.open(request, request.read())
        return delivery.response(_SyncBody(delivery))

    def close(self) -> None:
        """Forget the connections that are kept alive."""
        self._pool.close()


class AsyncScriptedTransport(httpx.AsyncBaseTransport):
    """A transport for `httpx.AsyncClient`; made by `ScriptedUpstream.async_transport`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._pool = _Pool(endpoint)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        delivery = self._pool.open(request, await request.aread())
        return delivery.response(_AsyncBody(delivery))

    async def aclose(self) -> None:
        """Forget the connections that are kept alive."""
        self._pool.close()


class _Pool:
    """Counts connections as a real pool would open, reuse and close them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._idle = 0

    def open(self, request: httpx.Request, payload: bytes) -> _Delivery:
        """Send a request; raises what the client would if no response comes."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        target = request.url.raw_path.decode("ascii")
        exchange = self.endpoint.exchange(request.method, target, headers, payload)
        if self._idle:
            self._idle -= 1
        else:
            self.endpoint.log.connected()
        timeout = request.extensions.get("timeout", {}).get("read")
        delivery = _Delivery(self, exchange, request, timeout)
        if exchange.answer.ending.early:
            failure = delivery.failure()
            delivery.end(failed=not isinstance(failure, httpx.ReadTimeout))
            raise failure
        return delivery

    def release(self, *, reusable: bool) -> None:
        """Take a connection back."""
        if reusable:
            self._idle += 1
        else:
            self.endpoint.log.disconnected()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle -= 1
            self.endpoint.log.disconnected()


class _Delivery:
    """One answer on its way to the client; both colours read it through `parts`."""

    def __init__(self, pool: _Pool, exchange: Exchange, request: httpx.Request, timeout: float | None) -> None:
        self._pool = pool
        self._exchange = exchange
        self._request = request
        self._timeout = timeout
        self._ended = False
        self._left = len(exchange.answer.frames)
        zipped = pool.endpoint.gzip and "gzip" in request.headers.get("accept-encoding", "")
        self._gzip = zlib.compressobj(wbits=_GZIP_WINDOW) if zipped and exchange.answer.length is None else None

    @property
    def answer(self) -> Answer:
        return self._exchange.answer

    def response(self, body: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
        answer = self.answer
        headers = list(answer.headers)
        if self._gzip is not None:
            headers.append(("content-encoding", "gzip"))
        if answer.length is None:
            headers.append(("transfer-encoding", "chunked"))
        else:
            headers.append(("content-length", str(answer.length)))
        return httpx.Response(answer.status, headers=headers, stream=body, request=self._request)

    def parts(self) -> Iterator[bytes]:
        """Give the body piece by piece, then end as the answer says."""
        answer = self.answer
        for part in answer.frames:
            if self._ended:
                raise httpx.ReadError(_CLOSED, request=self._request)
            self._wait(answer.pause)
            # Counted before it is given: a reader that stops here has had it.
            self._exchange.recorded.bytes_sent += len(part.payload)
            self._left -= 1
            yield self._packed(part.payload)
        if answer.ending.how == "eof":
            if self._gzip is not None and answer.whole:
                yield self._gzip.flush(zlib.Z_FINISH)
            self.end(reusable=True)
            return
        if answer.ending.how == "stall" and answer.ending.pings:
            left = answer.ending.seconds
            while left > 0 and not self._ended:
                self._wait(answer.ending.ping_every)
                left -= answer.ending.ping_every
                yield self._packed(answer.ping)
        failure = self.failure()
        # Who times out is the one who closes.
        self.end(failed=not isinstance(failure, httpx.ReadTimeout))
        raise failure

    def _packed(self, payload: bytes) -> bytes:
        if self._gzip is None:
            return payload
        return self._gzip.compress(payload) + self._gzip.flush(zlib.Z_SYNC_FLUSH)

    def _wait(self, seconds: float) -> None:
        if not seconds:
            return
        clock = self._pool.endpoint.clock
        if self._timeout is not None and seconds > self._timeout:
            clock.advance(self._timeout)
            self.end()
            raise httpx.ReadTimeout(_SILENT, request=self._request)
        clock.advance(seconds)

    def failure(self) -> httpx.TransportError:
        """Say what the client sees of the answer's ending."""
        ending = self.answer.ending
        if ending.how == "stall" and not ending.pings:
            limit = ending.seconds if self._timeout is None else min(self._timeout, ending.seconds)
            self._pool.endpoint.clock.advance(limit)
            if limit < ending.seconds or self._timeout == limit:
                return httpx.ReadTimeout(_SILENT, request=self._request)
        if ending.how == "refused":
            return httpx.ConnectError("[Errno 111] Connection refused", request=self._request)
        if ending.how == "rst":
            return httpx.ReadError("[Errno 104] Connection reset by peer", request=self._request)
        text = (
            "Server disconnected without sending a response."
            if ending.early
            else "peer closed connection without sending complete message body (incomplete chunked read)"
        )
        return httpx.RemoteProtocolError(text, request=self._request)

    def end(self, *, reusable: bool = False, failed: bool = False) -> None:
        """Give the connection back, once; closing before its end, or a failure, makes it useless."""
        if self._ended:
            return
        self._ended = True
        sent = not self._left and self.answer.ending.how == "eof"
        self._pool.endpoint.settle(self._exchange, whole=sent, client_closed=not (sent or failed))
        self._pool.release(reusable=reusable)


class _SyncBody(httpx.SyncByteStream):
    def __init__(self, delivery: _Delivery) -> None:
        self._delivery = delivery

    def __iter__(self) -> Iterator[bytes]:
        return self._delivery.parts()

    def close(self) -> None:
        self._delivery.end()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, delivery: _Delivery) -> None:
        self._delivery = delivery

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._delivery.parts():
            yield part

    async def aclose(self) -> None:
        self._delivery.end()
