"""
The SDK's middleware that makes its streams unbreakable, and `wrap`, which puts it into a client.

Everything but `POST /v1/messages` with a stream passes through and keeps the SDK's own retries.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from random import random
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anthropic

from resumable._core.continuation import Memory, without_unsigned_thinking
from resumable._core.errors import ConfigurationError
from resumable._core.hold import HOLDABLE, effective_hold
from resumable._core.session import Session
from resumable._drive import AsyncDriver, Driver, SystemClock, Teller
from resumable._policy import RetryPolicy
from resumable.middleware._splice import AsyncBody, Body, refused, spliced
from resumable.middleware._threads import AsyncThreadBody, SharedThreads, ThreadBody
from resumable.middleware._wire import AsyncSDKWire, AttemptRequest, SDKWire

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from anthropic.lib.bedrock import (
        AnthropicBedrock,
        AnthropicBedrockMantle,
        AsyncAnthropicBedrock,
        AsyncAnthropicBedrockMantle,
    )
    from anthropic.lib.vertex import AnthropicVertex, AsyncAnthropicVertex

    from resumable._core.report import Notice
    from resumable._drive import Clock
    from resumable.middleware._threads import Turn

    #: Every client of the SDK's; those of Foundry, Claude on AWS and on Google Cloud are among the first two.
    Client: TypeAlias = (
        anthropic.Anthropic
        | anthropic.AsyncAnthropic
        | AnthropicBedrock
        | AsyncAnthropicBedrock
        | AnthropicBedrockMantle
        | AsyncAnthropicBedrockMantle
        | AnthropicVertex
        | AsyncAnthropicVertex
    )

__all__ = ("Resumable", "wrap")

ClientT = TypeVar("ClientT", bound="Client")

_STORES: Final = (None, "memory://")


class Resumable(anthropic.Middleware):
    """
    Middleware for `Anthropic(middleware=[…])` and `AsyncAnthropic`; put it last, next to the network.

    Make one and share it: it may serve any number of clients, threads and tasks at once. After a
    fork the child may go on using it for new calls; a stream that was open belongs to the parent.
    """

    def __init__(
        self,
        *,
        store: str | None = None,
        policy: RetryPolicy | None = None,
        hold: Collection[str] | None = None,
        on_recovery: Callable[[Notice], None] | None = None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random,
    ) -> None:
        """
        Check everything; nothing is sent.

        Args:
            store: Where sessions are kept; `None` and `"memory://"` keep them in this process.
            policy: Limits, waits and watchdogs; `None` for the defaults.
            hold: What is held back until it is complete, names out of `tool_use`,
                `server_tool_use`, `structured_output`, `signature`, `text_edge`, `text`;
                `None` for all but the last. What is not held flows at once, and can't be
                recovered when it is cut.
            on_recovery: Called with the facts of each decision, in the thread or task that reads. It only
                looks on: an exception of its own is logged, and the stream goes on.
            clock: Where time comes from; for tests.
            chance: Draws from [0, 1); for tests.

        Raises:
            ConfigurationError: An argument cannot work.
        """
        if store not in _STORES:
            remedy = "pass None or 'memory://'"
            raise ConfigurationError(
                argument="store", problem="this version keeps sessions in memory only", remedy=remedy
            )
        _check_callback(on_recovery)
        self._policy = _checked_policy(policy)
        self._hold = _checked_hold(hold)
        self._on_recovery = on_recovery
        self._clock: Clock = clock or SystemClock()
        self._chance = chance
        self._memory = Memory()
        self._threads = SharedThreads(self._clock)

    def handle(self, request: anthropic.APIRequest, call_next: anthropic.CallNext) -> anthropic.APIResponse[Any]:
        """Make one call's stream unbreakable; anything else passes through."""
        if not _is_message(request):
            return call_next(request)
        request = _sanitised(request)
        asked = _body_of(request)
        turn = self._threads.turn(asked)
        answer: anthropic.APIResponse[Any]
        if turn is not None and turn.is_lost:
            answer = turn.not_found(request, anthropic.APIResponse)
            return answer
        if not request.stream:
            answer = call_next(request)
            return answer if turn is None else turn.noted(answer)
        session = self._session(request, asked, turn)
        wire = SDKWire(request, call_next, **self._wire_options())
        driver = Driver(session, wire, self._clock, Teller(session, self._on_recovery))
        body = Body(driver) if turn is None else ThreadBody(driver, turn)
        try:
            error = driver.start()
            if error is not None:
                answer = refused(wire, error, request, session.report)
                return answer
            answer = spliced(wire, body, session.report)
            if isinstance(body, ThreadBody) and not body.fetch():
                answer = body.turn.not_found(request, anthropic.APIResponse, session.report)
        except BaseException:
            driver.close()
            raise
        return answer

    async def handle_async(
        self, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext
    ) -> anthropic.AsyncAPIResponse[Any]:
        """Make one call's stream unbreakable; anything else passes through."""
        if not _is_message(request):
            return await call_next(request)
        request = _sanitised(request)
        asked = _body_of(request)
        turn = self._threads.turn(asked)
        answer: anthropic.AsyncAPIResponse[Any]
        if turn is not None and turn.is_lost:
            answer = turn.not_found(request, anthropic.AsyncAPIResponse)
            return answer
        if not request.stream:
            answer = await call_next(request)
            return answer if turn is None else turn.noted(answer)
        session = self._session(request, asked, turn)
        wire = AsyncSDKWire(request, call_next, **self._wire_options())
        driver = AsyncDriver(session, wire, self._clock, Teller(session, self._on_recovery))
        body = AsyncBody(driver) if turn is None else AsyncThreadBody(driver, turn)
        try:
            error = await driver.start()
            if error is not None:
                answer = refused(wire, error, request, session.report)
                return answer
            answer = spliced(wire, body, session.report)
            if isinstance(body, AsyncThreadBody) and not await body.fetch():
                answer = body.turn.not_found(request, anthropic.AsyncAPIResponse, session.report)
        except BaseException:
            await driver.aclose()
            raise
        return answer

    def _session(self, request: anthropic.APIRequest, body: dict[str, Any], turn: Turn | None) -> Session:
        return Session(
            body,
            policy=self._policy,
            hold=effective_hold(self._hold, body, str(request.headers.get("anthropic-beta") or "")),
            memory=self._memory,
            chance=self._chance,
            session_id=secrets.token_urlsafe(16),
            now=self._clock.now(),
            rebuild=None if turn is None else turn.rebuild,
        )

    def _wire_options(self) -> dict[str, Any]:
        is_real = isinstance(self._clock, SystemClock)
        return {"bytes_timeout": self._policy.bytes_timeout, "is_watched": is_real}


