"""
Sessions in Redis or Valkey behind Sentinels, in two colours: `RedisStore`, which finds its server by itself.

What differs between the colours is `await`; every decision is in `_delivery`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import AskError, MovedError, NoScriptError

from resumable._core.store_errors import StoreUnavailableError
from resumable.store.redis._errors import error_of
from resumable.store.redis._stores import AsyncRedisStore, RedisStore

from ._delivery import Barrier, Pause, Redirect, Unknown, deliver
from ._nodes import AsyncNodes, Nodes
from ._places import Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis as Client
    from redis.asyncio import Redis as AsyncClient

    from resumable.store.redis._commands import Flight
    from resumable.store.redis._replies import Replies, Reply

    from ._delivery import Answer, Delivery, Parcel, Round
    from ._urls import Fleet

T = TypeVar("T")

REST = 1.0  # [s] Of a node that was silent; a call that finds it silent again waits for `TIMEOUT`.


class RoutedStore(RedisStore):
    """
    Sessions where a fleet's keys are; a `Store`.

    Args:
        fleet: Which servers.
        prefix: First part of every key's name.
    """

    def __init__(self, fleet: Fleet, *, prefix: str = "resumable") -> None:
        self._places = fleet.places()
        self._nodes = Nodes(fleet)
        self._rests = Rests()
        super().__init__(self._nodes.at(self._places.candidates()[0]), prefix=prefix)
        self._barrier = Barrier(self._names.replica, fleet.replicas) if fleet.replicas else None

    def close(self) -> None:
        """As `Store.close`."""
        super().close()
        self._nodes.close()

    def _send(self, client: Client, flight: Flight) -> Replies:
        return self._deliver(
            deliver(self._places, flight, barrier=self._barrier), is_blocking=client is self._clients.blocking
        )

    def _deliver(self, delivery: Delivery[T], *, is_blocking: bool) -> T:
        try:
            step = next(delivery)
            while True:
                step = delivery.send(self._take(step, is_blocking=is_blocking))
        except StopIteration as done:
            value: T = done.value
            return value

    def _take(self, step: Round, *, is_blocking: bool) -> Sequence[Answer]:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return ()
        return [self._carry(parcel, is_blocking=is_blocking) for parcel in step]

    def _carry(self, parcel: Parcel, *, is_blocking: bool) -> Answer:
        clients = self._nodes.at(parcel.node)
        try:
            self._rests.check(parcel.node, time.monotonic())
            replies = self._exchange(clients.blocking if is_blocking else clients.quick, parcel.commands)
        except StoreUnavailableError as lost:
            return self._rests.told(lost, parcel.node, time.monotonic())
        return [value_of(reply) for reply in replies]


class AsyncRoutedStore(AsyncRedisStore):
    """
    Sessions where a fleet's keys are; an `AsyncStore`.

    Args:
        fleet: Which servers.
        prefix: First part of every key's name.
    """

    def __init__(self, fleet: Fleet, *, prefix: str = "resumable") -> None:
        self._places = fleet.places()
        self._nodes = AsyncNodes(fleet)
        self._rests = Rests()
        super().__init__(self._nodes.at(self._places.candidates()[0]), prefix=prefix)
        self._barrier = Barrier(self._names.replica, fleet.replicas) if fleet.replicas else None

    async def close(self) -> None:
        """As `AsyncStore.close`."""
        await super().close()
        await self._nodes.close()

    async def _send(self, client: AsyncClient, flight: Flight) -> Replies:
        return await self._deliver(
            deliver(self._places, flight, barrier=self._barrier), is_blocking=client is self._clients.blocking
        )

    async def _deliver(self, delivery: Delivery[T], *, is_blocking: bool) -> T:
        try:
            step = next(delivery)
            while True:
                step = delivery.send(await self._take(step, is_blocking=is_blocking))
        except StopIteration as done:
            value: T = done.value
            return value

    async def _take(self, step: Round, *, is_blocking: bool) -> Sequence[Answer]:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return ()
        if len(step) == 1:
            return [await self._carry(step[0], is_blocking=is_blocking)]
        return await asyncio.gather(*(self._carry(parcel, is_blocking=is_blocking) for parcel in step))

    async def _carry(self, parcel: Parcel, *, is_blocking: bool) -> Answer:
        clients = self._nodes.at(parcel.node)
        try:
            self._rests.check(parcel.node, time.monotonic())
            replies = await self._exchange(clients.blocking if is_blocking else clients.quick, parcel.commands)
        except StoreUnavailableError as lost:
            return self._rests.told(lost, parcel.node, time.monotonic())
        return [value_of(reply) for reply in replies]


class Rests:
    """Nodes that let a call run into its timeout: left alone for a moment, so that calls to others need not wait."""

    def __init__(self) -> None:
        self._until: dict[Node, float] = {}

    def check(self, node: Node, now: float) -> None:
        """
        Let a call pass unless its node rests.

        Raises:
            StoreUnavailableError: It does.
        """
        if self._until and now < self._until.get(node, now):
            raise StoreUnavailableError(reason="timeout", cause_name="Rests")

    def told(self, lost: StoreUnavailableError, node: Node, now: float) -> StoreUnavailableError:
        """
        Give an error back as an answer, and note a timeout.

        Raises:
            StoreUnavailableError: The store is closed, whatever a node says.
        """
        if lost.reason == "closed":
            raise lost
        if lost.reason == "timeout" and lost.cause_name != "Rests":
            self._until[node] = now + REST
        return lost


def value_of(reply: Reply) -> Reply:
    """Say what an exception among the answers means."""
    if isinstance(reply, NoScriptError):
        return Unknown()
    if isinstance(reply, AskError):
        at: Any = reply  # Reason: its attributes are not annotated
        return Redirect(at.slot_id, Node(at.host, at.port), is_once=not isinstance(reply, MovedError))
    return error_of(reply) if isinstance(reply, Exception) else reply
