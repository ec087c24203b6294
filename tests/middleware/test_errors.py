"""What the caller catches: the SDK's own error, or one that is both ours and the SDK's."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

import resumable
from resumable import (
    NotContinuableError,
    RecoveryError,
    RetriesExhaustedError,
    RetryPolicy,
    SeamError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable.testing import Drop, ErrorEvent, Refuse, Reject, Reply, ScriptedUpstream, Stall, Text
from tests.middleware.conftest import client_of, text_of

if TYPE_CHECKING:
    from tests.middleware.conftest import Caller

TWO = RetryPolicy(max_attempts=2)
SECRET = "the quick brown fox jumps over the lazy dog and says what nobody else may ever read"


def after_text(fault: Any) -> list[Any]:
    """Deliver some text, then fail for good with *fault*."""
    return [Drop(after=9), fault]


def test_nothing_delivered_gives_the_sdks_own_status_error(caller: Caller, body):
    """Class, status, type, body and request id are those of upstream's last answer, as without us."""
    upstream = ScriptedUpstream("text", [Reject(529), Reject(404, message="no such model")])
    error: Any = caller.error(upstream, body, policy=TWO)
    assert [type(error)] == [anthropic.NotFoundError]
    assert error.status_code == 404
    assert error.type == "not_found_error"
    assert error.body["error"] == {"type": "not_found_error", "message": "no such model"}
    assert error.request_id == error.body["request_id"]
    assert resumable.report(error).attempts[1].failure.status == 404  # type: ignore[union-attr]  # Reason: tested


def test_nothing_delivered_gives_the_sdks_own_event_error(caller: Caller, body):
    """An `error` event before any text arrives as the SDK raises it: status 200, type and body of the event."""
    upstream = ScriptedUpstream("text", lambda *_: ErrorEvent("overloaded_error", after=0, message="too many"))
    error: Any = caller.error(upstream, body, policy=TWO)
    assert [type(error)] == [anthropic.APIStatusError]
    assert (error.status_code, error.type) == (200, "overloaded_error")
    assert error.body["error"]["message"] == "too many"
    assert len(resumable.report(error).attempts) == 2


def test_nothing_delivered_gives_the_sdks_own_connection_error(caller: Caller, body):
    """The error is the one the SDK raised, with its cause; a note says what was tried."""
    error: Any = caller.error(ScriptedUpstream("text", lambda *_: Refuse()), body, policy=TWO)
    assert [type(error)] == [anthropic.APIConnectionError]
    assert "Connection refused" in str(error.__cause__)
    assert "gave up after 2 attempts" in error.__notes__[0]
    assert len(resumable.report(error).attempts) == 2
    assert error.request.url.path == "/v1/messages"


def test_something_delivered_gives_an_error_that_is_both(caller: Caller, body):
    """The error says how far the message came, under which session, after what."""
    fault = Reject(403, message="not for you")
    upstream = ScriptedUpstream("text", after_text(fault))
    error: Any = caller.error(upstream, body)
    assert issubclass(type(error), RetriesExhaustedError)
    assert issubclass(type(error), anthropic.PermissionDeniedError)
    assert error.partial["role"] == "assistant"
    assert error.partial["content"][0]["text"] == text_of(caller.seen)
    assert error.attempts == 2 == len(error.report.attempts)
    assert error.session_id == error.report.session_id == resumable.report(error).session_id
    assert isinstance(error.last, UpstreamStatusError)
    assert "does not heal" in str(error) == error.message
    assert error.response.status_code == fault.status


