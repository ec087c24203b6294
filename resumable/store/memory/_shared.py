"""
`memory://`: the one store in memory that everything in a process shares, whoever opens it, in either colour.

Each opening has its own waits and its own end; the sessions are there until the process ends.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from resumable.store._records import LONGEST_WAIT

from ._model import MemorySessions
from ._stores import AsyncMemoryStore, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")


class _Shared:
    """What the openings have in common: the sessions, the lock they change under, and who is to be told."""

    def __init__(self) -> None:
        self.sessions = MemorySessions()
        self.run_id = secrets.token_hex(20)
        self.started = time.time()
        self.condition = threading.Condition()
        self.waiting: set[Callable[[], object]] = set()

    @contextmanager
    def changing(self) -> Generator[None]:
        """Change something, and tell everybody who waits, in whatever thread or loop."""
        with self.condition:
            try:
                yield
            finally:
                self.condition.notify_all()
                for tell in self.waiting:
                    tell()


_SHARED = _Shared()


class SharedMemoryStore(MemoryStore):
    """An opening of the process's sessions in memory; a `Store`."""

    def __init__(self) -> None:
        super().__init__()
        self._sessions, self._run_id, self._started = _SHARED.sessions, _SHARED.run_id, _SHARED.started
        self._condition = _SHARED.condition

    @contextmanager
    def _changing(self) -> Generator[int]:
        with _SHARED.changing():
            yield self._now()

    @contextmanager
    def _closing(self) -> Generator[None]:
        with _SHARED.changing():
            yield


class AsyncSharedMemoryStore(AsyncMemoryStore):
    """An opening of the process's sessions in memory; an `AsyncStore`, for asyncio."""

    def __init__(self) -> None:
        super().__init__()
        self._sessions, self._run_id, self._started = _SHARED.sessions, _SHARED.run_id, _SHARED.started

    @contextmanager
    def _changing(self) -> Generator[int]:
        with _SHARED.changing():
            yield self._now()

    @contextmanager
    def _closing(self) -> Generator[None]:
        with _SHARED.changing():
            yield

    async def _wait_for(self, look: Callable[[], T | None], seconds: float) -> T | None:
        until = time.monotonic() + min(seconds, LONGEST_WAIT)
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with suppress(RuntimeError):  # a loop that was closed with a wait under way
                loop.call_soon_threadsafe(changed.set)

        with _SHARED.condition:
            _SHARED.waiting.add(tell)
        try:
            while True:
                changed.clear()
                with _SHARED.condition:
                    found = look()
                left = until - time.monotonic()
                if found is not None or left <= 0:
                    return found
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), left)
        finally:
            with _SHARED.condition:
                _SHARED.waiting.discard(tell)
