"""Each fault reaches the bare SDK as the real one does: what it raises, and what it is silent about."""

from __future__ import annotations

import json

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable.testing import (
    GARBAGE_KINDS,
    Drop,
    ErrorEvent,
    Garbage,
    NoMessageStop,
    Refuse,
    Reject,
    ScriptedUpstream,
    Slow,
    Split,
    Stall,
    Truncate,
)
from tests.testing.conftest import WAYS, calling
from tests.testing.turns import facts, joined

PHASES = ("message_start", "thinking", "text", "tool_json", "between_blocks", "message_delta", "message_stop")


def test_a_reset_in_the_body_is_a_raw_read_error(caller, body):
    """RST in mid-body: httpx2.ReadError, no error of the SDK, and no second request."""
    upstream = ScriptedUpstream("text", [Drop(after=9, how="rst")])
    with pytest.raises(httpx2.ReadError):
        caller.events(upstream, body, max_retries=2)
    assert len(upstream.log) == 1


def test_a_close_in_the_body_is_a_raw_protocol_error(caller, body):
    """FIN in mid-body: httpx2.RemoteProtocolError."""
    upstream = ScriptedUpstream("text", [Drop(after=9, how="fin")])
    with pytest.raises(httpx2.RemoteProtocolError):
        caller.events(upstream, body)


@pytest.mark.parametrize("fault", [Drop(after=9, how="eof"), Truncate(at_byte=900), Truncate(phase="message_delta")])
def test_a_clean_end_is_silence(caller, body, fault):
    """A body that ends early but cleanly raises nothing: the iterator just ends."""
    upstream = ScriptedUpstream("text", [fault])
    assert all(event.type != "message_stop" for event in caller.events(upstream, body))
    assert not upstream.log[0].whole


def test_the_helper_returns_a_truncated_message(caller, body):
    """After a clean end the final message is cut and has no stop reason."""
    final = caller.final(ScriptedUpstream("text", [Truncate(after=9)]), body)
    assert final.stop_reason is None
    assert 0 < len(joined(final.content)) < len(ScriptedUpstream("text").expected_text(body))


def test_silence_is_a_raw_read_timeout(virtual, body):
    """Silence beyond the read timeout: httpx2.ReadTimeout, after exactly that time."""
    upstream = ScriptedUpstream("text", [Stall(after=9)])
    with pytest.raises(httpx2.ReadTimeout):
        virtual.events(upstream, body, timeout=30.0)
    assert upstream.clock.now() == 30.0
    assert len(virtual.seen) > 3
    assert upstream.log[0].client_closed


def test_pings_keep_a_stall_alive(virtual, body):
    """Pings reset the read timeout, so the stall lasts as long as the upstream holds it."""
    upstream = ScriptedUpstream("text", [Stall(after=9, pings=True, ping_every=10, seconds=600)])
    with pytest.raises(httpx2.RemoteProtocolError):
        virtual.events(upstream, body, timeout=30.0)
    assert upstream.clock.now() == 600


def test_a_stall_without_a_timeout_ends_with_the_upstreams_patience(virtual, body):
    """Without a read timeout the connection is closed after all."""
    upstream = ScriptedUpstream("text", [Stall(after=9, seconds=100)])
    with pytest.raises(httpx2.RemoteProtocolError):
        virtual.events(upstream, body, timeout=None)
    assert upstream.clock.now() == 100


def test_no_headers_in_time_is_the_sdks_timeout(virtual, body):
    """Silence before the response: APITimeoutError, caused by a ReadTimeout."""
    with pytest.raises(anthropic.APITimeoutError) as caught:
        virtual.events(ScriptedUpstream("text", [Stall(phase="headers")]), body, timeout=5.0)
    assert isinstance(caught.value.__cause__, httpx2.ReadTimeout)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (Refuse(how="rst"), httpx2.ReadError),
        (Refuse(how="fin"), httpx2.RemoteProtocolError),
        (Drop(phase="headers", how="rst"), httpx2.ReadError),
        (Drop(phase="headers", how="eof"), httpx2.RemoteProtocolError),
    ],
)
def test_an_end_before_the_headers_is_the_sdks_connection_error(caller, body, fault, cause):
    """No response: APIConnectionError, with the transport's error as its cause; the log has no status."""
    upstream = ScriptedUpstream("text", [fault])
    with pytest.raises(anthropic.APIConnectionError) as caught:
        caller.events(upstream, body)
    assert isinstance(caught.value.__cause__, cause)
    assert upstream.log[0].status == 0


