"""How one middleware keeps sessions: in which store, for how long, in whose name."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import secrets
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from resumable._core.errors import ConfigurationError
from resumable._core.report import Report
from resumable._core.store_errors import StoreUnavailableError
from resumable._recording._context import Named, next_named, principal_or
from resumable._recording._desk import AsyncDesk, Desk
from resumable._recording._fields import Request, opening_fields
from resumable._recording._late import may_flow
from resumable.store import Opening
from resumable.store._url import aopen_store, find_address, open_store

if TYPE_CHECKING:
    import anthropic

    from resumable._core.store_errors import StoreError
    from resumable._recording._terms import Terms
    from resumable.store import AsyncStore, Store

_log = logging.getLogger("resumable")

_Opened: TypeAlias = "tuple[asyncio.Future[AsyncDesk], asyncio.Task[None]]"

_MEMORY = "memory://"
#: [s] Shorter leases expire while a server fails over or an event loop stalls.
_SHORTEST_LEASE = 2.0


class Keeping:
    """Opens stores when they are first needed; may serve any number of threads and event loops."""

    def __init__(self, store: str | Store | AsyncStore | None, terms: Terms) -> None:
        """
        Check everything; nothing is opened.

        Raises:
            ConfigurationError: An argument cannot work.
        """
        if isinstance(store, str):
            find_address(store, os.environ)
        elif store is not None and not callable(getattr(store, "acquire", None)):
            remedy = "pass a URL such as redis://localhost:6379/0, or a store"
            raise ConfigurationError(argument="store", problem=f"{type(store).__name__} is no store", remedy=remedy)
        if not terms.lease >= _SHORTEST_LEASE:
            problem, remedy = f"{terms.lease} s", f"pass {_SHORTEST_LEASE} s or more"
            raise ConfigurationError(argument="lease", problem=problem, remedy=remedy)
        for argument, known in (("durability", ("write-ahead", "relaxed")), ("store_outage", ("degrade", "fail"))):
            if (given := getattr(terms, argument)) not in known:
                remedy = f"pass one of {', '.join(known)}"
                raise ConfigurationError(argument=argument, problem=f"{given!r} is unknown", remedy=remedy)
        self._store = store
        self._opened_in: WeakKeyDictionary[asyncio.AbstractEventLoop, _Opened] = WeakKeyDictionary()
        self._opened: Store | None = None
        self.terms = terms

    def next(self) -> Named | None:
        """Say under which ID, and where, the next call's session is kept; `None` where nobody asked for it."""
        named = next_named()
        if named is None and self._store is None:
            return None
        return named or Named(secrets.token_urlsafe(16), None)

    def desk(self, named: Named) -> Desk:
        """Give what this process shares for the store of a session."""
        if named.store is not None:
            return Desk.of(_checked(named.store, is_async=False))
        opened: Store = self._opened or (
            open_store(self._url) if self._is_url else _checked(self._store, is_async=False)
        )
        self._opened = opened
        return Desk.of(opened)

    async def adesk(self, named: Named) -> AsyncDesk:
        """Give what this event loop shares for the store of a session."""
        if named.store is not None:
            return AsyncDesk.of(_checked(named.store, is_async=True))
        if not self._is_url:
            return AsyncDesk.of(_checked(self._store, is_async=True))
        loop = asyncio.get_running_loop()
        if loop not in self._opened_in:
            opened: asyncio.Future[AsyncDesk] = loop.create_future()
            self._opened_in[loop] = opened, loop.create_task(_keep_open(self._url, opened))
        return await asyncio.shield(self._opened_in[loop][0])

    @property
    def _is_url(self) -> bool:
        return self._store is None or isinstance(self._store, str)

    @property
    def _url(self) -> str:
        return self._store if isinstance(self._store, str) else _MEMORY

    def unkept(self, refusal: StoreError, session_id: str) -> Report | None:
        """Begin the report of a stream that flows though its session could not be opened; `None` where it must not."""
        if not isinstance(refusal, StoreUnavailableError) or not may_flow(refusal, self.terms.store_outage):
            return None
        _log.warning("resumable.session_not_kept session=%s reason=%s", session_id, refusal.reason)
        return Report(session_id, unkept=refusal.reason)

    def opening(self, request: anthropic.APIRequest, body: dict[str, Any], policy: object) -> Opening:
        """Say what a call's session is created with."""
        kept = Request.of(urlsplit(request.url)._replace(scheme="", netloc="").geturl(), body, request.headers)
        principal = principal_or(self.terms.principal)
        return Opening(kept.encode(), kept.hash, principal, opening_fields(kept, policy, self.terms.lease))


async def _keep_open(url: str, opened: asyncio.Future[AsyncDesk]) -> None:
    """Open a store for a loop, and close it when the loop ends: it then cancels what still waits."""
    try:
        store = await aopen_store(url)
    except Exception as error:  # noqa: BLE001  # Reason: whatever it is, it is for who asked
        opened.set_exception(error)
        return
    desk = AsyncDesk.of(store)
    opened.set_result(desk)
    try:
        await asyncio.Event().wait()
    finally:
        await desk.close()
        await store.close()


def _checked(store: Any, *, is_async: bool) -> Any:  # noqa: ANN401  # Reason: either colour's
    """Give a store that was passed as an object, if it is of the client's colour."""
    if inspect.iscoroutinefunction(store.append) is not is_async:
        problem = "a store for asyncio serves no synchronous client, nor the other way round"
        raise ConfigurationError(argument="store", problem=problem, remedy="pass its URL, which serves both")
    return store
