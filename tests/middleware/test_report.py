"""What recovery says about itself: the report, the headers, the callback and the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import pytest

import resumable
from resumable import ConfigurationError, RecoveryError, RetryPolicy
from resumable.testing import Drop, ErrorEvent, Refuse, Reject, ScriptedUpstream, Truncate
from tests.middleware.conftest import aclient_of, client_of

if TYPE_CHECKING:
    from tests.middleware.conftest import Caller

STORM = (Reject(529), Drop(after=9), Truncate(after=30))


def test_the_report_tells_what_happened(caller: Caller, body):
    """Attempts with their strategy and failure, seams, waits and books are those of the storm."""
    upstream = ScriptedUpstream("text", STORM)
    caller.events(upstream, body)
    report = resumable.report(caller.stream)
    assert [attempt.strategy.value for attempt in report.attempts] == ["original", "restart", "user_turn", "user_turn"]
    assert [type(attempt.failure).__name__ for attempt in report.attempts] == [
        "UpstreamStatusError",
        "StreamInterruptedError",
        "StreamInterruptedError",
        "NoneType",
    ]
    assert [seam.quality for seam in report.seams] == ["exact", "exact"]
    assert report.waited == sum(upstream.clock.waits) == 45.0
    assert [attempt.is_estimated for attempt in report.attempts] == [False, True, True, False]
    assert [attempt.message_id for attempt in report.attempts] == [one.message_id for one in upstream.log.messages]
    assert len({attempt.request_id for attempt in report.attempts[1:]}) == 3
    assert report.synthesised is None


def test_the_headers_tell_the_same(caller: Caller, body):
    """The response's headers name the session, the attempts, the seams, and say that usage is estimated."""
    caller.events(ScriptedUpstream("text", STORM), body)
    headers = caller.stream.response.headers
    told = {name: value for name, value in headers.items() if name.startswith("resumable")}
    report = resumable.report(caller.stream)
    assert told == {
        "resumable-session": report.session_id,
        "resumable-attempts": "4",
        "resumable-seams": "exact, exact",
        "resumable-usage": "estimated",
    }
    assert headers["request-id"] == report.attempts[1].request_id
    assert headers["content-type"].startswith("text/event-stream")


def test_a_stream_without_faults_says_so(caller: Caller, body):
    """One attempt, no seam, no estimate, no wait."""
    caller.events(ScriptedUpstream("text", gzip=True), body)
    report = resumable.report(caller.stream)
    told = [name for name in caller.stream.response.headers if name.startswith("resumable")]
    assert told == ["resumable-session", "resumable-attempts"]
    assert (len(report.attempts), report.seams, report.waited, report.has_estimates) == (1, [], 0.0, False)
    stale = {"content-encoding", "content-length", "transfer-encoding"}
    assert not stale & set(caller.stream.response.headers)


def test_the_report_is_live(body):
    """It is there before anything was read, and grows while the stream runs."""
    with client_of(ScriptedUpstream("text", [Drop(after=9)])) as client:
        stream = client.messages.create(**body, stream=True)
        report = resumable.report(stream)
        assert (len(report.attempts), report.seams) == (1, [])
        list(stream)
        assert resumable.report(stream) is report
        assert (len(report.attempts), len(report.seams)) == (2, 1)


def test_every_kind_of_stream_has_one(body):
    """A `Stream`, a helper, a raw and a streaming response, and the response inside them lead to the report."""
    with client_of(ScriptedUpstream("text", vary=False)) as client:
        stream = client.messages.create(**body, stream=True)
        list(stream)
        answer = client.messages.with_raw_response.create(**body, stream=True)
        list(answer.parse())
        with client.messages.stream(**body) as helper:
            helper.until_done()
        with client.beta.messages.stream(**body) as beta:
            beta.until_done()
        with client.messages.with_streaming_response.create(**body, stream=True) as streaming:
            list(streaming.parse())
    kinds = [stream, stream.response, answer, answer.http_response, answer.parse(), helper, helper.response, beta]
    for kind in [*kinds, streaming]:
        assert len(resumable.report(kind).attempts) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_every_kind_of_async_stream_has_one(body):
    """The same in a task."""
    async with aclient_of(ScriptedUpstream("text", vary=False)) as client:
        stream = await client.messages.create(**body, stream=True)
        async for _ in stream:
            pass
        answer = await client.messages.with_raw_response.create(**body, stream=True)
        parsed = await answer.parse()
        async for _ in parsed:
            pass
        async with client.messages.stream(**body) as helper:
            await helper.until_done()
        for kind in (stream, stream.response, answer, answer.http_response, parsed, helper, helper.response):
            assert len(resumable.report(kind).attempts) == 1


@pytest.mark.parametrize(
    "faults", [[Reject(404)], [Refuse()] * 2, [ErrorEvent(after=0)] * 2, [Drop(after=9), Reject(404)]], ids=repr
)
def test_every_error_has_one(caller: Caller, body, faults):
    """Whatever a wrapped client raises about a stream, bare or ours, leads to the report."""
    error = caller.error(ScriptedUpstream("text", faults), body, policy=RetryPolicy(max_attempts=2))
    report = resumable.report(error)
    assert len(report.attempts) == len(faults)
    assert report.attempts[-1].failure is not None