def test_a_refused_connection_is_the_sdks_connection_error(virtual, body):
    """Connection refused: APIConnectionError, caused by a ConnectError."""
    with pytest.raises(anthropic.APIConnectionError) as caught:
        virtual.events(ScriptedUpstream("text", [Refuse()]), body)
    assert isinstance(caught.value.__cause__, httpx2.ConnectError)


STATUSES = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    402: anthropic.PaymentRequiredError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    409: anthropic.ConflictError,
    413: anthropic.ContentTooLargeError,
    422: anthropic.UnprocessableEntityError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    503: anthropic.ServiceUnavailableError,
    504: anthropic.GatewayTimeoutError,
    529: anthropic.OverloadedError,
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_has_its_class(process, body, status):
    """An error status raises the SDK's class for it, with the API's type and the request's id."""
    upstream = ScriptedUpstream("text", [Reject(status)])
    with pytest.raises(STATUSES[status]) as caught:
        process.events(upstream, body)
    assert caught.value.status_code == upstream.log[0].status == status
    assert caught.value.type == facts(caught).body["error"]["type"]
    assert caught.value.request_id == facts(caught).body["request_id"]


def test_a_rejection_carries_headers_and_code(caller, body):
    """Headers and error code arrive, and the SDK obeys x-should-retry."""
    fault = Reject(
        429, headers={"Retry-After": "7", "x-should-retry": "false"}, error_code="enforced_spend_limit_reached"
    )
    upstream = ScriptedUpstream("text", [fault])
    with pytest.raises(anthropic.RateLimitError) as caught:
        caller.events(upstream, body, max_retries=2)
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.error_code == "enforced_spend_limit_reached"
    assert len(upstream.log) == 1


def test_a_page_of_a_proxy_has_no_type(caller, body):
    """An HTML 502 is an InternalServerError without a type."""
    with pytest.raises(anthropic.InternalServerError) as caught:
        caller.events(ScriptedUpstream("text", [Reject(502, html=True)]), body)
    assert caught.value.type is None
    assert "<html>" in facts(caught).body


def test_a_rejection_does_not_use_up_the_reply(process, body):
    """What never reached the model leaves its first answer for the next request."""
    upstream = ScriptedUpstream("text", [Reject(529), Refuse(), Garbage("html200")])
    for failure in (anthropic.OverloadedError, anthropic.APIConnectionError, AssertionError):
        with pytest.raises(failure):
            process.final(upstream, body)
    assert joined(process.final(upstream, body).content) == upstream.expected_text(body)
    assert upstream.log.strategies == ["original", "retry", "retry", "retry"]


@pytest.mark.parametrize("where", [{"after": 0}, {"after": 9}, {"at_byte": 777}, {"phase": "message_stop"}])
@pytest.mark.parametrize("kind", ["overloaded_error", "rate_limit_error", "api_error"])
def test_an_error_event_is_a_bare_status_error_of_200(process, body, where, kind):
    """An error inside the stream is APIStatusError with status 200; only its type tells."""
    upstream = ScriptedUpstream("text", [ErrorEvent(kind, **where)])
    with pytest.raises(anthropic.APIStatusError) as caught:
        process.events(upstream, body, max_retries=2)
    assert type(caught.value) is anthropic.APIStatusError
    assert (caught.value.status_code, caught.value.type) == (200, kind)
    assert len(upstream.log) == 1