def wrap(
    client: ClientT,
    *,
    store: str | None = None,
    policy: RetryPolicy | None = None,
    hold: Collection[str] | None = None,
    on_recovery: Callable[[Notice], None] | None = None,
) -> ClientT:
    """
    Make a client whose streams do not break.

    One line is all::

        client = resumable.wrap(anthropic.Anthropic())

    Args:
        client: An `Anthropic` or `AsyncAnthropic`, or the SDK's client for another platform; it is not changed.
        store: As in `Resumable`.
        policy: As in `Resumable`.
        hold: As in `Resumable`.
        on_recovery: As in `Resumable`.

    Returns:
        A client of the same type that shares *client*'s connections.

    Raises:
        ConfigurationError: *client* is no SDK client or is wrapped already, or another argument cannot work.
    """
    middleware = Resumable(store=store, policy=policy, hold=hold, on_recovery=on_recovery)
    wrapped: ClientT = _checked_client(client).with_middleware(middleware)
    return wrapped


def _checked_client(client: Any) -> Any:  # noqa: ANN401  # Reason: it is what the caller passed, whatever it is
    middleware = None if isinstance(client, type) else getattr(client, "middleware", None)
    # Its clients for other platforms have no public class in common; older versions lack some of them.
    if isinstance(middleware, tuple) and hasattr(client, "with_middleware"):
        if any(isinstance(one, Resumable) for one in middleware):
            remedy = "wrap a client once; for another policy, wrap the client that it was made from"
            raise ConfigurationError(argument="client", problem="it is wrapped already", remedy=remedy)
        return client
    what = f"the class {client.__name__}" if isinstance(client, type) else f"of type {type(client).__name__}"
    remedy = "pass anthropic.Anthropic(), anthropic.AsyncAnthropic() or the SDK's client for another platform"
    problem = f"it is {what}, no client of the SDK's"
    raise ConfigurationError(argument="client", problem=problem, remedy=remedy)


def _checked_policy(policy: Any) -> RetryPolicy:  # noqa: ANN401  # Reason: it is what the caller passed
    if policy is not None and not isinstance(policy, RetryPolicy):
        problem = f"{type(policy).__name__} is no RetryPolicy"
        raise ConfigurationError(argument="policy", problem=problem, remedy="pass a RetryPolicy")
    return policy or RetryPolicy()


def _check_callback(on_recovery: Any) -> None:  # noqa: ANN401  # Reason: it is what the caller passed
    if on_recovery is not None and not callable(on_recovery):
        problem = f"a {type(on_recovery).__name__} cannot be called"
        remedy = "pass a function of one notice, or None"
        raise ConfigurationError(argument="on_recovery", problem=problem, remedy=remedy)


def _checked_hold(hold: Any) -> frozenset[str] | None:  # noqa: ANN401  # Reason: it is what the caller passed
    if hold is None:
        return None
    remedy = f"pass a collection of names out of {', '.join(HOLDABLE)}"
    if isinstance(hold, str):
        raise ConfigurationError(argument="hold", problem="a single string", remedy=remedy)
    if not isinstance(hold, Collection):
        problem = f"{type(hold).__name__} is no collection of names"
        raise ConfigurationError(argument="hold", problem=problem, remedy=remedy)
    unknown = sorted(str(name) for name in hold if name not in HOLDABLE)
    if unknown:
        raise ConfigurationError(argument="hold", problem=f"unknown: {', '.join(unknown)}", remedy=remedy)
    return frozenset(hold)


def _is_message(request: anthropic.APIRequest) -> bool:
    if isinstance(request, AttemptRequest):  # It is recovered already, further out; recovery must not multiply.
        return False
    path = request.url.partition("?")[0].rstrip("/")
    return request.method.upper() == "POST" and path.endswith("/v1/messages") and isinstance(request.json, dict)


def _body_of(request: anthropic.APIRequest) -> dict[str, Any]:
    body: Any = request.json
    if request.options.extra_json:  # `extra_body=`: the SDK merges it later, and it may turn thinking on.
        body = {**body, **request.options.extra_json}
    return body  # type: ignore[no-any-return]  # Reason: `_is_message` has looked


def _sanitised(request: anthropic.APIRequest) -> anthropic.APIRequest:
    """Remove thinking of ours that upstream would refuse; the request itself where there is none."""
    body: Any = request.json
    clean = without_unsigned_thinking(body)
    return request if clean is body else request.copy(body=clean)
