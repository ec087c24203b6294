"""The upstream over HTTP: exact cuts, connections kept and counted, closes noticed, nothing left behind."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import resource
import socket
import threading
import urllib.parse
from typing import Any

import anthropic
import anyio
import httpx2
import pytest

from resumable.testing import Drop, Reply, ScriptedUpstream, Slow, Split, Stall, Text
from tests.testing.turns import joined

KEY = {"x-api-key": "k"}


def payload(body, **changes):
    """Encode a request for a stream."""
    return json.dumps(body | {"stream": True} | changes).encode()


def raw_request(upstream, content, headers=b""):
    """Send a request over a socket of one's own."""
    host = urllib.parse.urlsplit(upstream.url)
    connected = socket.create_connection((host.hostname, host.port), timeout=30)
    head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\n" + headers
    connected.sendall(head + b"content-length: %d\r\n\r\n" % len(content) + content)
    return connected


def read_to_the_end(connected):
    """Read until the connection ends; give the bytes and the error, if it ended in one."""
    received = bytearray()
    with connected:
        try:
            while part := connected.recv(65536):
                received += part
        except ConnectionResetError as error:
            return bytes(received), error
    return bytes(received), None


def unchunked(received):
    """Take the body out of a response in chunked encoding, as far as it goes."""
    at = received.index(b"\r\n\r\n") + 4
    body = bytearray()
    while (end := received.find(b"\r\n", at)) > 0 and (size := int(received[at:end], 16)):
        body += received[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return bytes(body)


@pytest.mark.parametrize("at_byte", [0, 1, 333, 2000])
def test_a_reset_comes_after_exactly_so_many_bytes(body, at_byte):
    """Everything before the cut arrives, then a reset: no byte is lost to it."""
    with ScriptedUpstream("text", [None, Drop(at_byte=at_byte)], vary=False) as upstream:
        whole = upstream.exchange("POST", "/v1/messages", KEY, payload(body)).answer.body
        received, error = read_to_the_end(raw_request(upstream, payload(body)))
    assert isinstance(error, ConnectionResetError)
    # Ids differ between requests, but not in length.
    assert len(unchunked(received)) == at_byte
    assert unchunked(received)[:50] == whole[: min(at_byte, 50)]


def test_a_close_leaves_the_body_open(body):
    """FIN comes without the end of the chunked encoding."""
    with ScriptedUpstream("text", [Drop(after=9, how="fin")]) as upstream:
        received, error = read_to_the_end(raw_request(upstream, payload(body)))
    assert error is None
    assert not received.endswith(b"0\r\n\r\n")


def test_a_clean_end_closes_the_body(body):
    """A clean end is the end of the chunked encoding, and the connection goes on."""
    with ScriptedUpstream("text", [Drop(after=9, how="eof")]) as upstream:
        connected = raw_request(upstream, payload(body))
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += connected.recv(65536)
        connected.sendall(b"GET /v1/models HTTP/1.1\r\nx-api-key: k\r\nconnection: close\r\n\r\n")
        again, _ = read_to_the_end(connected)
        assert again.startswith(b"HTTP/1.1 200 OK")
        assert upstream.log.connections == 1


def test_each_frame_is_a_write_of_its_own(body):
    """The chunks of the encoding are the frames, or what a split makes of them."""
    sizes = []
    for fault in (None, Split(5)):
        with ScriptedUpstream("text", [fault]) as upstream:
            received, _ = read_to_the_end(raw_request(upstream, payload(body), b"connection: close\r\n"))
        head, _, rest = received.partition(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        first = rest.partition(b"\r\n")[0]
        sizes.append(int(first, 16))
    assert sizes[0] > 100
    assert sizes[1] == 5


def test_connections_are_reused_and_counted(body):
    """One client, many requests, one connection; it ends with the client."""
    with ScriptedUpstream("text") as upstream:
        with anthropic.Anthropic(base_url=upstream.url, api_key="k") as client:
            for _ in range(5):
                list(client.messages.create(**body, stream=True))
            assert (upstream.log.connections, upstream.log.open_connections) == (1, 1)
        upstream.log.wait_closed()


def test_connections_are_reused_in_process_too(process, body):
    """The in-process transport counts connections as a pool would open and reuse them."""
    upstream = ScriptedUpstream("text", [None, None, Drop(after=5), None])
    with process.client(upstream, {}) as client:
        for _ in range(2):
            list(client.messages.create(**body, stream=True))
        assert (upstream.log.connections, upstream.log.open_connections) == (1, 1)
        with pytest.raises(httpx2.ReadError):
            list(client.messages.create(**body, stream=True))
        assert (upstream.log.connections, upstream.log.open_connections) == (1, 0)
        stream = client.messages.create(**body, stream=True)
        assert (upstream.log.connections, upstream.log.open_connections) == (2, 1)
        stream.close()
        assert upstream.log.open_connections == 0
        assert upstream.log[-1].client_closed


def test_a_closed_stall_is_noticed(body):
    """The client's close ends the exchange, and the log says who closed."""
    with ScriptedUpstream("text", [Stall(after=9)]) as upstream:
        with anthropic.Anthropic(base_url=upstream.url, api_key="k") as client:
            stream = client.messages.create(**body, stream=True)
            next(stream)
            assert not upstream.log[0].done
            stream.close()
            upstream.log.wait_idle()
        recorded = upstream.log[0]
        assert (recorded.client_closed, recorded.whole, recorded.done) == (True, False, True)
        upstream.log.wait_closed()


def test_a_stall_can_ping_over_http(body):
    """Pings go on until the client has had enough."""
    with ScriptedUpstream("text", [Stall(after=2, pings=True, ping_every=0.001)], ping_every=0) as upstream:
        connected = raw_request(upstream, payload(body))
        received = b""
        while received.count(b"event: ping") < 3:
            received += connected.recv(65536)
        connected.close()
        upstream.log.wait_closed()
    assert upstream.log[0].client_closed


def test_a_stall_ends_by_itself(body):
    """After its time a stall closes the connection, also before the headers."""
    for fault in (Stall(after=2, seconds=0.001), Stall(phase="headers", seconds=0.001)):
        with ScriptedUpstream("text", [fault]) as upstream:
            _, error = read_to_the_end(raw_request(upstream, payload(body)))
        assert error is None


def test_a_slow_answer_arrives_whole(body):
    """Frames that take their time are the same frames."""
    with ScriptedUpstream("text", [Slow(0.0001)]) as upstream:
        received, _ = read_to_the_end(raw_request(upstream, payload(body), b"connection: close\r\n"))
    assert b"message_stop" in received
    assert upstream.log[0].whole


def test_a_reader_that_stops_reading_loses_nothing(body):
    """A reset waits for a slow reader: what was sent before it is read."""
    reply = Reply([Text("word " * 100_000)])
    with ScriptedUpstream(reply, [(Drop(phase="message_stop"), Split(100_000))]) as upstream:
        connected = raw_request(upstream, payload(body, max_tokens=10**7))
        upstream.log.wait_for(lambda log: len(log) == 1)
        received, error = read_to_the_end(connected)
        assert upstream.log[0].bytes_sent > 6_000_000
    assert isinstance(error, ConnectionResetError)
    assert unchunked(received).endswith(b'data: {"type":"message_stop"}\n\n')


def test_a_compressed_stream_is_gzip(body):
    """With gzip the body is compressed for a client that accepts it, and for no other."""
    with ScriptedUpstream("text", gzip=True) as upstream:
        headers = b"connection: close\r\naccept-encoding: gzip\r\n"
        zipped, _ = read_to_the_end(raw_request(upstream, payload(body), headers))
        straight, _ = read_to_the_end(raw_request(upstream, payload(body), b"connection: close\r\n"))
    assert b"content-encoding: gzip" in zipped
    assert gzip.decompress(unchunked(zipped)).endswith(b"\n\n")
    assert b"content-encoding" not in straight


def test_a_request_in_chunked_encoding_is_read(body):
    """A client may send its body in chunked encoding."""
    with ScriptedUpstream("text") as upstream:
        connection = http.client.HTTPConnection(upstream.url.removeprefix("http://"), timeout=30)
        connection.request("POST", "/v1/messages", iter([payload(body)]), KEY, encode_chunked=True)
        assert b"message_stop" in connection.getresponse().read()
        connection.close()


def test_a_request_sent_ahead_is_answered_next(body):
    """A request that arrives during an answer is no close, and is answered after it."""
    with ScriptedUpstream("text", [Slow(0.0001)]) as upstream:
        head = b"POST /v1/messages HTTP/1.1\r\nx-api-key: k\r\nconnection: close\r\n"
        ahead = head + b"content-length: %d\r\n\r\n" % len(payload(body)) + payload(body)
        connected = raw_request(upstream, payload(body))
        connected.sendall(ahead)
        received, error = read_to_the_end(connected)
    assert error is None
    assert received.count(b"event: message_stop") == 2
    assert [recorded.whole for recorded in upstream.log] == [True, True]


def test_many_at_once_async(body):
    """Concurrent requests of one client are answered on connections of their own."""

    async def ask(client, answers):
        answers.append((await client.messages.create(**body)).content)

    async def main(upstream):
        answers: list[Any] = []
        async with (
            anthropic.AsyncAnthropic(base_url=upstream.url, api_key="k") as client,
            anyio.create_task_group() as group,
        ):
            for _ in range(20):
                group.start_soon(ask, client, answers)
        return answers

    with ScriptedUpstream("text") as upstream:
        answers = anyio.run(main, upstream)
        upstream.log.wait_closed()
    assert {joined(content) for content in answers} == {upstream.expected_text(body, variant) for variant in range(20)}


def test_stopping_leaves_nothing_behind(body):
    """After the with there is no thread, no open connection and nobody who listens, even amid a stall."""
    before = set(threading.enumerate())
    with ScriptedUpstream("text", [Stall(after=2)]) as upstream:
        url = upstream.url
        connected = raw_request(upstream, payload(body))
        connected.recv(10)
    assert set(threading.enumerate()) == before
    assert upstream.log.open_connections == 0
    assert upstream.log[0].done
    with pytest.raises(RuntimeError, match="not started"):
        _ = upstream.url
    with (
        pytest.raises(anthropic.APIConnectionError) as caught,
        anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as client,
    ):
        client.messages.create(**body)
    assert isinstance(caught.value.__cause__, httpx2.ConnectError)
    connected.close()


def test_starting_twice_is_starting_once():
    """A second start and a second stop do nothing."""
    upstream = ScriptedUpstream()
    upstream.start()
    url = upstream.url
    upstream.start()
    assert upstream.url == url
    upstream.stop()
    upstream.stop()


def test_an_error_of_a_script_is_raised_where_the_upstream_ends(body):
    """What a script raises cannot be told to the client; it leaves the with."""

    def script(conversation):
        raise LookupError(conversation.last_user_text)

    def serve():
        with (
            ScriptedUpstream(script) as upstream,
            anthropic.Anthropic(base_url=upstream.url, api_key="k", max_retries=0) as client,
            pytest.raises(anthropic.APIConnectionError),
        ):
            client.messages.create(**body)

    with pytest.raises(LookupError, match="Tell me"):
        serve()


def test_an_error_of_a_script_is_raised_in_process(process, body):
    """In process it leaves the call itself."""
    with pytest.raises(anthropic.APIConnectionError) as caught:
        process.create(ScriptedUpstream(lambda _: Reply([Text(str(1 / 0))])), body)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_waiting_for_what_does_not_happen_ends(body):
    """A wait has an end, and its error says how things stand."""
    upstream = ScriptedUpstream("text")
    exchange = upstream.exchange("POST", "/v1/messages", KEY, payload(body))
    with pytest.raises(TimeoutError, match="1 requests, 1 in flight"):
        upstream.log.wait_idle(timeout=0.001)
    upstream.settle(exchange, whole=True)
    upstream.settle(exchange, whole=False)
    upstream.log.wait_idle()
    assert upstream.log[0].whole


# Reason: asyncio's loop cannot be finalised when it could not be made.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("spare", [0, 1])
def test_a_server_that_cannot_start_says_so(spare):
    """Without file descriptors left, for the socket or for the loop, starting raises; it does not wait for ever."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0) for _ in range(spare + 1)]
    upstream = ScriptedUpstream()
    for number in taken:
        os.close(number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1], hard))
    try:
        with pytest.raises(OSError, match="open files"):
            upstream.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    upstream.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = upstream.url
