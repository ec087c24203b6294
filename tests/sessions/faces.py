"""`Sessions` of either colour behind one face, so that one test body is for both."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from anyio.from_thread import start_blocking_portal

from resumable import AsyncSessions, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.from_thread import BlockingPortal


class _Reading:
    """An async reading, iterated over and closed from a thread."""

    def __init__(self, portal: BlockingPortal, reading: Any) -> None:
        self._portal = portal
        self._reading = reading

    @property
    def cursor(self) -> Any:
        return self._reading.cursor

    def __enter__(self) -> Self:
        self._portal.call(self._reading.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self._portal.call(self._reading.__aexit__, None, None, None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return self._portal.call(self._reading.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        self._portal.call(self._reading.aclose)


class _Across:
    """Async sessions, asked from a thread."""

    def __init__(self, portal: BlockingPortal, sessions: AsyncSessions) -> None:
        self._portal = portal
        self._sessions = sessions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._sessions, name)

        def call(*args: Any, **options: Any) -> Any:
            return self._portal.call(partial(method, *args, **options))

        def read(*args: Any, **options: Any) -> _Reading:
            async def make() -> Any:
                return method(*args, **options)

            return _Reading(self._portal, self._portal.call(make))

        return read if name in {"replay", "tail"} else call


@contextmanager
def sessions_of(colour: str, make_store: Any = "memory://", **options: Any) -> Iterator[Any]:
    """
    Open sessions of a colour.

    Args:
        colour: `"sync"` or `"async"`.
        make_store: A URL, or a function that makes a store of that colour.
        options: As of `Sessions`.
    """
    with ExitStack() as stack:
        if colour == "sync":
            store = make_store() if callable(make_store) else make_store
            yield stack.enter_context(Sessions(store, **options))
            return
        portal = stack.enter_context(start_blocking_portal())

        async def make() -> AsyncSessions:
            return await AsyncSessions(make_store() if callable(make_store) else make_store, **options).__aenter__()

        sessions = portal.call(make)
        stack.callback(portal.call, sessions.__aexit__, None, None, None)
        yield _Across(portal, sessions)
