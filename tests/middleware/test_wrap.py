"""What `wrap` and `Resumable` accept, what they refuse and in which words, and that recovery never multiplies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

import resumable
from resumable import ConfigurationError, RecoveryError, Resumable, RetryPolicy
from resumable.testing import Drop, Refuse, ScriptedUpstream
from tests.middleware.conftest import client_of, half

if TYPE_CHECKING:
    from tests.middleware.conftest import Caller

NAMES = "tool_use, server_tool_use, structured_output, signature, text_edge, text"


def bare(**options: Any) -> anthropic.Anthropic:
    """Make a client that is not wrapped."""
    return anthropic.Anthropic(api_key="k", base_url="http://upstream.test", **options)


@pytest.mark.parametrize("kind", [anthropic.Anthropic, anthropic.AsyncAnthropic])
def test_wrap_returns_the_same_type_and_changes_nothing(kind: Any):
    """The wrapped client is another client of the same class that shares the connections of the first."""
    client = kind(api_key="k", max_retries=7, timeout=12.0)
    wrapped = resumable.wrap(client)
    assert type(wrapped) is kind
    assert wrapped is not client
    assert (client.middleware, len(wrapped.middleware)) == ((), 1)
    assert isinstance(wrapped.middleware[0], Resumable)
    assert (wrapped.api_key, wrapped.max_retries, wrapped.timeout) == ("k", 7, 12.0)


@pytest.mark.parametrize(
    ("client", "what"),
    [
        (anthropic.Anthropic, "the class Anthropic"),
        (anthropic.AsyncAnthropic, "the class AsyncAnthropic"),
        ("sk-key", "of type str"),
        (None, "of type NoneType"),
        (object(), "of type object"),
    ],
    ids=["class", "async class", "key", "none", "object"],
)
def test_what_is_no_client_is_refused(client: Any, what: str):
    """The error names what was passed and what to pass instead, and never shows its value."""
    with pytest.raises(ConfigurationError) as raised:
        resumable.wrap(client)
    problem, remedy = raised.value.problem, raised.value.remedy
    assert problem == f"it is {what}, no client of the SDK's"
    assert remedy == "pass anthropic.Anthropic(), anthropic.AsyncAnthropic() or the SDK's client for another platform"
    assert raised.value.argument == "client"
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("url", ["sqlite://", "", "memory:", 7])
def test_what_is_no_store_is_refused(url: Any):
    """A store that cannot be is refused before anything is sent, without showing it."""
    with pytest.raises(ConfigurationError) as raised:
        resumable.wrap(bare(), store=url)
    assert raised.value.argument == "store"
    assert raised.value.remedy.startswith("pass ")


@pytest.mark.parametrize(
    "kept", [{"lease": 1.9}, {"lease": math.nan}, {"durability": "none"}, {"store_outage": "ignore"}], ids=str
)
def test_terms_that_cannot_work_are_refused(kept: Any):
    """A lease too short to be kept, and words that mean nothing, are refused with what would do."""
    with pytest.raises(ConfigurationError) as raised:
        resumable.wrap(bare(), store="memory://", **kept)
    assert raised.value.argument in kept
    assert raised.value.remedy.startswith("pass ")


@pytest.mark.parametrize(
    ("hold", "problem"),
    [
        ("tool_use", "a single string"),
        (["tool_use", "images"], "unknown: images"),
        ({"b", "a"}, "unknown: a, b"),
        ([7], "unknown: 7"),
        (7, "int is no collection of names"),
        ([["tool_use"]], "unknown: ['tool_use']"),
    ],
    ids=["string", "unknown", "two", "number in it", "number", "list in it"],
)
def test_what_cannot_be_held_is_refused(hold: Any, problem: str):
    """A name that means nothing would silently hold nothing, so it is an error."""
    with pytest.raises(ConfigurationError) as raised:
        resumable.wrap(bare(), hold=hold)
    assert str(raised.value) == f"hold: {problem}; pass a collection of names out of {NAMES}"


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ({"max_attempts": 3}, "policy: dict is no RetryPolicy; pass a RetryPolicy"),
        (RetryPolicy, "policy: type is no RetryPolicy; pass a RetryPolicy"),
    ],
    ids=["dict", "class"],
)
def test_only_a_policy_is_a_policy(policy: Any, sentence: str):
    """A policy of another type is refused."""
    with pytest.raises(ConfigurationError) as raised:
        resumable.wrap(bare(), policy=policy)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"strategies": ("magic",)}, "strategies"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"bytes_timeout": -1.0}, "bytes_timeout"),
        ({"instruction": "Go on."}, "instruction"),
        ({"on_uncertain": "guess"}, "on_uncertain"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_policy_that_can_never_succeed_is_refused(options: Any, argument: str):
    """The error says which argument of the policy cannot work, when the policy is made."""
    with pytest.raises(ConfigurationError) as raised:
        RetryPolicy(**options)
    assert raised.value.argument == argument


def test_what_is_called_back_must_be_callable():
    """A callback that can't be called is refused at once, not at the first failure in production."""
    with pytest.raises(ConfigurationError) as raised:
        resumable.wrap(bare(), on_recovery="print")  # type: ignore[arg-type]  # Reason: tested
    assert str(raised.value) == "on_recovery: a str cannot be called; pass a function of one notice, or None"