def test_an_error_event_that_is_no_json_has_no_type(caller, body):
    """Data that is not JSON leaves the type empty."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        caller.events(ScriptedUpstream("text", [ErrorEvent(after=4, data="upstream gone")]), body)
    assert (caught.value.type, caught.value.body) == (None, "upstream gone")


@pytest.mark.parametrize("kind", ["html200", "empty200", "json200", "no_event_names"])
def test_a_page_instead_of_a_stream_is_an_empty_success(caller, body, kind):
    """No exception and no event from create; an AssertionError from the helper."""
    upstream = ScriptedUpstream("text", [Garbage(kind)] * 2)
    assert caller.events(upstream, body) == []
    with pytest.raises(AssertionError):
        caller.final(upstream, body)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("bad_json", json.JSONDecodeError),
        ("bad_utf8", UnicodeDecodeError),
        ("short_length", httpx2.RemoteProtocolError),
        ("out_of_grammar", (RuntimeError, IndexError)),
    ],
)
def test_bad_records_raise_what_the_decoder_raises(caller, body, kind, error):
    """Nonsense in the stream leaves the SDK as whatever its decoder raised."""
    with pytest.raises(error):
        caller.final(ScriptedUpstream("text", [Garbage(kind)]), body)


def test_bad_tool_json_is_a_value_error_of_the_helper(process, body):
    """Tool input that is no JSON raises only in the helper."""
    upstream = ScriptedUpstream("tools", [Garbage("bad_tool_json")] * 2)
    process.events(upstream, body)
    with pytest.raises(ValueError, match="JSON"):
        process.final(upstream, body)


def test_a_second_start_corrupts_silently(process, body):
    """A second message_start raises nothing."""
    events = process.events(ScriptedUpstream("text", [Garbage("second_message_start")]), body)
    assert [event.type for event in events].count("message_start") == 2


def test_an_unknown_event_is_harmless(process, body):
    """A new kind of event passes, and the message is whole."""
    upstream = ScriptedUpstream("text", [Garbage("unknown_event")])
    assert joined(process.final(upstream, body).content) == upstream.expected_text(body)


def test_an_unknown_garbage_is_named_with_the_known_ones():
    """A misspelt kind fails at once."""
    with pytest.raises(ValueError, match="'html' is not a kind of garbage: html200"):
        Garbage("html")


@pytest.mark.parametrize("kind", GARBAGE_KINDS)
def test_garbage_never_changes_an_error_response(process, body, kind):
    """What spoils records leaves a response without records alone; a page replaces it."""
    upstream = ScriptedUpstream("text", [(Reject(529), Garbage(kind))])
    if kind.endswith("200"):
        assert process.events(upstream, body) == []
    else:
        with pytest.raises(anthropic.OverloadedError):
            process.events(upstream, body)


def test_a_drop_without_a_place_is_at_the_very_end(process, body):
    """Everything arrives, and then the connection ends."""
    with pytest.raises(httpx2.RemoteProtocolError):
        process.events(ScriptedUpstream("text", [Drop(how="fin")]), body)
    assert process.seen[-1].type == "message_stop"


def test_a_failure_after_the_last_event_still_raises(caller, body):
    """A reset after message_stop raises, although every event has arrived."""
    upstream = ScriptedUpstream("text", [Drop(phase="message_stop")])
    with pytest.raises(httpx2.ReadError):
        caller.events(upstream, body)
    assert caller.seen[-1].type == "message_stop"


def test_a_reset_of_a_whole_message_is_retried_by_the_sdk(process, body):
    """Without streaming a reset in the body is a connection error that the SDK does retry."""
    upstream = ScriptedUpstream("text", [Drop(at_byte=50)] * 2)
    with pytest.raises(anthropic.APIConnectionError):
        process.create(upstream, body, max_retries=1)
    assert upstream.log.strategies == ["original", "retry"]


@pytest.mark.parametrize("fault", [NoMessageStop(), NoMessageStop(blank_line=False)])
def test_a_missing_message_stop_is_silence(caller, body, fault):
    """Without its last event the message is there; without the blank line its stop reason is not."""
    final = caller.final(ScriptedUpstream("text", [fault]), body)
    assert final.stop_reason == ("end_turn" if fault.blank_line else None)


@pytest.mark.parametrize("size", [1, 7, (1, 2, 3), 10**6])
def test_splits_change_nothing(caller, body, size):
    """The same bytes in other writes are the same events, also inside a character."""
    upstream = ScriptedUpstream("unicode", [Split(size)])
    assert joined(caller.final(upstream, body).content) == upstream.expected_text(body)


def test_several_faults_are_suffered_in_turn(process, body):
    """A tuple of faults is one request's."""
    upstream = ScriptedUpstream("text", [(Split(3), Drop(after=4))])
    with pytest.raises(httpx2.ReadError):
        process.events(upstream, body)
    assert upstream.log[0].bytes_sent == 12


