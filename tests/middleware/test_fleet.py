"""Workers of one store spare each other refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import pytest

import resumable
from resumable import RetryPolicy
from resumable._core.store_errors import StoreUnavailableError
from resumable.middleware import Resumable
from resumable.middleware._fleet import Identity, credential_key, name_of
from resumable.store import AsyncMemoryStore, MemoryStore
from resumable.testing import ErrorEvent, Reject, ScriptedUpstream, Truncate

MODEL = "claude-haiku-4-5"
BODY: dict[str, Any] = {"model": MODEL, "max_tokens": 4096, "messages": [{"role": "user", "content": "Tell me."}]}
LIMITED = Reject(429, headers={"retry-after": "10"})
ONCE = RetryPolicy(max_attempts=1)
IDENTITY = Identity("http://upstream.test", credential_key({"x-api-key": "sk-secret"}))


@pytest.fixture(params=["sync", "async"])
def colour(request: Any) -> str:
    """Both colours."""
    return str(request.param)


class Workers:
    """Workers of one store and one clock, each with a middleware of its own; one call each."""

    def __init__(self, colour: str, upstream: ScriptedUpstream) -> None:
        self.colour = colour
        self.upstream = upstream
        kind = MemoryStore if colour == "sync" else AsyncMemoryStore
        self.store: Any = kind(clock=upstream.clock.now)
        self.calls: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def add(
        self, *, key: str = "sk-secret", model: str = MODEL, at: str = "http://upstream.test", **options: Any
    ) -> None:
        """Let one more worker call, after those before it."""
        chosen = {"clock": self.upstream.clock, "chance": lambda: 0.5, "store": self.store, **options}
        self.calls.append((chosen, {"api_key": key, "base_url": at, "model": model}))

    def run(self) -> list[Any]:
        """Make the calls, and give each one's report, or what it raised."""
        if self.colour == "sync":
            return [self._call(*call) for call in self.calls]

        async def together() -> list[Any]:
            return [await self._acall(*call) for call in self.calls]

        return asyncio.run(together())

    def _call(self, ours: dict[str, Any], client: dict[str, Any]) -> Any:
        model = client.pop("model")
        transport = anthropic.DefaultHttpxClient(transport=self.upstream.transport())
        with anthropic.Anthropic(http_client=transport, max_retries=0, **client) as own:
            middleware = Resumable(**ours)
            middleware._fleet.introduce(own)
            try:
                with own.with_middleware(middleware).messages.create(stream=True, **{**BODY, "model": model}) as stream:
                    assert list(stream)[-1].type == "message_stop"
                return resumable.report(stream)
            except anthropic.APIError as error:
                return error
            finally:
                assert all(done.wait(10) for board in _boards(middleware) for done in board._on_their_way)

    async def _acall(self, ours: dict[str, Any], client: dict[str, Any]) -> Any:
        model = client.pop("model")
        transport = anthropic.DefaultAsyncHttpxClient(transport=self.upstream.async_transport())
        async with anthropic.AsyncAnthropic(http_client=transport, max_retries=0, **client) as own:
            middleware = Resumable(**ours)
            middleware._fleet.introduce(own)
            try:
                wrapped = own.with_middleware(middleware)
                async with await wrapped.messages.create(stream=True, **{**BODY, "model": model}) as stream:
                    assert [event async for event in stream][-1].type == "message_stop"
                return resumable.report(stream)
            except anthropic.APIError as error:
                return error
            finally:
                for board in _boards(middleware):
                    await asyncio.gather(*board._tasks)


def _boards(middleware: Resumable) -> list[Any]:
    return list(middleware._fleet._boards.values())


def test_a_rate_limit_is_met_once(colour):
    """After one worker's 429 the next holds back, as long as upstream asked and its part of the spread."""
    upstream = ScriptedUpstream("text", [LIMITED])
    workers = Workers(colour, upstream)
    workers.add(policy=ONCE)
    workers.add()
    refused, report = workers.run()
    assert isinstance(refused, anthropic.RateLimitError)
    assert (report.deferred, report.waited, len(report.attempts)) == (12.5, 0.0, 1)
    assert len(upstream.log) == 2


@pytest.mark.parametrize(
    ("fault", "other", "deferred"),
    [
        (LIMITED, {"key": "sk-other"}, 0.0),
        (LIMITED, {"model": "claude-sonnet-5"}, 0.0),
        (LIMITED, {"fleet": False}, 0.0),
        (Reject(429, headers={"retry-after": "10"}, error_code="enforced_spend_limit_reached"), {}, 0.0),
        (Reject(529), {"key": "sk-other"}, 10.0),
        (Reject(529), {"model": "claude-sonnet-5"}, 0.0),
        (Reject(529), {"at": "http://other.test"}, 0.0),
        (Reject(500), {}, 0.0),
    ],
    ids=repr,
)
def test_whom_a_refusal_concerns(colour, fault, other, deferred):
    """A 429 concerns one model and credential, a 529 one model and upstream, and nobody who opted out."""
    workers = Workers(colour, ScriptedUpstream("text", [fault]))
    workers.add(policy=ONCE)
    workers.add(**other)
    assert workers.run()[1].deferred == deferred


