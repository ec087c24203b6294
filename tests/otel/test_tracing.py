"""Traces, as the real OpenTelemetry SDK exports them: the SDK's span stays right, ours are below it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import resumable
from resumable.otel import Tracing, traced
from resumable.prices import Price
from resumable.testing import Drop, ErrorEvent, Refuse, Reject, ScriptedUpstream
from tests.pages import names, read, tables

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

SECRET = "Tell me the secret of the sea."
BODY: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": SECRET}],
}
CALL, MESSAGE, ATTEMPT = "anthropic.messages.create", "resumable.message", "resumable.attempt"


class Traces:
    """A provider whose spans are kept, and clients that use it for the SDK's spans and ours."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def settings(self, upstream: ScriptedUpstream, **ours: Any) -> dict[str, Any]:
        """Give a client's arguments without its HTTP client."""
        middleware = [
            Tracing(tracer_provider=self.provider, **ours),
            resumable.Resumable(clock=upstream.clock, chance=lambda: 0.5),
        ]
        telemetry = {"tracer_provider": self.provider}
        return {"api_key": "sk-secret", "middleware": middleware, "open_telemetry": telemetry, "max_retries": 0}

    def client(self, upstream: ScriptedUpstream, **ours: Any) -> anthropic.Anthropic:
        """Make a wrapped client."""
        http_client = anthropic.DefaultHttpxClient(transport=upstream.transport())
        return anthropic.Anthropic(http_client=http_client, **self.settings(upstream, **ours))

    def named(self, name: str) -> list[ReadableSpan]:
        """List the spans of a name, as they began."""
        found = [span for span in self._exporter.get_finished_spans() if span.name == name]
        return sorted(found, key=lambda span: span.start_time or 0)

    @property
    def written(self) -> str:
        """Everything that was exported, as text."""
        return "".join(span.to_json() for span in self._exporter.get_finished_spans())


@pytest.fixture
def traces() -> Traces:
    """Keep the spans of a test."""
    return Traces()


def facts(span: ReadableSpan) -> dict[str, Any]:
    """Give a span's attributes."""
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    """Give the id of a span's parent."""
    return None if span.parent is None else span.parent.span_id


STORM = [Reject(529), Drop(after=20), ErrorEvent("api_error", after=20)]


def test_a_recovered_message_is_one_call_with_its_attempts_below(traces: Traces):
    """The SDK's one span is OK with the merged usage; below it ours, with a span for each attempt."""
    upstream = ScriptedUpstream("text", STORM, vary=False)
    with traces.client(upstream) as client, client.messages.stream(**BODY) as stream:
        message = stream.get_final_message()
    report = resumable.report(stream)
    [call], [ours] = traces.named(CALL), traces.named(MESSAGE)
    attempts = traces.named(ATTEMPT)
    assert facts(call)["http.request.resend_count"] == 1  # The refused one; the two that continued are not in it.
    assert call.status.status_code is StatusCode.OK
    assert facts(call)["gen_ai.usage.output_tokens"] == message.usage.output_tokens == report.output_tokens
    assert ours.context is not None
    assert call.context is not None
    assert parent_of(ours) == call.context.span_id
    assert {parent_of(span) for span in attempts} == {ours.context.span_id}
    assert [facts(span)["resumable.attempt.strategy"] for span in attempts] == [
        "original",
        "restart",
        "user_turn",
        "user_turn",
    ]
    assert [facts(span).get("error.type") for span in attempts] == [
        "UpstreamStatusError",
        "StreamInterruptedError",
        "UpstreamEventError",
        None,
    ]
    assert [span.status.status_code for span in attempts] == [StatusCode.ERROR] * 3 + [StatusCode.UNSET]
    assert ours.status.status_code is StatusCode.UNSET


