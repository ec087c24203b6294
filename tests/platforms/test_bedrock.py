"""What only Bedrock has: binary frames, exceptions of Amazon's inside them, and a signature for every request."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

import resumable
from resumable import RetriesExhaustedError
from resumable._core.aws_stream import EventStreamDecoder, encode_message
from resumable._sdk import httpx
from resumable.testing import Answer, Drop, ErrorEvent, Fault, Reject, ScriptedUpstream
from resumable.testing._frames import Frame
from tests.platforms.conftest import AWS_KEYS, PlatformCaller

if TYPE_CHECKING:
    from collections.abc import Iterator

auth = pytest.importorskip("botocore.auth", reason="anthropic[bedrock] brings it")
awsrequest = pytest.importorskip("botocore.awsrequest")
credentials = pytest.importorskip("botocore.credentials")

SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NAMES = (
    "internalServerException",
    "modelStreamErrorException",
    "modelTimeoutException",
    "serviceUnavailableException",
    "throttlingException",
)


@dataclass(frozen=True, slots=True)
class Flip(Fault):
    """A byte of a frame changes on its way."""

    frame: int
    at: int

    def apply(self, answer: Answer) -> Answer:
        """Damage the frame."""
        part = answer.frames[self.frame]
        damaged = bytearray(part.payload)
        damaged[self.at] ^= 1
        frames = (*answer.frames[: self.frame], Frame(bytes(damaged), part.phase), *answer.frames[self.frame + 1 :])
        return replace(answer, frames=frames, whole=False)


@dataclass(frozen=True, slots=True)
class Odd(Fault):
    """A message of another kind between two events."""

    message: bytes

    def apply(self, answer: Answer) -> Answer:
        """Put it in."""
        return replace(answer, frames=(*answer.frames[:9], Frame(self.message), *answer.frames[9:]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("after", [0, 9])
def test_exceptions_in_the_stream_are_recovered(bedrock: PlatformCaller, body, name: str, after: int):
    """Each of Amazon's names has its row, before the first event and after some."""
    upstream = ScriptedUpstream("text", [ErrorEvent(name, after=after)], vary=False)
    assert bedrock.text(upstream, body) == upstream.expected_text(body)
    attempt = resumable.report(bedrock.stream).attempts[0]
    assert f"({name})" in str(attempt.failure)
    assert attempt.request_id is not None


def test_the_wait_is_that_of_the_name(bedrock: PlatformCaller, body):
    """Throttling waits like a rate limit, a model's timeout does not wait at all."""
    faults = [ErrorEvent("throttlingException", after=9), ErrorEvent("modelTimeoutException", after=9)]
    upstream = ScriptedUpstream("text", faults)
    assert bedrock.text(upstream, body) == upstream.expected_text(body)
    assert upstream.clock.waits == [5.0]


def test_a_terminal_exception_is_the_sdk_s_own_when_it_comes_first(bedrock: PlatformCaller, body):
    """Nothing delivered: the caller gets what a bare client raises, with Amazon's name as its type."""
    plan = [ErrorEvent("validationException", after=0, message="No such tool.")]
    bare = bedrock.error(ScriptedUpstream("text", plan), body, bare=True)
    upstream = ScriptedUpstream("text", plan)
    error = bedrock.error(upstream, body)
    assert (type(error), error.args) == (type(bare), bare.args)
    assert "validationException" in str(error)
    assert len(upstream.log) == 1


def test_a_terminal_exception_after_some_text_is_of_both(bedrock: PlatformCaller, body):
    """Something delivered: the error carries it, and is the SDK's class for that name."""
    upstream = ScriptedUpstream("text", [Drop(after=9), Reject(403)])
    error = bedrock.error(upstream, body)
    assert isinstance(error, RetriesExhaustedError)
    assert isinstance(error, anthropic.PermissionDeniedError)
    assert "AccessDeniedException" in str(error)


@pytest.mark.parametrize("at", [0, 5, 9, 20, -30, -1])
def test_damage_is_noticed_and_recovered(bedrock: PlatformCaller, body, at: int):
    """A frame whose checksum is wrong ends the attempt before anything of it is delivered."""
    upstream = ScriptedUpstream("text", [Flip(9, at)], vary=False)
    assert bedrock.text(upstream, body) == upstream.expected_text(body)
    assert "checksum" in str(resumable.report(bedrock.stream).attempts[0].failure)


@pytest.mark.parametrize("how", ["rst", "fin", "eof"])
def test_a_cut_anywhere_in_a_frame_is_recovered(bedrock: PlatformCaller, body, how: Any):
    """Prelude, headers, payload and checksum of a frame: no cut in any of them loses or repeats a letter."""
    for at_byte in range(1500, 1760, 26):
        upstream = ScriptedUpstream("text", [Drop(at_byte=at_byte, how=how)], vary=False)
        assert bedrock.text(upstream, body) == upstream.expected_text(body)


