"""Stores of both colours at a server, for tests that break it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from resumable._core.store_errors import StoreUnavailableError
from resumable.store import Append, AsyncStore, Lease, Store
from resumable.store.redis._stores import AsyncRedisStore, RedisStore
from resumable.testing._conformance_portal import in_portal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resumable._core.store_errors import StoreError
    from resumable.store import Appended

LONG, KEPT = 1000.0, 60.0  # [s]
META, LOG, REQUEST = "resumable:{s}:meta", "resumable:{s}:log", "resumable:{s}:request"


@contextmanager
def store_at(url: str, colour: str) -> Iterator[Store]:
    """Open a store of a colour, driven in the same way."""
    if colour == "sync":
        store = RedisStore.from_url(url)
        yield store
        store.close()
        return

    async def make() -> AsyncStore:
        return AsyncRedisStore.from_url(url)

    with in_portal(make) as across:
        yield across


@pytest.fixture(params=["sync", "async"])
def colour(request):
    """Both colours."""
    return request.param


@pytest.fixture
def store(server, colour):
    """A store at the shared server, empty."""
    with store_at(server.url, colour) as found:
        yield found


def unavailable(call) -> StoreUnavailableError:
    """Make a call that must fail in bounded time, and tell how."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError) as caught:
        call()
    assert time.monotonic() - began < 12
    assert caught.value.__cause__ is not None or caught.value.reason == "closed"
    return caught.value


def outcome(store: Store, lease: Lease, first_seq: int, *events: bytes) -> Appended | StoreError:
    """Append and give the outcome back, whatever it is."""
    return store.append([Append(lease, first_seq, events)])[0]