@pytest.mark.parametrize("kind", [anthropic.Anthropic, anthropic.AsyncAnthropic])
def test_wrapping_twice_is_refused(kind: Any):
    """Which of two policies would hold is nobody's guess, so the second is an error."""
    wrapped = resumable.wrap(kind(api_key="k"))
    for client in (wrapped, wrapped.with_options(timeout=1.0), kind(api_key="k", middleware=[Resumable()])):
        with pytest.raises(ConfigurationError, match="client: it is wrapped already; wrap a client once"):
            resumable.wrap(client)


def test_two_in_one_chain_do_not_multiply(caller: Caller, body):
    """Where two of us meet all the same, the outer one recovers and the inner one lets everything pass."""
    upstream = ScriptedUpstream("text", lambda *_: Drop(after=9))
    inner = Resumable(clock=upstream.clock, chance=half, policy=RetryPolicy(max_attempts=7))
    error: Any = caller.error(upstream, body, policy=RetryPolicy(max_attempts=3), inner=[inner])
    assert issubclass(type(error), RecoveryError)
    assert len(upstream.log.messages) == 3
    upstream = ScriptedUpstream("text", lambda *_: Refuse())
    inner = Resumable(clock=upstream.clock, chance=half)
    caller.error(upstream, body, policy=RetryPolicy(max_attempts=3), inner=[inner], max_retries=2)
    assert len(upstream.log.messages) == 3


def test_copies_keep_the_middleware(body):
    """Clients that are made from a wrapped one recover like it."""
    upstream = ScriptedUpstream("text", lambda number, _: Drop(after=9) if number % 2 else None, vary=False)
    with client_of(upstream) as client:
        for made in (client, client.copy(), client.with_options(timeout=5.0, max_retries=1)):
            with made.messages.stream(**body) as stream:
                assert stream.get_final_text() == upstream.expected_text(body)
            assert len(resumable.report(stream).attempts) == 2


def test_one_middleware_serves_many_clients(body):
    """A `Resumable` is made once and shared, also between clients of both colours."""
    shared = Resumable()
    upstream = ScriptedUpstream("text", [Drop(after=9), None, Drop(after=9)], vary=False)
    for _ in range(2):
        with client_of(upstream, middleware=[shared]) as client, client.messages.stream(**body) as stream:
            assert stream.get_final_text() == upstream.expected_text(body)
    anthropic.AsyncAnthropic(api_key="k", middleware=[shared])
    assert len(upstream.log.messages) == 4
