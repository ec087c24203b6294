"""A call with a store: its stream is in the log before the caller has it, and is found again by its ID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import resumable
from resumable import SessionConflictError, SessionEndedError, SessionNotFoundError, StoreUnavailableError
from resumable.testing import Drop, Reject, ScriptedUpstream, Truncate
from tests.sessions.calls import Calls, body, client_of, expected_text, new_id, text_of

if TYPE_CHECKING:
    from pathlib import Path


def kept(store: str, session_id: str) -> list[Any]:
    """Give the events that the log holds."""
    with resumable.Sessions(store) as sessions:
        return [event.event for event in sessions.replay(session_id, changes=False)]


def test_the_log_holds_what_the_caller_got(calls: Calls):
    """Every event of a recovered message is in the log once, under the ID that the headers tell."""
    session_id = new_id()
    with ScriptedUpstream("text", [Drop(after=9), Truncate(after=3)]) as upstream:
        assert calls.text(upstream, session_id) == expected_text()
    assert calls.headers["resumable-session"] == session_id
    events = kept(calls.store, session_id)
    assert [event["type"] for event in events][:2] == ["message_start", "content_block_start"]
    assert events[-1]["type"] == "message_stop"
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas) == expected_text()


def test_the_checkpoint_says_what_became_of_it(calls: Calls):
    """Status, model, attempts and usage are there for people, and no key is."""
    session_id = new_id()
    with ScriptedUpstream("text", [Drop(after=9)]) as upstream:
        calls.text(upstream, session_id, principal="me")
    with resumable.Sessions(calls.store) as sessions:
        found = sessions.get(session_id)
        request = sessions.request(session_id)
    assert found.status.value == "complete"
    assert (found.text("model"), found.text("attempt"), found.text("strategy")) == (body()["model"], "2", "prefill")
    assert (found.principal, found.text("stop_reason")) == ("me", "end_turn")
    assert found.number("text_chars") == len(expected_text())
    assert found.last_seq == len(kept(calls.store, session_id))
    assert b"Tell me." in request
    assert b"sk-secret" not in request + b"".join(found.fields.values())


def test_the_same_call_again_is_not_sent_again(calls: Calls):
    """An existing ID with the same request gives the message that is there (idempotent start)."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        first = calls.text(upstream, session_id)
        assert calls.text(upstream, session_id) == first
        assert calls.resumed(upstream, session_id) == first
        assert len(upstream.log) == 1


def test_another_call_under_the_same_id_is_refused(calls: Calls):
    """Nothing is sent, and the SDK does not retry."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        calls.text(upstream, session_id)
        with pytest.raises(SessionConflictError):
            calls.text(upstream, session_id, body("Something else."))
        assert len(upstream.log) == 1


def test_calls_inside_one_name_are_numbered(calls: Calls):
    """The n-th call inside is the name with its number."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        client = resumable.wrap(client_of(upstream), store=calls.store)
        with client, resumable.session(session_id):
            for _ in range(2):
                text_of(list(client.messages.create(stream=True, **body())))
    with resumable.Sessions(calls.store) as sessions:
        assert sessions.get(session_id).status.value == sessions.get(f"{session_id}.2").status.value == "complete"


def test_a_call_that_nobody_named_is_kept_too(calls: Calls):
    """With a store every stream is a session, under an ID that cannot be guessed."""
    with ScriptedUpstream("text") as upstream:
        calls.text(upstream)
    assert len(calls.headers["resumable-session"]) > 20
    assert kept(calls.store, calls.headers["resumable-session"])


def test_an_unknown_id_cannot_be_resumed(calls: Calls):
    """There is nothing to send without a request."""
    with ScriptedUpstream("text") as upstream, pytest.raises(SessionNotFoundError):
        calls.resumed(upstream, new_id())


def test_a_failed_session_says_so_to_everybody(calls: Calls):
    """Who failed gets the SDK's error; who reads later gets what there was, and then that it failed."""
    session_id = new_id()
    with ScriptedUpstream("text", [Drop(after=9), Reject(404)]) as upstream:
        with pytest.raises(Exception, match=r"404|not_found|does not heal"):
            calls.text(upstream, session_id)
        with pytest.raises(SessionEndedError) as raised:
            calls.resumed(upstream, session_id)
    assert raised.value.status == "failed"
    with resumable.Sessions(calls.store) as sessions:
        assert "Error" in sessions.get(session_id).text("error")


def test_a_refusal_before_the_stream_is_a_failed_session(calls: Calls):
    """The caller gets the SDK's own error, and the session is over."""
    session_id = new_id()
    with ScriptedUpstream("text", [Reject(401)]) as upstream, pytest.raises(Exception, match=r"401|authentication"):
        calls.text(upstream, session_id)
    with resumable.Sessions(calls.store) as sessions:
        assert sessions.get(session_id).status.value == "failed"


def test_leaving_early_cancels(store: str):
    """Nobody is there to finish what the caller closed: the log ends with a marker that readers see."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        client = resumable.wrap(client_of(upstream), store=store)
        with client, resumable.session(session_id), client.messages.create(stream=True, **body()) as stream:
            next(iter(stream))
        with pytest.raises(SessionEndedError) as raised:
            Calls("sync", store).resumed(upstream, session_id)
    assert raised.value.status == "cancelled"


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_store_that_is_away_is_borne(colour: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Where a session cannot be opened the stream flows all the same; log, headers and report say it is not kept."""
    session_id, calls = new_id(), Calls(colour, f"unix://{tmp_path}/nobody")
    with ScriptedUpstream("text", [Drop(after=9)]) as upstream:
        assert calls.text(upstream, session_id) == expected_text()
    assert f"resumable.session_not_kept session={session_id} reason=connection" in caplog.text
    assert (calls.headers["resumable-session"], calls.headers["resumable-unkept"]) == (session_id, "connection")
    assert calls.report is not None
    assert (calls.report.session_id, calls.report.unkept, len(calls.report.attempts)) == (session_id, "connection", 2)


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_store_that_is_away_is_an_error_where_that_is_wanted(colour: str, tmp_path: Path):
    """Nothing is sent that could not be kept."""
    with ScriptedUpstream("text") as upstream:
        with pytest.raises(StoreUnavailableError):
            Calls(colour, f"unix://{tmp_path}/nobody").text(upstream, new_id(), store_outage="fail")
        assert len(upstream.log) == 0