def test_the_figures_are_the_report_s(traces: Traces):
    """Attempts, seams, waits, tokens and cost of the spans are those of the report and its books."""
    upstream = ScriptedUpstream("text", STORM, vary=False)
    with traces.client(upstream) as client, client.messages.stream(**BODY) as stream:
        stream.until_done()
    report, books = resumable.report(stream), resumable.report(stream).books()
    [ours] = traces.named(MESSAGE)
    told = facts(ours)
    assert told["resumable.session.id"] == report.session_id
    assert told["resumable.attempts"] == 4
    assert told["resumable.seams"] == ("exact", "exact")
    assert told["resumable.wait"] == report.waited
    assert told["resumable.cost"] == books.cost
    assert told["resumable.cost.estimated"] == books.estimated_cost
    assert told["resumable.usage.output_tokens"] == books.measured.output
    assert told["resumable.usage.estimated_output_tokens"] == books.estimated.output > 0
    assert not [name for name in told if name.startswith("gen_ai.usage")]
    for span, attempt, line in zip(traces.named(ATTEMPT), report.attempts, books.lines, strict=True):
        own = facts(span)
        assert own["resumable.attempt.number"] == attempt.number
        assert own["resumable.attempt.wait"] == attempt.delay
        assert own["resumable.cost"] == line.cost
        assert own["resumable.usage.input_tokens"] == line.measured.input
        assert own.get("anthropic.request.id") == attempt.request_id
        assert own.get("gen_ai.response.id") == attempt.message_id
    assert facts(traces.named(ATTEMPT)[2])["resumable.seam.quality"] == "exact"
    waits = [(event.name, dict(event.attributes or {})["resumable.wait"]) for event in ours.events]
    assert waits == [("resumable.recovery", attempt.delay) for attempt in report.attempts[:-1]]


def test_times_are_those_of_the_session(traces: Traces):
    """Spans begin and end when the attempts did, with the wait between them."""
    upstream = ScriptedUpstream("text", [Reject(529)])
    with traces.client(upstream) as client, client.messages.stream(**BODY) as stream:
        stream.until_done()
    first, second = traces.named(ATTEMPT)
    [ours] = traces.named(MESSAGE)
    assert upstream.clock.waits == [45.0]
    assert first.end_time is not None
    assert second.start_time == pytest.approx(first.end_time + 45e9, abs=1e6)
    assert ours.start_time == first.start_time
    assert ours.end_time == second.end_time


def test_nothing_of_the_content_is_traced(traces: Traces):
    """Neither the prompt, nor the answer, nor the key is in any span."""
    upstream = ScriptedUpstream("text", STORM, vary=False)
    with traces.client(upstream) as client, client.messages.stream(**BODY) as stream:
        text = stream.get_final_text()
    words = [text[at : at + 20] for at in range(0, len(text) - 20, 20)]
    assert not [word for word in (*words, SECRET, "sk-secret") if word in traces.written]


@pytest.mark.parametrize(
    ("faults", "kind"),
    [([Drop(after=20), Reject(403)], "UpstreamStatusError"), ([Reject(404)], "UpstreamStatusError")],
    ids=["midway", "at once"],
)
def test_a_lost_message_is_an_error(traces: Traces, faults, kind):
    """Where recovery gives up, the SDK's span, the message's and the last attempt's are errors."""
    with traces.client(ScriptedUpstream("text", faults)) as client, pytest.raises(anthropic.APIStatusError):  # noqa: SIM117  # Reason: two subjects
        with client.messages.stream(**BODY) as stream:
            stream.until_done()
    spans = [*traces.named(CALL), *traces.named(MESSAGE), traces.named(ATTEMPT)[-1]]
    assert [span.status.status_code for span in spans] == [StatusCode.ERROR] * 3
    assert facts(spans[1])["error.type"] == facts(spans[2])["error.type"] == kind
    assert len(traces.named(ATTEMPT)) == len(faults)


def test_no_connection_is_traced(traces: Traces):
    """Also attempts that never reached anybody are spans."""
    upstream = ScriptedUpstream("text", [Refuse()] * 9)
    with traces.client(upstream) as client, pytest.raises(anthropic.APIConnectionError):
        client.messages.create(**BODY, stream=True)
    assert {facts(span)["error.type"] for span in traces.named(ATTEMPT)} == {"ConnectError"}
    assert len(traces.named(MESSAGE)) == 1


def test_all_requests_carry_the_call_s_trace(traces: Traces):
    """One `traceparent` goes with every attempt: that of the SDK's span."""
    upstream = ScriptedUpstream("text", [Drop(after=20)])
    with traces.client(upstream) as client, client.messages.stream(**BODY) as stream:
        stream.until_done()
    sent = {one.headers["traceparent"] for one in upstream.log.messages}
    [call] = traces.named(CALL)
    assert call.context is not None
    assert [header.split("-")[2] for header in sent] == [f"{call.context.span_id:016x}"]