@pytest.mark.parametrize(
    ("fault", "caught"),
    [
        (Reject(429), anthropic.RateLimitError),
        (Reject(529), anthropic.OverloadedError),
        (Reject(500), anthropic.APIStatusError),
        (ErrorEvent("overloaded_error", after=0), anthropic.OverloadedError),
        (ErrorEvent("rate_limit_error", after=0), anthropic.RateLimitError),
        (ErrorEvent("weird_error", after=0), anthropic.APIStatusError),
        (Refuse(), anthropic.APIConnectionError),
        (Stall(after=0), anthropic.APITimeoutError),
        (Stall(phase="headers"), anthropic.APITimeoutError),
        (Drop(after=0), anthropic.APIConnectionError),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
def test_handlers_that_people_have_catch_it(body, fault: Any, caught: type[Exception]):
    """Code that catches the SDK's class for a failure catches ours, and reads what it always read."""
    upstream = ScriptedUpstream("text", after_text(fault))
    with client_of(upstream, policy=TWO) as client, pytest.raises(caught) as raised:
        list(client.messages.create(**body, stream=True))
    error: Any = raised.value
    assert issubclass(type(error), RecoveryError)
    assert error.request.method == "POST"
    if isinstance(error, anthropic.APIStatusError):
        assert error.status_code == getattr(fault, "status", 200)
        assert error.request_id
        assert error.type
        assert (error.error_code, error.details, error.workspace_id) == (None, None, None)


def test_the_facts_are_those_of_the_answer_that_failed(caller: Caller, body):
    """Request id, code and body are those of the last attempt's answer, not of the one the stream began with."""
    fault = Reject(429, error_code="enforced_spend_limit_reached", message="all spent")
    upstream = ScriptedUpstream("text", after_text(fault))
    error: Any = caller.error(upstream, body)
    assert error.body["error"]["message"] == "all spent" == error.api_message
    assert error.request_id == error.body["request_id"]
    assert error.error_code == "enforced_spend_limit_reached"


@pytest.mark.parametrize("fault", [Reject(529), ErrorEvent("api_error", after=0), Refuse(), Stall(after=0)], ids=repr)
@pytest.mark.parametrize("remade", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_it_travels_between_processes(body, fault: Any, remade: Any):
    """A copy and an unpickled error are of the same classes and carry the same facts."""
    upstream = ScriptedUpstream("text", after_text(fault))
    with client_of(upstream, policy=TWO) as client, pytest.raises(RecoveryError) as raised:
        list(client.messages.create(**body, stream=True))
    error: Any = raised.value
    twin = remade(error)
    assert type(twin) is type(error)
    assert (str(twin), repr(twin)) == (str(error), repr(error))
    assert repr(twin.args) == repr(error.args)
    assert (twin.partial, twin.session_id, twin.attempts) == (error.partial, error.session_id, error.attempts)
    assert (type(twin.last), str(twin.last)) == (type(error.last), str(error.last))
    assert resumable.report(twin).session_id == error.session_id
    assert getattr(twin, "status_code", 0) == getattr(error, "status_code", 0)


def test_every_bare_error_travels_too(body):
    """The SDK's own errors stay picklable with what we hang on to them."""
    for fault in (Reject(404), Refuse(), ErrorEvent(after=0)):
        upstream = ScriptedUpstream("text", lambda *_, fault=fault: fault)
        with client_of(upstream, policy=TWO) as client, pytest.raises(anthropic.APIError) as raised:
            list(client.messages.create(**body, stream=True))
        assert type(pickle.loads(pickle.dumps(raised.value))) is type(raised.value)


def test_a_seam_that_is_not_certain_is_an_error(caller: Caller, body):
    """When no continuation joins, the caller gets a `SeamError` that is a connection error, with the partial."""
    upstream = ScriptedUpstream("text", [Drop(after=9)], continuer="diverges")
    error: Any = caller.error(upstream, body)
    assert issubclass(type(error), SeamError)
    assert issubclass(type(error), anthropic.APIConnectionError)
    assert error.partial["content"][0]["text"] == text_of(caller.seen)


def test_what_cannot_be_continued_is_an_error_with_the_first_failure(caller: Caller, body):
    """A refused continuation is never the caller's error: the first failure is named, with its SDK class."""
    upstream = ScriptedUpstream("text", [ErrorEvent("overloaded_error", after=9), Reject(400)])
    error: Any = caller.error(upstream, body)
    assert issubclass(type(error), NotContinuableError)
    assert issubclass(type(error), anthropic.OverloadedError)
    assert isinstance(error.last, UpstreamEventError)
    assert error.body["error"]["type"] == "overloaded_error"


def test_errors_and_logs_hold_no_content_and_no_key(caller: Caller, body, caplog):
    """Neither prompt, completion nor key is in a sentence, a repr or a log line."""
    caplog.set_level(0)
    told: list[Any] = []
    body["messages"][0]["content"] = SECRET
    upstream = ScriptedUpstream(Reply([Text(f"{SECRET}. " * 20)]), [Drop(after=9), Drop(after=9), Reject(403)])
    error: Any = caller.error(upstream, body, on_recovery=told.append)
    said = [str(error), repr(error), *map(repr, told), *(str(one.failure) for one in told)]
    said += [record.getMessage() for record in caplog.records if record.name.startswith("resumable")]
    assert len(told) == 3
    assert len(said) == 2 + 3 + 3 + 3
    words = [*SECRET.split()[1:3], "sk-secret"]
    assert not [word for word in words for sentence in said if word in sentence]


def test_iterating_after_the_error_ends(body):
    """An error is raised once; whoever iterates on is at the end, as with the SDK."""
    upstream = ScriptedUpstream("text", after_text(Reject(403)))
    with client_of(upstream) as client:
        stream = client.messages.create(**body, stream=True)
        with pytest.raises(RecoveryError):
            list(stream)
        assert list(stream) == []
    assert len(upstream.log.messages) == 2
