"""Carry out a schedule through the real SDK and the middleware, in either colour, and keep all there is to see."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anthropic
import anyio

import resumable
from resumable.middleware import Resumable
from resumable.testing import ManualClock, ScriptedUpstream

if TYPE_CHECKING:
    from tests.laws.schedules import Schedule

#: [looks at the clock] More than any finite call needs; a driver that goes round in circles gets here in a second.
_MOST = 100_000
#: How a caller may read: typed events, the same by way of the raw response, or the bytes.
WAYS = ("events", "parsed", "bytes")


class BoundedClock(ManualClock):
    """A clock that is looked at only so often: what would hang fails instead."""

    looks = 0

    def now(self) -> float:
        """Tell the present time [seconds]."""
        self.looks += 1
        assert self.looks < _MOST, "the driver goes round in circles"
        return super().now()


@dataclass
class Outcome:
    """
    What a caller saw, and what happened meanwhile.

    Attributes:
        schedule: What was carried out.
        upstream: With its log.
        clock: With its waits.
        notices: As told to `on_recovery`.
        items: Events as dicts, or pieces of the body.
        sent: [bytes] For each item, what upstream had sent of the attempt's body when it was delivered.
        error: What the call or the iteration raised.
        response: The HTTP response the SDK gave.
        report: Of the stream, or of the error.
    """

    schedule: Schedule
    upstream: ScriptedUpstream
    clock: BoundedClock
    notices: list[resumable.Notice] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    error: Exception | None = None
    response: Any = None
    report: Any = None

    def take(self, item: Any) -> None:
        """Note one event or piece."""
        self.items.append(item if isinstance(item, bytes) else item.to_dict(warnings=False))
        self.sent.append(self.upstream.log.messages[-1].bytes_sent)

    def found(self, stream: Any) -> None:
        """Note what travels with a stream or a raw response."""
        self.response = stream.response if hasattr(stream, "response") else stream.http_response
        with contextlib.suppress(resumable.ConfigurationError):  # the bare SDK's
            self.report = resumable.report(stream)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the SDK gave."""
        return self.items

    @property
    def body(self) -> bytes:
        """The bytes, where they were read."""
        return b"".join(self.items)

    @property
    def attempts(self) -> list[Any]:
        """The report's."""
        return [] if self.report is None else self.report.attempts

    @property
    def variant(self) -> int:
        """Which wording of the reply was delivered: that of the last answer from the beginning."""
        original = [one.variant for one in self.upstream.log.messages if one.strategy in {"original", "retry"}]
        return original[-1]

    @property
    def expected(self) -> dict[str, Any]:
        """The message of that wording, when nothing goes wrong."""
        return self.upstream.expected_message(self.schedule.body, self.variant)


def call(
    schedule: Schedule, *, way: str = "events", is_async: bool = False, wraps: bool = True, **options: Any
) -> Outcome:
    """
    Make the call of a schedule and read it to its end.

    Args:
        schedule: What to ask, and what befalls the answers.
        way: One of `WAYS`.
        is_async: The colour.
        wraps: False for the bare SDK.
        **options: For `Resumable`.

    Returns:
        What came of it; an exception that is no `Exception`, or an `AssertionError`, is raised.
    """
    clock = BoundedClock()
    upstream = ScriptedUpstream(schedule.reply, schedule.faults, schedule.continuer, clock=clock)
    outcome = Outcome(schedule, upstream, clock)
    middleware = []
    if wraps:
        made = Resumable(clock=clock, chance=schedule.chance, on_recovery=outcome.notices.append, **options)
        middleware = [made]
    settings: dict[str, Any] = {"base_url": "http://upstream.test", "api_key": "test", "middleware": middleware}
    try:
        if is_async:
            anyio.run(_aread, outcome, way, settings)
        else:
            _read(outcome, way, settings)
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001  # Reason: what it is, is for the laws to judge
        outcome.error = error
        with contextlib.suppress(resumable.ConfigurationError):
            outcome.report = outcome.report or resumable.report(error)
    return outcome


def _read(outcome: Outcome, way: str, settings: dict[str, Any]) -> None:
    carrier = anthropic.DefaultHttpxClient(transport=outcome.upstream.transport())
    body = outcome.schedule.body
    with anthropic.Anthropic(http_client=carrier, **settings) as client:
        if way == "bytes":
            with client.messages.with_streaming_response.create(**body, stream=True) as response:
                outcome.found(response)
                for piece in response.iter_bytes():
                    outcome.take(piece)
            return
        if way == "parsed":
            stream = client.messages.with_raw_response.create(**body, stream=True).parse()
        else:
            stream = client.messages.create(**body, stream=True)
        outcome.found(stream)
        with stream:
            for event in stream:
                outcome.take(event)


async def _aread(outcome: Outcome, way: str, settings: dict[str, Any]) -> None:
    carrier = anthropic.DefaultAsyncHttpxClient(transport=outcome.upstream.async_transport())
    body = outcome.schedule.body
    async with anthropic.AsyncAnthropic(http_client=carrier, **settings) as client:
        if way == "bytes":
            async with client.messages.with_streaming_response.create(**body, stream=True) as response:
                outcome.found(response)
                async for piece in response.iter_bytes():
                    outcome.take(piece)
            return
        if way == "parsed":
            stream = await (await client.messages.with_raw_response.create(**body, stream=True)).parse()
        else:
            stream = await client.messages.create(**body, stream=True)
        outcome.found(stream)
        async with stream:
            async for event in stream:
                outcome.take(event)