def test_an_overload_in_mid_stream_is_told(colour):
    """A 529 that arrives as an event counts as one that arrives as a status."""
    workers = Workers(colour, ScriptedUpstream("text", [ErrorEvent("overloaded_error", after=9)]))
    workers.add(policy=ONCE)
    workers.add()
    assert workers.run()[1].deferred == 10.0


def test_what_a_model_refuses_is_learned_once(colour):
    """One worker's refused prefill is spared to the next."""
    refusal = Reject(400, message="This model does not support assistant message prefill.")
    upstream = ScriptedUpstream("text", [Truncate(after=9), refusal, None, Truncate(after=9)])
    workers = Workers(colour, upstream)
    workers.add()
    workers.add()
    first, second = workers.run()
    assert [attempt.strategy.value for attempt in first.attempts] == ["original", "prefill", "user_turn"]
    assert [attempt.strategy.value for attempt in second.attempts] == ["original", "user_turn"]


def test_a_deadline_rules(colour):
    """Who has no time to hold back sends at once."""
    workers = Workers(colour, ScriptedUpstream("text", [LIMITED]))
    workers.add(policy=ONCE)
    workers.add(policy=RetryPolicy(total_timeout=12.0))
    assert workers.run()[1].deferred == 0.0


class Silent(MemoryStore):
    """A store whose notes are away."""

    def note(self, name: str, value: bytes, ttl: float) -> None:  # noqa: ARG002  # Reason: as of any store
        """Fail."""
        raise StoreUnavailableError(reason="timeout", cause_name="Silent")

    def notes(self, names: Any) -> Any:  # noqa: ARG002  # Reason: as of any store
        """Fail."""
        raise StoreUnavailableError(reason="timeout", cause_name="Silent")


def test_a_store_without_notes_fails_nobody(caplog):
    """Where notes cannot be read or written, calls go on as if alone, and the log says so."""
    upstream = ScriptedUpstream("text", [LIMITED])
    workers = Workers("sync", upstream)
    workers.store = Silent(clock=upstream.clock.now)
    workers.add(policy=ONCE)
    workers.add()
    refused, report = workers.run()
    assert isinstance(refused, anthropic.RateLimitError)
    assert report.deferred == 0.0
    assert "resumable.fleet_away" in caplog.text


@pytest.mark.parametrize(
    "value", [b'{"wait_ms":3600000,"spread_ms":0}', b'{"wait_ms":-1,"spread_ms":0}', b"nonsense"], ids=repr
)
def test_absurd_notes_delay_nobody(value):
    """What somebody else put into the store holds no call back."""
    upstream = ScriptedUpstream("text")
    workers = Workers("sync", upstream)
    workers.store.note(name_of("rate_limited", MODEL, IDENTITY), value, 86_400.0)
    workers.add()
    assert workers.run()[0].deferred == 0.0


def test_a_note_that_never_ends_is_bounded():
    """A hint holds a call back for no longer than it says, however long the store keeps it."""
    upstream = ScriptedUpstream("text")
    workers = Workers("sync", upstream)
    workers.store.note(name_of("rate_limited", MODEL, IDENTITY), b'{"wait_ms":60000,"spread_ms":10000}', 86_400.0)
    workers.add()
    assert workers.run()[0].deferred == 130.0


def test_no_credential_is_kept():
    """The key of a note tells neither the credential nor what else belongs to it; a signature counts by its signer."""
    names = {name_of(kind, model, IDENTITY) for kind in ("rate_limited", "overloaded") for model in ("a", "b")}
    assert len({name.partition(":")[2] for name in names}) == 4
    assert not any("sk-secret" in name for name in names)
    signed = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/2026{}/us-east-1/bedrock/aws4_request, Signature={}"
    assert credential_key({"Authorization": signed.format("0101", "aa")}) == credential_key(
        {"authorization": signed.format("0102", "bb")}
    )
    assert credential_key({}) == b""
    assert name_of("overloaded", "m", IDENTITY) == name_of("overloaded", "m", IDENTITY._replace(key=b"other"))
    assert name_of("rate_limited", "m", IDENTITY) != name_of("rate_limited", "m", IDENTITY._replace(key=b"other"))
