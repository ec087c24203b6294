"""
The SDK's middleware that makes its streams unbreakable, and `wrap`, which puts it into a client.

Everything but `POST /v1/messages` with a stream passes through and keeps the SDK's own retries.
"""

from __future__ import annotations

import secrets
from random import random
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack

import anthropic

from resumable._core.continuation import Memory, without_unsigned_thinking
from resumable._core.hold import effective_hold
from resumable._core.report import Report
from resumable._core.session import Session
from resumable._core.store_errors import StoreError
from resumable._drive import AsyncDriver, Driver, SystemClock, Teller
from resumable._recording._recorded import Recorded
from resumable._recording._recorded_async import AsyncRecorded
from resumable._recording._terms import Terms
from resumable.middleware._arguments import check_callback, checked_client, checked_hold, checked_policy
from resumable.middleware._fleet import Fleet
from resumable.middleware._keeping import Keeping
from resumable.middleware._splice import AsyncBody, Body, attached, refused, spliced, unopened
from resumable.middleware._threads import AsyncThreadBody, SharedThreads, ThreadBody
from resumable.middleware._wire import AsyncSDKWire, AttemptRequest, SDKWire

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import TypeAlias

    from anthropic.lib.bedrock import (
        AnthropicBedrock,
        AnthropicBedrockMantle,
        AsyncAnthropicBedrock,
        AsyncAnthropicBedrockMantle,
    )
    from anthropic.lib.vertex import AnthropicVertex, AsyncAnthropicVertex

    from resumable._core.report import Attempt, Notice
    from resumable._drive import Clock
    from resumable._policy import RetryPolicy
    from resumable._recording._context import Named
    from resumable._recording._events import Past
    from resumable._recording._recorded import Note
    from resumable._recording._recorded_async import AsyncNote
    from resumable.middleware._fleet import Member
    from resumable.middleware._threads import Turn
    from resumable.store import AsyncStore, Store

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


class Kept(TypedDict, total=False):
    """
    How sessions are kept, where a store is named.

    Attributes:
        durability: `write-ahead`, the default, delivers an event when the store holds it; `relaxed` delivers first.
        store_outage: `degrade`, the default, streams on from memory while the store is away, and catches up;
            `fail` ends the stream with a `StoreUnavailableError`.
        lease: [s] So long after a process died, another may continue its sessions; 15 if not given, 2 at least.
        ttl: [s] So long after its last write a session is kept; a day if not given.
        principal: Whose the sessions are; free text, empty if not given.
        fleet: Whether workers that share the store tell each other what a model refuses, and hold back while
            upstream refuses one of them; `True` if not given.
    """

    durability: Literal["write-ahead", "relaxed"]
    store_outage: Literal["degrade", "fail"]
    lease: float
    ttl: float
    principal: str
    fleet: bool