def test_slow_frames_take_virtual_time(virtual, body):
    """Each frame advances the clock, and one slower than the read timeout breaks the stream."""
    upstream = ScriptedUpstream("text", [Slow(2.0), Slow(7.0)])
    virtual.events(upstream, body, timeout=5.0)
    assert upstream.clock.now() > 20
    with pytest.raises(httpx2.ReadTimeout):
        virtual.events(upstream, body, timeout=5.0)


def test_a_plan_can_be_a_function(process, body):
    """A function of the attempt's number and the request chooses the fault, knowing what the request is."""
    seen = []

    def plan(attempt, recorded):
        seen.append((attempt, recorded.strategy, recorded.body["model"]))
        return Reject(500, headers={"retry-after-ms": "1"}) if attempt == 1 else None

    upstream = ScriptedUpstream("text", plan)
    with process.client(upstream, {"max_retries": 1}) as client:
        client.messages.create(**body)
    assert seen == [(1, "original", body["model"]), (2, "retry", body["model"])]


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_is_where_it_says(process, body, phase):
    """A drop at a phase comes right after such an event, and before the last of the kind where there are several."""
    upstream = ScriptedUpstream("thinking_tools", [Drop(phase=phase, how="eof")], ping_every=0)
    last = process.events(upstream, body)[-1]
    deltas = {"thinking": "thinking_delta", "text": "text_delta", "tool_json": "input_json_delta"}
    kinds = {"between_blocks": "content_block_stop", **{name: name for name in PHASES if name.startswith("message")}}
    assert (last.delta.type if phase in deltas else last.type) == {**kinds, **deltas}[phase]


def test_a_fault_that_is_never_reached_does_not_happen(process, body):
    """A place the answer does not have leaves it whole."""
    faults = [
        Drop(phase="tool_json"),
        Drop(at_byte=10**6),
        Drop(after=10**6),
        Stall(phase="thinking"),
        ErrorEvent(after=10**6),
    ]
    upstream = ScriptedUpstream("text", faults)
    for _ in faults:
        assert process.final(upstream, body).stop_reason == "end_turn"
    assert all(recorded.whole for recorded in upstream.log)


@given(at_byte=st.integers(0, 6000), size=st.integers(1, 40))
def test_a_cut_is_at_its_byte(at_byte, size):
    """Whatever the writes, exactly the bytes before the cut arrive."""
    payload = json.dumps(
        {"model": "m", "max_tokens": 99, "stream": True, "messages": [{"role": "user", "content": "x"}]}
    ).encode()

    def body_of(*faults):
        upstream = ScriptedUpstream("thinking_tools", [faults])
        return upstream.exchange("POST", "/v1/messages", {"x-api-key": "k"}, payload).answer

    whole = body_of().body
    assert len(whole) > 6000
    for faults in ((Split(size), Drop(at_byte=at_byte)), (Drop(at_byte=at_byte), Split(size))):
        answer = body_of(*faults)
        assert answer.body == whole[:at_byte]
        assert answer.ending.how == "rst"


def test_a_compressed_body_arrives_and_its_truncation_is_silent(caller, body):
    """With gzip the text is the same, and a truncated body raises nothing."""
    upstream = ScriptedUpstream("unicode", [None, Truncate(after=12)], gzip=True)
    assert joined(caller.final(upstream, body).content) == upstream.expected_text(body)
    assert caller.final(upstream, body).stop_reason is None


def test_a_compressed_body_can_be_reset(caller, body):
    """With gzip a reset raises as it does without."""
    upstream = ScriptedUpstream("text", [Drop(after=9)], gzip=True)
    with pytest.raises(httpx2.ReadError):
        caller.events(upstream, body)
    assert len(caller.seen) > 5


def test_both_ways_and_colours_see_the_same(body):
    """HTTP and in-process transport give the same events up to the same cut."""
    seen = []
    for way in WAYS:
        with calling(way) as caller:
            upstream = ScriptedUpstream("thinking_tools", [Drop(at_byte=2345)])
            with pytest.raises(httpx2.ReadError):
                caller.events(upstream, body)
            seen.append([event.model_dump() for event in caller.seen])
            assert upstream.log[0].bytes_sent == 2345
    assert seen[0] == seen[1] == seen[2] == seen[3]
