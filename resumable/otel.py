"""
OpenTelemetry: recovery as spans below the SDK's own, under `resumable.*`.

The SDK traces its calls itself: one span for a call, whatever happens below it. `Tracing` adds a span for the message
and one for each attempt, when the stream has ended and everything about them is known. No content is in them, no keys.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anthropic
from opentelemetry import context, trace

from resumable._report import EXTENSION
from resumable._sdk import httpx
from resumable.prices import PRICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from opentelemetry.trace import Span, Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue

    from resumable._core.report import Attempt, Report
    from resumable._core.seam import Seam
    from resumable.prices import Books, Line, Price

__all__ = ("Tracing", "traced")

ClientT = TypeVar("ClientT", bound="anthropic.Anthropic | anthropic.AsyncAnthropic")

MESSAGE: Final = "resumable.message"
ATTEMPT: Final = "resumable.attempt"
_SCOPE: Final = "resumable"
_NANO: Final = 1_000_000_000


class Tracing(anthropic.Middleware):
    """
    Middleware that writes spans about what `Resumable` did; put it anywhere before that one.

    Make one and share it. A stream that did not pass through `Resumable` gets no span.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, prices: Mapping[str, Price] | None = None
    ) -> None:
        """
        Get a tracer.

        Args:
            tracer_provider: `None` takes the global one.
            prices: By model, for the cost; `None` takes the list prices.
        """
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        self._prices = PRICES if prices is None else prices

    def handle(self, request: anthropic.APIRequest, call_next: anthropic.CallNext) -> anthropic.APIResponse[Any]:
        """Trace one call."""
        scribe = self._scribe(request)
        answer = call_next(request)
        scribe.follow(answer.http_response)
        return answer

    async def handle_async(
        self, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext
    ) -> anthropic.AsyncAPIResponse[Any]:
        """Trace one call."""
        scribe = self._scribe(request)
        answer = await call_next(request)
        scribe.follow(answer.http_response)
        return answer

    def _scribe(self, request: anthropic.APIRequest) -> _Scribe:
        body: Any = request.json
        model = body.get("model") if isinstance(body, dict) else None
        return _Scribe(self._tracer, self._prices, model if isinstance(model, str) else None)


def traced(
    client: ClientT, *, tracer_provider: TracerProvider | None = None, prices: Mapping[str, Price] | None = None
) -> ClientT:
    """
    Make a client whose recoveries are traced.

    Args:
        client: What `resumable.wrap` returned, or a client with `Resumable` in its middleware; it is not changed.
        tracer_provider: As in `Tracing`.
        prices: As in `Tracing`.

    Returns:
        A client of the same type that shares *client*'s connections.
    """
    tracing = Tracing(tracer_provider=tracer_provider, prices=prices)
    plain: Any = client
    made: ClientT = plain.with_options(middleware=[tracing, *client.middleware])
    return made