@pytest.mark.parametrize(
    "stranger",
    [None, 7, object(), "stream", ValueError("no"), anthropic.Anthropic],
    ids=str.split("none number object text error class"),
)
def test_what_did_not_come_from_us_has_none(stranger: Any):
    """The error says what was passed and what to pass."""
    with pytest.raises(ConfigurationError) as raised:
        resumable.report(stranger)
    assert raised.value.argument == "stream"
    assert raised.value.problem == f"{type(stranger).__name__} did not come through a wrapped client"
    assert raised.value.remedy == "pass the stream that a client returned by resumable.wrap() gave you"


def test_a_bare_clients_stream_has_none(body):
    """The stream of a client that is not wrapped is refused, not reported as faultless."""
    with client_of(ScriptedUpstream("text"), middleware=[]) as client:
        stream = client.messages.create(**body, stream=True)
        list(stream)
        with pytest.raises(ConfigurationError, match="Stream did not come through a wrapped client"):
            resumable.report(stream)


def test_the_callback_hears_every_decision(caller: Caller, body):
    """One notice for each failure, in order, with what was decided and how long it waits."""
    told: list[Any] = []
    upstream = ScriptedUpstream("text", [*STORM, Reject(403)])
    error: Any = caller.error(upstream, body, on_recovery=told.append)
    facts = [(notice.attempt, notice.verdict, notice.strategy and notice.strategy.value) for notice in told]
    assert facts == [
        (1, "retry", "restart"),
        (2, "continue", "user_turn"),
        (3, "continue", "user_turn"),
        (4, "give_up", None),
    ]
    assert [notice.delay for notice in told] == [45.0, 0.0, 0.0, 0.0]
    assert {notice.session_id for notice in told} == {error.session_id}
    assert [notice.failure for notice in told] == [attempt.failure for attempt in error.report.attempts]


def test_the_log_tells_the_same(caller: Caller, body, caplog: pytest.LogCaptureFixture):
    """Each failure is one line at INFO, the last one of a lost session at WARNING; a good stream says nothing."""
    caplog.set_level(logging.INFO, "resumable")
    upstream = ScriptedUpstream("text", [Drop(after=9), Reject(403)])
    error: Any = caller.error(upstream, body)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "resumable"]
    start = f"resumable.attempt_failed session={error.session_id}"
    assert lines == [
        ("INFO", f"{start} attempt=1 verdict=continue delay=0.000s failure={error.report.attempts[0].failure}"),
        (
            "WARNING",
            f"{start} attempt=2 verdict=give_up delay=0.000s failure=upstream answered 403 (permission_error)",
        ),
    ]
    caplog.clear()
    caller.events(ScriptedUpstream("text"), body)
    assert not [record for record in caplog.records if record.name == "resumable"]


@pytest.mark.parametrize("faults", [[Reject(529)], [Drop(after=9)]], ids=["before", "in the middle"])
def test_a_callback_that_fails_breaks_nothing(caller: Caller, body, caplog: pytest.LogCaptureFixture, faults):
    """Who looks on must not break the stream: its exception is logged with its traceback, and the text is whole."""

    def fail(_: object) -> None:
        raise anthropic.APIConnectionError(request=None)  # type: ignore[arg-type]  # Reason: what the SDK would retry

    upstream = ScriptedUpstream("text", faults, vary=False)
    assert caller.text(upstream, body, on_recovery=fail, max_retries=2) == upstream.expected_text(body)
    assert len(upstream.log.messages) == 2
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage().startswith("resumable.on_recovery_failed session=")
    assert record.exc_info is not None


def test_a_callback_can_stop_the_program(body):
    """What is no `Exception`, such as Ctrl-C in a callback, goes through; nothing stays open."""

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    upstream = ScriptedUpstream("text", [Drop(after=9)])
    with client_of(upstream, on_recovery=interrupt) as client, pytest.raises(KeyboardInterrupt):
        list(client.messages.create(**body, stream=True))
    assert upstream.log.open_connections == 0
    assert len(upstream.log.messages) == 1


async def test_sessions_have_names_of_their_own(body):
    """Each call is a session with an ID that cannot be guessed, also in parallel."""
    async with aclient_of(ScriptedUpstream("text", [Drop(after=9)] * 8, vary=False)) as client:
        names: list[str] = []

        async def ask() -> None:
            async with client.messages.stream(**body) as stream:
                await stream.until_done()
            names.append(resumable.report(stream).session_id)

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(ask)
    assert len(set(names)) == 8
    assert min(map(len, names)) >= 20


def test_an_error_is_one_of_the_tree(caller: Caller, body):
    """What is ours can be caught as ours, with everything it knows."""
    error: Any = caller.error(ScriptedUpstream("text", [Drop(after=9), Reject(403)]), body)
    assert issubclass(type(error), RecoveryError)
    assert error.report is resumable.report(error)