def test_a_caller_who_leaves_ends_the_spans(traces: Traces):
    """Closing a stream early writes what there was, once and without an error."""
    with traces.client(ScriptedUpstream("text")) as client:
        stream = client.messages.create(**BODY, stream=True)
        next(iter(stream))
        stream.close()
        stream.response.stream.close()
    [ours] = traces.named(MESSAGE)
    assert ours.status.status_code is StatusCode.UNSET
    assert len(traces.named(ATTEMPT)) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_task_is_traced_alike(traces: Traces):
    """The async client writes the same spans, below the same call."""
    upstream = ScriptedUpstream("text", [Reject(529), Drop(after=20), Drop(after=20)], vary=False)
    http_client = anthropic.DefaultAsyncHttpxClient(transport=upstream.async_transport())
    client = anthropic.AsyncAnthropic(http_client=http_client, **traces.settings(upstream))
    async with client, client.messages.stream(**BODY) as stream:
        await stream.until_done()
    [call], [ours] = traces.named(CALL), traces.named(MESSAGE)
    assert call.context is not None
    assert parent_of(ours) == call.context.span_id
    assert len(traces.named(ATTEMPT)) == 4


def test_what_does_not_stream_has_no_span_of_ours(traces: Traces):
    """A call without a stream, and another path, are the SDK's alone."""
    with traces.client(ScriptedUpstream("text")) as client:
        client.messages.create(**BODY)
        client.models.list()
    assert traces.named(MESSAGE) == traces.named(ATTEMPT) == []
    assert len(traces.named(CALL)) == 1


def test_prices_of_one_s_own_are_used(traces: Traces):
    """An unknown model has no cost in its span, and with a table it has."""
    body = {**BODY, "model": "claude-sonnet-9"}
    mine = {"claude-sonnet-9": Price.from_base(2, 10)}
    for prices in (None, mine):
        with traces.client(ScriptedUpstream("text"), prices=prices) as client, client.messages.stream(**body) as stream:
            stream.until_done()
    assert ["resumable.cost" in facts(span) for span in traces.named(MESSAGE)] == [False, True]


def test_traced_is_for_wrapped_clients(traces: Traces):
    """It puts the tracing before what is there, and leaves the client that it was given alone."""
    with (
        ScriptedUpstream("text", [Drop(after=20)]) as upstream,
        anthropic.Anthropic(base_url=upstream.url, api_key="any") as bare,
    ):
        wrapped = resumable.wrap(bare)
        client = traced(wrapped, tracer_provider=traces.provider)
        with client.messages.stream(**BODY) as stream:
            assert stream.get_final_text() == upstream.expected_text(BODY)
    tracing, *rest = client.middleware
    assert (type(tracing).__name__, rest) == ("Tracing", list(wrapped.middleware))
    assert [isinstance(one, resumable.Resumable) for one in rest] == [True]
    assert len(traces.named(ATTEMPT)) == 2


PROBE = """
import json, sys
import resumable, resumable.middleware, resumable.prices
print(json.dumps([name for name in sys.modules if name == "resumable.otel"]))
"""


def test_nobody_else_imports_it():
    """What does not trace does not load it."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_page_names_what_is_written(traces: Traces):
    """Every attribute and event of our spans is on the page, and every one of the page's tables is written."""
    page = re.sub(r"^```.*?^```$", "", read("docs/how-to/trace.md"), flags=re.MULTILINE | re.DOTALL)
    upstream = ScriptedUpstream("tools", [Reject(529), Drop(phase="tool_json"), Drop(after=20)], vary=False)
    with traces.client(upstream) as client, client.messages.stream(**BODY) as stream:
        stream.until_done()
    spans = [*traces.named(MESSAGE), *traces.named(ATTEMPT)]
    written = {name for span in spans for name in facts(span)} | {event.name for span in spans for event in span.events}
    told = set(names(page)) | {f"resumable.usage{name}" for name in names(page) if name.startswith(".")}
    assert written <= told
    listed = {name for table in tables(page)[1:] for row in table[1:] for name in names(row[0])}
    assert listed - {"resumable.synthesised"} <= written
