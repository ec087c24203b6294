"""
How other platforms carry the Messages API: their paths, bodies, framing and errors.

The path says which platform a request is for, so one upstream serves all of them.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from resumable._core.aws_stream import encode_event, encode_exception

from ._frames import Frame
from ._rules import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._answer import Answer
    from ._replies import Json

MESSAGES = "/v1/messages"
# Source: paths as the SDK's clients write them, and their vendors' references describe them.
_BEDROCK = re.compile(r"/model/(?P<model>[^/]+)/invoke(?P<stream>-with-response-stream)?")
_VERTEX = re.compile(
    r"(?:/v1)?/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/(?P<model>[^/:]+):(?P<stream>streamR|r)awPredict"
)
_INVALID = "invalid_request_error"

# Source: Amazon Bedrock API reference, errors of InvokeModelWithResponseStream.
_AWS_NAMES = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    413: "ValidationException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
    529: "ServiceUnavailableException",
}
_AWS_STATUSES = {401: 403, 413: 400, 529: 503}
_AWS_EXCEPTIONS = {
    "overloaded_error": "serviceUnavailableException",
    "rate_limit_error": "throttlingException",
    "api_error": "internalServerException",
    "timeout_error": "modelTimeoutException",
    "invalid_request_error": "validationException",
}
# Source: google.rpc.Code; what Google itself refuses, before the API is asked.
_GOOGLE_STATUSES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}


class Platform:
    """The API itself, and every platform that passes it on as it is."""

    name = "anthropic"

    def dress(self, answer: Answer) -> Answer:
        """
        Give an answer the platform's form.

        Args:
            answer: As the API gives it; what has the form already stays.

        Returns:
            The answer as it leaves the platform.
        """
        return answer


class _Bedrock(Platform):
    name = "bedrock"

    def dress(self, answer: Answer) -> Answer:
        pairs = [("x-amzn-requestid" if name == "request-id" else name, value) for name, value in answer.headers]
        answer = replace(answer, headers=tuple(pairs))
        if not answer.is_stream:
            return self._refusal(answer)
        frames = tuple(_binary(part) for part in answer.frames)
        answer = replace(answer, frames=frames, ping=encode_event(b'{"type": "ping"}'))
        return answer.with_header("content-type", "application/vnd.amazon.eventstream")

    def _refusal(self, answer: Answer) -> Answer:
        error = _error_of(answer.body)
        if error is None:
            return answer
        body = msgspec.json.encode({"message": error.get("message")})
        dressed = replace(answer, status=_AWS_STATUSES.get(answer.status, answer.status))
        name = _AWS_NAMES.get(answer.status, "InternalServerException")
        return _with_body(dressed, body).with_header("x-amzn-errortype", f"{name}:http://internal.amazon.com/")


class _Vertex(Platform):
    name = "vertex"

    def dress(self, answer: Answer) -> Answer:
        error = None if answer.is_stream else _error_of(answer.body)
        if error is None or answer.status not in _GOOGLE_STATUSES:
            return answer
        facts = {"code": answer.status, "message": error.get("message"), "status": _GOOGLE_STATUSES[answer.status]}
        return _with_body(answer, msgspec.json.encode({"error": facts}))


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    A request, as the API gets it from a platform.

    Attributes:
        platform: Which one it came by.
        path: The API's own.
        headers: Names in lower case.
        body: The API's own; ``None`` when it is no JSON object.
        refusal: Why the platform does not pass it on.
    """

    platform: Platform
    path: str
    headers: Mapping[str, str]
    body: Json | None
    refusal: Refusal | None = None


_ANTHROPIC = Platform()
_PLATFORMS: tuple[tuple[re.Pattern[str], Platform], ...] = ((_BEDROCK, _Bedrock()), (_VERTEX, _Vertex()))


def arrive(path: str, headers: Mapping[str, str], body: Json | None) -> Arrival:
    """
    Find out by which platform a request came, and what the API gets of it.

    Args:
        path: As sent, without the query.
        headers: Names in lower case.
        body: The parsed body; ``None`` when it is no JSON object.

    Returns:
        The request as the API gets it.
    """
    for pattern, platform in _PLATFORMS:
        match = pattern.fullmatch(path)
        if match is not None:
            return _unpacked(platform, match, headers, body)
    if path.endswith(MESSAGES):  # Behind the prefix of a gateway: Foundry's, Google's.
        path = MESSAGES
    return Arrival(_ANTHROPIC, path, headers, body)


def _unpacked(platform: Platform, match: re.Match[str], headers: Mapping[str, str], body: Json | None) -> Arrival:
    """Put back into body and headers what stands in the path and in the body instead."""
    if body is None:
        return Arrival(platform, MESSAGES, headers, None)
    is_stream = match["stream"] not in {None, "r"}
    elsewhere = ("model", "stream") if platform.name == "bedrock" else ("model",)
    refusal = None
    if "anthropic_version" not in body:
        refusal = Refusal(400, _INVALID, "anthropic_version: Field required")
    for name in elsewhere:
        if name in body:
            refusal = Refusal(400, _INVALID, f"extraneous key [{name}] is not permitted")
    version = str(body.get("anthropic_version")).removeprefix(f"{platform.name}-")
    names = {"anthropic-version": version}
    betas = body.get("anthropic_beta")
    if isinstance(betas, list):
        names["anthropic-beta"] = ",".join(map(str, betas))
    kept = {name: value for name, value in body.items() if name not in {"anthropic_version", "anthropic_beta"}}
    whole = {**kept, "model": urllib.parse.unquote(match["model"]), "stream": is_stream}
    return Arrival(platform, MESSAGES, {**headers, **names}, whole, refusal)


def _binary(part: Frame) -> Frame:
    """Frame one event in binary; what was framed before, or cut, stays as it is."""
    text = part.payload.lstrip(b"\n")
    if not text.startswith(b"event:"):
        return part
    fields = dict(line.split(b": ", 1) for line in text.splitlines() if b": " in line)
    data = fields.get(b"data", b"")
    if fields[b"event"] != b"error":
        return Frame(encode_event(data), part.phase)
    error = _error_of(data) or {}
    kind = str(error.get("type", ""))
    return Frame(encode_exception(_AWS_EXCEPTIONS.get(kind, kind), str(error.get("message"))), part.phase)


def _error_of(data: bytes) -> Json | None:
    try:
        whole = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return None
    is_error = isinstance(whole, dict) and whole.get("type") == "error" and isinstance(whole.get("error"), dict)
    return whole["error"] if is_error else None


def _with_body(answer: Answer, body: bytes) -> Answer:
    return replace(answer, frames=(Frame(body),), length=len(body))
