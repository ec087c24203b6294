"""A real server, and where kept calls find it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.sessions.calls import Calls
from tests.store.servers import Server, short_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """One server for all tests of this worker."""
    with ExitStack() as stack:
        server = Server("valkey", short_directory(stack))
        stack.callback(server.stop)
        server.start()
        yield server


@pytest.fixture(params=["memory", "server"])
def store(request: pytest.FixtureRequest) -> str:
    """Where sessions are: in this process, and on a real server."""
    return "memory://" if request.param == "memory" else str(request.getfixturevalue("valkey").url)


@pytest.fixture(params=["sync", "async"])
def calls(request: pytest.FixtureRequest, store: str) -> Calls:
    """Call in both colours."""
    return Calls(request.param, store)
