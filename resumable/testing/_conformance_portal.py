"""An async store as a sync one: each call crosses into an event loop in another thread."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from anyio.from_thread import BlockingPortal, start_blocking_portal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from resumable.store import AsyncStore, Store

P = ParamSpec("P")
T = TypeVar("T")


class _Across:
    """Every method of an async store, callable from any thread; stands for a `Store`."""

    def __init__(self, store: AsyncStore, portal: BlockingPortal) -> None:
        for name in dir(store):
            if not name.startswith("_"):
                setattr(self, name, _crossing(portal, getattr(store, name)))


def _crossing(portal: BlockingPortal, method: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    def call(*args: P.args, **options: P.kwargs) -> T:
        return portal.call(partial(method, *args, **options))

    return call


@contextmanager
def in_portal(make: Callable[[], Awaitable[AsyncStore]], *, backend: str = "asyncio") -> Generator[Store]:
    """
    Make an async store in an event loop of its own, and give it out as a sync one.

    Args:
        make: Makes the store; it is closed at the end.
        backend: `"asyncio"` or `"trio"`.
    """
    with start_blocking_portal(backend) as portal:
        store = portal.call(make)
        try:
            yield cast("Store", _Across(store, portal))
        finally:
            portal.call(store.close)
