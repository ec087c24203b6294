"""Every platform recovers as the API does: the same text, whatever broke."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

import resumable
from resumable import RetriesExhaustedError, RetryPolicy
from resumable.testing import Drop, ErrorEvent, Refuse, Reject, ScriptedUpstream, Split, Stall, Truncate
from tests.pages import names, read, tables
from tests.platforms.conftest import PLATFORMS, PREFIXES, PlatformCaller

pytest.importorskip("botocore", reason="anthropic[bedrock] brings it")

FAULTS: dict[str, Any] = {
    "rst": Drop(after=9),
    "fin": Drop(after=9, how="fin"),
    "clean end": Truncate(after=9),
    "inside an event": Truncate(at_byte=2000),
    "stall": Stall(after=9),
    "stall with pings": Stall(after=9, pings=True),
    "overloaded_error": ErrorEvent("overloaded_error", after=9),
    "overloaded_error first": ErrorEvent("overloaded_error", after=0),
    "rate_limit_error": ErrorEvent("rate_limit_error", after=9),
    "529": Reject(529),
    "503": Reject(503),
    "429": Reject(429, headers={"retry-after": "3"}),
    "refused": Refuse(),
    "split": [Split(5), Drop(after=700)],
}


def of_the_platform(platform: str) -> str:
    """Say how the scripted upstream knows a platform."""
    return {"Bedrock": "bedrock", "Vertex": "vertex"}.get(platform, "anthropic")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_text_is_whole(caller: PlatformCaller, body, fault: Any):
    """One message with the text of a stream that nothing happened to (law L2), and never more than one request more."""
    upstream = ScriptedUpstream("text", [fault], vary=False)
    assert caller.text(upstream, body) == upstream.expected_text(body)
    assert [event.type for event in caller.seen].count("message_start") == 1
    assert caller.seen[-1].type == "message_stop"
    assert len(resumable.report(caller.stream).attempts) == len(upstream.log.messages) == 2
    assert {request.platform for request in upstream.log} == {of_the_platform(caller.platform)}


def test_nothing_changes_without_a_fault(caller: PlatformCaller, body):
    """The events are those of a client that is not wrapped (law L10)."""
    upstream = ScriptedUpstream("auto", vary=False)
    bare = caller.events(upstream, body, bare=True)
    assert caller.events(ScriptedUpstream("auto", vary=False), body) == bare


@pytest.mark.parametrize("fault", [Drop(after=9), Drop(after=9, how="fin"), Truncate(after=9)], ids=str)
def test_it_holds_over_sockets(caller: PlatformCaller, body, fault: Any):
    """The same over HTTP on the loopback interface."""
    with ScriptedUpstream("text", [fault]) as upstream:
        assert caller.text(upstream, body) == upstream.expected_text(body)
        assert len(upstream.log.messages) == 2


def test_what_is_left_is_an_error_of_both(caller: PlatformCaller, body):
    """After part of the answer, the last failure decides which class of the SDK's it is."""
    upstream = ScriptedUpstream("text", [Drop(after=9)] + [ErrorEvent("rate_limit_error", after=0)] * 2)
    error = caller.error(upstream, body, policy=RetryPolicy(max_attempts=3))
    assert isinstance(error, RetriesExhaustedError)
    assert isinstance(error, anthropic.RateLimitError)
    assert error.partial is not None


def test_nothing_delivered_is_the_sdk_s_own_error(caller: PlatformCaller, body):
    """A caller who received nothing catches what a bare client would have raised, after our attempts alone."""
    upstream = ScriptedUpstream("text", [Reject(529)] * 5)
    error = caller.error(upstream, body, policy=RetryPolicy(max_attempts=3), max_retries=2)
    status = 503 if caller.platform == "Bedrock" else 529
    assert (type(error).__module__.partition(".")[0], error.status_code) == ("anthropic", status)
    assert len(upstream.log.messages) == 3


def test_wrap_takes_every_client(caller: PlatformCaller):
    """The wrapped client is of the same class, with the middleware and the platform's own settings."""
    client = caller.client(ScriptedUpstream(), bare=True)
    wrapped = resumable.wrap(client)
    assert type(wrapped) is type(client)
    assert (len(client.middleware), len(wrapped.middleware)) == (0, 1)
    assert wrapped.base_url == client.base_url
    with pytest.raises(resumable.ConfigurationError, match="it is wrapped already"):
        resumable.wrap(wrapped)


def test_no_client_of_the_sdk_s_is_forgotten():
    """A platform that the SDK adds makes this fail until it is listed here and on the page about platforms."""
    found = {name.removeprefix("Async") for name in dir(anthropic) if "Anthropic" in name and name[-5:] != "Error"}
    assert found == {"Anthropic"} | {f"Anthropic{platform}" for platform in PLATFORMS}
    [listed] = tables(read("docs/how-to/platforms.md"))
    assert {name for row in listed[1:] for name in names(row[0])} == found
    assert set(PREFIXES) <= set(PLATFORMS)