class Resumable(anthropic.Middleware):
    """
    Middleware for `Anthropic(middleware=[…])` and `AsyncAnthropic`; put it last, next to the network.

    Make one and share it: it may serve any number of clients, threads and tasks at once. After a
    fork the child may go on using it for new calls; a stream that was open belongs to the parent.
    """

    def __init__(
        self,
        *,
        store: str | Store | AsyncStore | None = None,
        policy: RetryPolicy | None = None,
        hold: Collection[str] | None = None,
        on_recovery: Callable[[Notice], None] | None = None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random,
        **kept: Unpack[Kept],
    ) -> None:
        """
        Check everything; nothing is sent.

        Args:
            store: Where sessions are kept, as a URL (`redis://`, `rediss://`, `unix://`, `embedded://`, `memory://`)
                or a store; with `None`, none are, but for those that `resumable.session` names, in memory.
            policy: Limits, waits and watchdogs; `None` for the defaults.
            hold: What is held back until it is complete, names out of `tool_use`,
                `server_tool_use`, `structured_output`, `signature`, `text_edge`, `text`;
                `None` for all but the last. What is not held flows at once, and can't be
                recovered when it is cut.
            on_recovery: Called with the facts of each decision, in the thread or task that reads. It only
                looks on: an exception of its own is logged, and the stream goes on.
            clock: Where time comes from; for tests.
            chance: Draws from [0, 1); for tests.
            kept: How sessions are kept; see `Kept`.

        Raises:
            ConfigurationError: An argument cannot work.
        """
        self._keeping = Keeping(store, Terms(**kept))
        check_callback(on_recovery)
        self._policy = checked_policy(policy)
        self._hold = checked_hold(hold)
        self._on_recovery = on_recovery
        self._clock: Clock = clock or SystemClock()
        self._chance = chance
        self._memory = Memory()
        self._fleet = Fleet(self._clock.now, self._memory, chance, is_on=self._keeping.terms.fleet)
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
        if (named := self._keeping.next()) is not None:
            return self._keep(named, request, call_next, turn)
        return self._recover(request, call_next, turn)

    def _recover(
        self,
        request: anthropic.APIRequest,
        call_next: anthropic.CallNext,
        turn: Turn | None,
        report: Report | None = None,
    ) -> anthropic.APIResponse[Any]:
        """Make one call's stream unbreakable, and keep nothing of it; *report* says why, if it was to be kept."""
        session = self._session(request, _body_of(request), turn, report)
        wire = SDKWire(request, call_next, **self._wire_options())
        driver = Driver(session, wire, self._clock, Teller(session, self._on_recovery))
        answer: anthropic.APIResponse[Any]
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

    def _keep(
        self, named: Named, request: anthropic.APIRequest, call_next: anthropic.CallNext, turn: Turn | None
    ) -> anthropic.APIResponse[Any]:
        """Write one call's stream ahead to the store, or read it from there."""
        asked = _body_of(request)
        wire = SDKWire(request, call_next, **self._wire_options())
        desk = self._keeping.desk(named)
        member = self._fleet.member(desk.store, asked, request.headers, call_next)

        def produce(report: Report, past: Past, attempts: list[Attempt], note: Note) -> tuple[Driver, bytes]:
            session = self._session(request, asked, turn, report, member)
            out = session.adopt(past.transcript, attempts, self._clock.now(), is_over=past.is_over)
            return Driver(session, wire, self._clock, member.teller(session, wire, self._on_recovery), note), out

        member.look()
        opening = self._keeping.opening(request, asked, self._policy)
        recorded = Recorded(desk, named.session_id, opening, self._keeping.terms, produce)
        answer: anthropic.APIResponse[Any]
        try:
            error = recorded.start()
            member.meet(wire.answer)
            if error is not None:
                answer = refused(wire, error, request, recorded.report)
            elif recorded.is_following:
                answer = attached(wire, Body(recorded), request, recorded.report)
            else:
                body = Body(recorded) if turn is None else ThreadBody(recorded, turn)
                answer = spliced(wire, body, recorded.report)
        except StoreError as refusal:
            recorded.close()
            if (report := self._keeping.unkept(refusal, recorded.report.session_id)) is not None:
                return self._recover(request, call_next, turn, report)
            answer = unopened(wire, refusal, request, recorded.report)
        except BaseException:
            recorded.close()
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
        if (named := self._keeping.next()) is not None:
            return await self._keep_async(named, request, call_next, turn)
        return await self._recover_async(request, call_next, turn)

    async def _recover_async(
        self,
        request: anthropic.APIRequest,
        call_next: anthropic.AsyncCallNext,
        turn: Turn | None,
        report: Report | None = None,
    ) -> anthropic.AsyncAPIResponse[Any]:
        """Make one call's stream unbreakable, and keep nothing of it; *report* says why, if it was to be kept."""
        session = self._session(request, _body_of(request), turn, report)
        wire = AsyncSDKWire(request, call_next, **self._wire_options())
        driver = AsyncDriver(session, wire, self._clock, Teller(session, self._on_recovery))
        answer: anthropic.AsyncAPIResponse[Any]
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

    async def _keep_async(
        self, named: Named, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext, turn: Turn | None
    ) -> anthropic.AsyncAPIResponse[Any]:
        """Write one call's stream ahead to the store, or read it from there."""
        asked = _body_of(request)
        wire = AsyncSDKWire(request, call_next, **self._wire_options())
        desk = await self._keeping.adesk(named)
        member = self._fleet.member(desk.store, asked, request.headers, call_next)

        def produce(report: Report, past: Past, attempts: list[Attempt], note: AsyncNote) -> tuple[AsyncDriver, bytes]:
            session = self._session(request, asked, turn, report, member)
            out = session.adopt(past.transcript, attempts, self._clock.now(), is_over=past.is_over)
            return AsyncDriver(session, wire, self._clock, member.teller(session, wire, self._on_recovery), note), out

        await member.alook()
        opening = self._keeping.opening(request, asked, self._policy)
        recorded = AsyncRecorded(desk, named.session_id, opening, self._keeping.terms, produce)
        answer: anthropic.AsyncAPIResponse[Any]
        try:
            error = await recorded.start()
            member.meet(wire.answer)
            if error is not None:
                answer = refused(wire, error, request, recorded.report)
            elif recorded.is_following:
                answer = attached(wire, AsyncBody(recorded), request, recorded.report)
            else:
                body = AsyncBody(recorded) if turn is None else AsyncThreadBody(recorded, turn)
                answer = spliced(wire, body, recorded.report)
        except StoreError as refusal:
            await recorded.aclose()
            if (report := self._keeping.unkept(refusal, recorded.report.session_id)) is not None:
                return await self._recover_async(request, call_next, turn, report)
            answer = unopened(wire, refusal, request, recorded.report)
        except BaseException:
            await recorded.aclose()
            raise
        return answer

    def _session(
        self,
        request: anthropic.APIRequest,
        body: dict[str, Any],
        turn: Turn | None,
        report: Report | None = None,
        member: Member | None = None,
    ) -> Session:
        return Session(
            body,
            policy=self._policy,
            hold=effective_hold(self._hold, body, str(request.headers.get("anthropic-beta") or "")),
            memory=self._memory if member is None else member.memory,
            chance=self._chance,
            report=report or Report(secrets.token_urlsafe(16)),
            now=self._clock.now(),
            rebuild=None if turn is None else turn.rebuild,
        )

    def _wire_options(self) -> dict[str, Any]:
        is_real = isinstance(self._clock, SystemClock)
        return {"bytes_timeout": self._policy.bytes_timeout, "is_watched": is_real}


class _OfClient(Resumable):
    """The middleware of one client, whose upstream and credential it knows before the first request."""

    def introduce(self, client: Client) -> None:
        """Get to know the client."""
        self._fleet.introduce(client)


def wrap(
    client: ClientT,
    *,
    store: str | Store | AsyncStore | None = None,
    policy: RetryPolicy | None = None,
    hold: Collection[str] | None = None,
    on_recovery: Callable[[Notice], None] | None = None,
    **kept: Unpack[Kept],
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
        kept: As in `Resumable`.

    Returns:
        A client of the same type that shares *client*'s connections.

    Raises:
        ConfigurationError: *client* is no SDK client or is wrapped already, or another argument cannot work.
    """
    middleware = _OfClient(store=store, policy=policy, hold=hold, on_recovery=on_recovery, **kept)
    wrapped: ClientT = checked_client(client, Resumable).with_middleware(middleware)
    middleware.introduce(client)
    return wrapped


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