class _Scribe:
    """Writes the spans of one call, once, when its stream has ended."""

    def __init__(self, tracer: Tracer, prices: Mapping[str, Price], model: str | None) -> None:
        self._tracer = tracer
        self._prices = prices
        self._model = model
        # The SDK's own span is the current one here, and no longer when the stream ends.
        self._parent = context.get_current()
        self._started = time.time_ns()

    def follow(self, response: Any) -> None:  # noqa: ANN401  # Reason: a response of either colour
        """Write when the response's body has ended; at once where recovery has given up already."""
        report = response.extensions.get(EXTENSION)
        if report is None:
            return
        end = functools.partial(self.write, report)
        if not response.is_success:
            end()
        elif isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _AsyncEnding(response.stream, end)
        else:
            response.stream = _Ending(response.stream, end)

    def write(self, report: Report) -> None:
        """Write the message's span and those of its attempts."""
        books = report.books(self._prices)
        last = report.attempts[-1]
        span = self._tracer.start_span(
            MESSAGE, self._parent, attributes=self._facts_of(report, books), start_time=self._started
        )
        if last.failure is not None and report.synthesised is None:
            _fail(span, last)
        below = trace.set_span_in_context(span, self._parent)
        for attempt, line in zip(report.attempts, books.lines, strict=True):
            seam = next((one for one in report.seams if one.attempt == attempt.number), None)
            self._write_attempt(attempt, line, seam, below, report)
            if attempt.failure is not None and attempt is not last:
                waited = {"resumable.attempt": attempt.number, "resumable.wait": attempt.delay}
                span.add_event("resumable.recovery", waited, self._at(_end_of(attempt), report))
        span.end(self._at(_end_of(last), report))

    def _write_attempt(
        self, attempt: Attempt, line: Line, seam: Seam | None, below: context.Context, report: Report
    ) -> None:
        known: dict[str, AttributeValue | None] = {
            "resumable.session.id": report.session_id,
            "resumable.attempt.number": attempt.number,
            "resumable.attempt.strategy": attempt.strategy.value,
            "resumable.attempt.wait": attempt.delay,
            "resumable.attempt.discarded": tuple(attempt.discarded) or None,
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": self._model,
            "gen_ai.response.model": attempt.model,
            "gen_ai.response.id": attempt.message_id,
            "anthropic.request.id": attempt.request_id,
            "resumable.cost": line.cost,
        }
        facts = _present(known | _tokens(line) | ({} if seam is None else _joined(seam)))
        span = self._tracer.start_span(ATTEMPT, below, attributes=facts, start_time=self._at(attempt.opened_at, report))
        if attempt.failure is not None:
            _fail(span, attempt)
        span.end(self._at(_end_of(attempt), report))

    def _facts_of(self, report: Report, books: Books) -> dict[str, AttributeValue]:
        known: dict[str, AttributeValue | None] = {
            "resumable.session.id": report.session_id,
            "resumable.attempts": len(report.attempts),
            "resumable.seams": tuple(seam.quality for seam in report.seams),
            "resumable.wait": report.waited,
            "resumable.synthesised": report.synthesised,
            "resumable.saved_tokens": report.saved_tokens,
            "resumable.cost": books.cost,
            "resumable.cost.estimated": books.estimated_cost,
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": self._model,
        }
        return _present(known | _tokens(books))

    def _at(self, moment: float, report: Report) -> int:
        """[ns] On the wall clock: the session's own clock began when the call did."""
        return self._started + round((moment - report.attempts[0].opened_at) * _NANO)


def _end_of(attempt: Attempt) -> float:
    """[s] On the session's clock; closing a stream ends its last attempt too."""
    return attempt.opened_at if attempt.ended_at is None else attempt.ended_at


class _Ending(httpx.SyncByteStream):
    """A body that says when it is closed; what is read from it passes by untouched."""

    def __init__(self, body: httpx.SyncByteStream, end: Callable[[], None]) -> None:
        self._body = body
        self._end: Callable[[], None] | None = end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        self._body.close()
        end, self._end = self._end, None
        if end is not None:
            end()


class _AsyncEnding(httpx.AsyncByteStream):
    """See `_Ending`."""

    def __init__(self, body: httpx.AsyncByteStream, end: Callable[[], None]) -> None:
        self._body = body
        self._end: Callable[[], None] | None = end

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def aclose(self) -> None:
        await self._body.aclose()
        end, self._end = self._end, None
        if end is not None:
            end()


def _fail(span: Span, attempt: Attempt) -> None:
    """Mark a span as failed; a failure's sentence has facts in it, no content."""
    span.set_attribute("error.type", type(attempt.failure).__name__)
    span.set_status(trace.StatusCode.ERROR, str(attempt.failure))


def _tokens(used: Line | Books) -> dict[str, AttributeValue | None]:
    """Name what was used; not as `gen_ai.usage.*`, which the SDK's span has, and would be counted twice."""
    measured = used.measured
    return {
        "resumable.usage.input_tokens": measured.input,
        "resumable.usage.output_tokens": measured.output,
        "resumable.usage.estimated_output_tokens": used.estimated.output,
        "resumable.usage.cache_read_tokens": measured.cache_read,
        "resumable.usage.cache_write_5m_tokens": measured.cache_write_5m,
        "resumable.usage.cache_write_1h_tokens": measured.cache_write_1h,
    }


def _joined(seam: Seam) -> dict[str, AttributeValue | None]:
    return {
        "resumable.seam.quality": seam.quality,
        "resumable.seam.at": seam.at,
        "resumable.seam.removed": seam.removed,
    }


def _present(facts: Mapping[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    """Leave out what is not known."""
    return {name: value for name, value in facts.items() if value is not None}
