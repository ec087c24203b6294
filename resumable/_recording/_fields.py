"""
What a checkpoint says of a session besides its events: plain words for people, msgpack where structure is needed.

Pure: values in, fields out, and back.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from resumable._core import errors
from resumable._core.continuation import Strategy
from resumable._core.errors import AttemptError, StreamInterruptedError
from resumable._core.report import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resumable._core.errors import ResumableError
    from resumable._core.report import Report
    from resumable._core.transcript import Transcript

Fields = dict[str, "str | int | bytes"]

_SECOND = 1000  # [ms]
#: Headers that change what a request means; credentials and those of the transport do not.
_MEANING = ("anthropic-beta", "anthropic-version")
_FAILURES = {
    name: made for name, made in vars(errors).items() if isinstance(made, type) and issubclass(made, AttemptError)
}


class Request(msgspec.Struct, frozen=True):
    """
    A request as the store keeps it: without credentials.

    Attributes:
        path: Where it goes.
        body: What it asks.
        headers: Those that change its meaning.
    """

    path: str
    body: dict[str, Any]
    headers: dict[str, str] = {}

    @classmethod
    def of(cls, path: str, body: dict[str, Any], headers: Mapping[str, Any]) -> Request:
        """Keep what matters of a request; whoever goes on with it brings credentials of his own."""
        kept = {name.lower(): str(value) for name, value in headers.items() if name.lower() in _MEANING}
        if "mcp_servers" in body:
            body = {**body, "mcp_servers": [_without_token(one) for one in body["mcp_servers"] or ()]}
        return cls(path, body, kept)

    @classmethod
    def decode(cls, written: bytes) -> Request:
        """Read what the store keeps."""
        return msgspec.json.decode(written, type=cls)

    def encode(self) -> bytes:
        """Write it for the store, canonically."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def hash(self) -> str:
        """What two requests have in common that ask the same."""
        return hashlib.sha256(self.encode()).hexdigest()


def _without_token(server: Any) -> Any:  # noqa: ANN401  # Reason: as the caller gave it
    """Give what is asked of a server of tools, without what lets us in there."""
    if not isinstance(server, dict):
        return server
    return {name: value for name, value in server.items() if name != "authorization_token"}


class _Kept(msgspec.Struct, array_like=True):
    """An attempt as the checkpoint keeps it; new fields are added at the end."""

    number: int
    strategy: str
    failure: tuple[str, list[Any]] | None
    delay: float
    message_id: str | None
    model: str | None
    request_id: str | None
    usage: dict[str, Any]
    output_tokens: int
    is_estimated: bool
    discarded: list[str]
    deferred: float = 0.0


def opening_fields(request: Request, policy: object, lease: float) -> Fields:
    """Give the first fields of a session; *lease* [s] is its first holder's."""
    plain = {
        name: value
        for name in getattr(type(policy), "__dataclass_fields__", ())
        if isinstance(value := getattr(policy, name), int | float | str)
    }
    said = msgspec.json.encode(plain).decode()
    return {"model": str(request.body.get("model", "")), "policy": said, **_lease_field(lease)}


def lease_of(fields: Mapping[str, bytes]) -> float | None:
    """[s] Say how long the lease of a session's last holder was; `None` where nobody wrote it down."""
    raw = fields.get("lease_ms", b"")
    return int(raw) / _SECOND if raw.isdigit() else None


def _lease_field(lease: float) -> Fields:
    return {"lease_ms": round(lease * _SECOND)}


def attempt_fields(report: Report, lease: float) -> Fields:
    """
    Say which attempt is about to be sent; written before it is, so that none goes uncounted.

    Args:
        report: It lists the attempt already.
        lease: [s] Of who sends it: for so long he may come back when the store was away.
    """
    attempt = report.attempts[-1]
    return {
        "attempt": attempt.number,
        "strategy": attempt.strategy.value,
        "attempts": _packed(report),
        **_lease_field(lease),
    }


def block_fields(report: Report, transcript: Transcript, seq: int) -> Fields:
    """Say how far the message has come, at the end of a block; *seq* is that of its stop."""
    content = transcript.partial()
    return {
        "text_chars": sum(len(block.text) for block in transcript.blocks if block.type == "text"),
        "snapshot": msgspec.msgpack.encode(content),
        "snapshot_seq": seq,
        "attempts": _packed(report),
    }


def end_fields(report: Report, transcript: Transcript, error: ResumableError | None) -> Fields:
    """Say how it ended: the books, and whose fault it is where it failed."""
    usage = {**(transcript.message or {}).get("usage", {}), "output_tokens": report.output_tokens}
    fields: Fields = {
        "text_chars": sum(len(block.text) for block in transcript.blocks if block.type == "text"),
        "usage": msgspec.json.encode(usage).decode(),
        "usage_estimated": int(report.has_estimates),
        "stop_reason": transcript.stop_reason or "",
        "attempts": _packed(report),
    }
    if error is not None:
        fields["error"] = f"{type(error).__name__}: {error}"
    return fields


def attempts_of(fields: Mapping[str, bytes], now: float) -> list[Attempt]:
    """Read the attempts back, as of *now* [s] on the reader's clock."""
    kept = msgspec.msgpack.decode(fields["attempts"], type=list[_Kept]) if "attempts" in fields else []
    return [
        Attempt(
            number=its.number,
            strategy=Strategy(its.strategy),
            opened_at=now,
            ended_at=None if its.failure is None else now,
            failure=_failure(its.failure),
            delay=its.delay,
            message_id=its.message_id,
            model=its.model,
            request_id=its.request_id,
            usage=its.usage,
            output_tokens=its.output_tokens,
            is_estimated=its.is_estimated,
            discarded=its.discarded,
            deferred=its.deferred,
        )
        for its in kept
    ]


def _packed(report: Report) -> bytes:
    return msgspec.msgpack.encode(
        [
            _Kept(
                its.number,
                its.strategy.value,
                None if its.failure is None else (type(its.failure).__name__, list(its.failure.args)),
                its.delay,
                its.message_id,
                its.model,
                its.request_id,
                its.usage,
                its.output_tokens,
                its.is_estimated,
                its.discarded,
                its.deferred,
            )
            for its in report.attempts
        ],
        enc_hook=str,
    )


def _failure(kept: tuple[str, list[Any]] | None) -> AttemptError | None:
    if kept is None:
        return None
    made = _FAILURES.get(kept[0])
    return StreamInterruptedError(kept[0]) if made is None else made(*kept[1])