@pytest.mark.parametrize(
    "message",
    [
        encode_message({":message-type": "event", ":event-type": "initial-response"}, b"{}"),
        encode_message({":message-type": "event", ":event-type": "chunk"}, b"{}"),
    ],
)
def test_messages_of_other_kinds_are_passed_over(bedrock: PlatformCaller, body, message: bytes):
    """What the SDK's decoder skips breaks nothing."""
    upstream = ScriptedUpstream("text", [Odd(message)])
    assert bedrock.text(upstream, body) == upstream.expected_text(body)
    assert len(upstream.log) == 1


def test_the_caller_gets_binary(body):
    """Whoever reads the body itself gets the platform's framing, also across a seam; and the content type says so."""
    upstream = ScriptedUpstream("text", [Drop(after=9)])
    client = PlatformCaller("Bedrock", "sync").client(upstream)
    with client, client.messages.with_streaming_response.create(**body, stream=True) as response:
        assert response.headers["content-type"] == "application/vnd.amazon.eventstream"
        raw = b"".join(response.iter_bytes())
    text = EventStreamDecoder().feed(raw).decode()
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    assert [event["type"] for event in events].count("message_stop") == 1
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas) == upstream.expected_text(body)


def test_models_are_known_by_bedrock_s_names(bedrock: PlatformCaller, body):
    """A model that takes a prefill gets one, whatever region and version surround its name."""
    upstream = ScriptedUpstream("text", [Drop(after=9)], prefill=lambda model: "-4-5-" in model)
    asked = body | {"model": SONNET}
    assert bedrock.text(upstream, asked) == upstream.expected_text(asked)
    assert upstream.log.strategies == ["original", "prefill"]
    assert [(request.body or {})["model"] for request in upstream.log] == [SONNET, SONNET]


def test_a_refused_prefill_falls_back(bedrock: PlatformCaller, body):
    """Amazon's 400 says so outside the API's JSON, and is understood all the same."""
    upstream = ScriptedUpstream("text", [Drop(after=9)], prefill=lambda _: False)
    asked = body | {"model": SONNET}
    assert bedrock.text(upstream, asked) == upstream.expected_text(asked)
    assert [attempt.strategy.value for attempt in resumable.report(bedrock.stream).attempts] == [
        "original",
        "prefill",
        "user_turn",
    ]
    assert upstream.clock.waits == []


class Recorder(httpx.BaseTransport):
    """Keeps every request as it was sent."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._inner = upstream.transport()
        self.requests: list[Any] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Keep it and pass it on."""
        self.requests.append(request)
        return self._inner.handle_request(request)


def signed_again(request: Any) -> str:
    """Sign a request with Amazon's own library, at the time and over the headers that it names."""
    given = request.headers["authorization"]
    names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {name: request.headers[name] for name in names if name not in {"host", "x-amz-date"}}
    again = awsrequest.AWSRequest("POST", str(request.url), headers=headers, data=request.content)
    again.context["timestamp"] = request.headers["x-amz-date"]
    keys = credentials.Credentials(AWS_KEYS["aws_access_key"], AWS_KEYS["aws_secret_key"])
    signer = auth.SigV4Auth(keys, "bedrock", AWS_KEYS["aws_region"])
    again.headers["X-Amz-Date"] = request.headers["x-amz-date"]
    signature = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    return f"{given.partition('Signature=')[0]}Signature={signature}"


def test_every_attempt_has_its_own_signature(body):
    """A continuation's body is not that of the original, so it needs a signature of its own, and has the right one."""
    upstream = ScriptedUpstream("text", [Drop(after=9), Reject(503)])
    recorder = Recorder(upstream)
    client = (
        PlatformCaller("Bedrock", "sync")
        .client(upstream)
        .with_options(http_client=anthropic.DefaultHttpxClient(transport=recorder))
    )
    with client, client.messages.stream(**body) as stream:
        assert stream.get_final_text() == upstream.expected_text(body)
    given = [request.headers["authorization"] for request in recorder.requests]
    assert len(given) == 3
    assert given[0] != given[1]
    assert given == [signed_again(request) for request in recorder.requests]


def test_the_exceptions_of_a_stream_are_the_sdk_s(bedrock: PlatformCaller, body):
    """What we take a stream's exception for is what the SDK's own decoder takes it for."""
    upstream = ScriptedUpstream("text", [ErrorEvent("throttlingException", after=9)])
    error = bedrock.error(upstream, body, bare=True)
    assert "throttlingException" in str(error)


def exceptions() -> Iterator[str]:
    """List the exceptions that Amazon's model of the service knows in a stream."""
    decoder = pytest.importorskip("anthropic.lib.bedrock._stream_decoder")
    yield from (name for name in decoder.get_response_stream_shape().members if name != "chunk")


def test_no_exception_of_the_service_is_forgotten():
    """Amazon's own description of the stream lists what these tests try."""
    assert set(exceptions()) == {*NAMES, "validationException"}
