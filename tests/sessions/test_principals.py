"""Whose a session is, and that nobody's credentials are kept with it."""

from __future__ import annotations

import pytest

import resumable
from resumable import SessionForbiddenError
from resumable.testing import ScriptedUpstream
from tests.sessions.calls import Calls, body, client_of, expected_text, new_id, text_of

TOOLS = {"mcp_servers": [{"type": "url", "name": "m", "url": "https://example.com", "authorization_token": "tok-1"}]}


def test_a_session_is_its_principals(calls: Calls):
    """The same call in another name is refused, and nothing is sent; in its own name it gets the message."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        calls.text(upstream, session_id, principal="alice")
        for other in ("bob", ""):
            with pytest.raises(SessionForbiddenError):
                calls.text(upstream, session_id, principal=other)
        assert calls.text(upstream, session_id, principal="alice") == expected_text()
        assert len(upstream.log) == 1


def test_what_is_nobodys_is_anybodys(calls: Calls):
    """A session that was opened in no name can be read and finished in any."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        calls.text(upstream, session_id)
        assert calls.text(upstream, session_id, principal="alice") == expected_text()


def test_a_resume_is_in_a_name_too(calls: Calls):
    """By ID: a client of another principal, or of none, is refused; the right name may be said at the call."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream, resumable.Sessions(calls.store) as sessions:
        calls.text(upstream, session_id, principal="alice")
        with pytest.raises(SessionForbiddenError):
            calls.resumed(upstream, session_id)
        assert calls.resumed(upstream, session_id, principal="alice") == expected_text()
        with client_of(upstream) as client:
            with pytest.raises(SessionForbiddenError):
                sessions.resume(resumable.wrap(client, principal="bob"), session_id)
            with sessions.resume(resumable.wrap(client, principal="alice"), session_id) as stream:
                assert text_of(list(stream)) == expected_text()


def test_no_credential_is_kept(calls: Calls):
    """Neither the client's key nor tokens for others in the request; with another token it is the same request."""
    session_id = new_id()
    with ScriptedUpstream("text") as upstream:
        calls.text(upstream, session_id, {**body(), "extra_body": TOOLS})
        again = {"mcp_servers": [{**TOOLS["mcp_servers"][0], "authorization_token": "tok-2"}]}
        calls.text(upstream, session_id, {**body(), "extra_body": again})
        assert len(upstream.log) == 1
        assert "tok-1" in str(upstream.log.messages[0].body)
    with resumable.Sessions(calls.store) as sessions:
        kept = sessions.request(session_id) + b"".join(sessions.get(session_id).fields.values())
    assert b"example.com" in kept
    assert b"tok-" not in kept
    assert b"sk-secret" not in kept
