"""
redis-py, configured: its own defaults wait between 0 and 59 s, depending on how a client is made.

The URL says where the server is and how to be let in; timeouts, retries and the shape of answers are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import redis
import redis.asyncio
from redis.asyncio.connection import BlockingConnectionPool as AsyncBlockingConnectionPool
from redis.asyncio.connection import parse_url as aparse_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import FullJitterBackoff
from redis.connection import BlockingConnectionPool, parse_url
from redis.retry import Retry

from resumable._core.errors import ConfigurationError
from resumable.store._records import LONGEST_WAIT

from ._errors import LOST_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMEOUT = 2.0  # [s] For a connection and for an answer: more than any script takes, less than anybody waits gladly.
RETRIES = 2  # After a lost connection. A timeout is not tried again here: whoever calls knows how long it can wait.
CONNECTIONS = 16  # Appends need one; the rest is for readers that catch up.
_BACKOFF = FullJitterBackoff(cap=0.2, base=0.01)  # [s]
_SETTABLE = frozenset({"username", "password", "host", "port", "db", "path", "connection_class", "client_name"})


class Clients(NamedTuple):
    """
    The two clients of a sync store.

    Attributes:
        quick: For what is answered at once.
        blocking: For waits; an answer may take `LONGEST_WAIT`.
    """

    quick: redis.Redis
    blocking: redis.Redis


class AsyncClients(NamedTuple):
    """
    The two clients of an async store.

    Attributes:
        quick: For what is answered at once.
        blocking: For waits; an answer may take `LONGEST_WAIT`.
    """

    quick: redis.asyncio.Redis
    blocking: redis.asyncio.Redis


def connect(url: str) -> Clients:
    """
    Make the clients of a sync store; nothing is sent yet.

    Raises:
        ConfigurationError: The URL is none that can work.
    """
    return connect_to(settings_of(url), retries=RETRIES)


def aconnect(url: str) -> AsyncClients:
    """
    Make the clients of an async store; nothing is sent yet.

    Raises:
        ConfigurationError: The URL is none that can work.
    """
    return aconnect_to(asettings_of(url), retries=RETRIES)


def settings_of(url: str) -> dict[str, Any]:
    """
    Read what a URL says about connections.

    Raises:
        ConfigurationError: The URL is none that can work.
    """
    return _parsed(parse_url, url)


def asettings_of(url: str) -> dict[str, Any]:
    """As `settings_of`, for asyncio."""
    return _parsed(aparse_url, url)


def connect_to(settings: Mapping[str, Any], *, retries: int) -> Clients:
    """
    Make the sync clients of one server; nothing is sent yet.

    Args:
        settings: As `settings_of` gives them.
        retries: How often to send again after a lost connection.
    """
    pool: Any = BlockingConnectionPool  # Reason: its constructor is not annotated
    return Clients(
        redis.Redis.from_pool(pool(**settings, **_quick(), retry=Retry(_BACKOFF, retries, LOST_CONNECTION))),
        redis.Redis.from_pool(pool(**settings, **_blocking(), retry=Retry(_BACKOFF, 0))),
    )


def aconnect_to(settings: Mapping[str, Any], *, retries: int) -> AsyncClients:
    """As `connect_to`, for asyncio."""
    lost: Any = LOST_CONNECTION  # Reason: declared as redis-py's own errors only, which is where its slips come from
    return AsyncClients(
        redis.asyncio.Redis.from_pool(
            AsyncBlockingConnectionPool(**settings, **_quick(), retry=AsyncRetry(_BACKOFF, retries, lost))
        ),
        redis.asyncio.Redis.from_pool(
            AsyncBlockingConnectionPool(**settings, **_blocking(), retry=AsyncRetry(_BACKOFF, 0))
        ),
    )


def _parsed(parse: Callable[[str], Mapping[str, Any]], url: str) -> dict[str, Any]:
    # No problem below quotes the URL: there may be a password in it.
    try:
        parsed = dict(parse(url))
    except ValueError as exc:
        problem = "not a URL of a Redis server"
        raise ConfigurationError(
            argument="store", problem=problem, remedy="pass redis://, rediss:// or unix://"
        ) from exc
    strange = sorted(name for name in parsed if name not in _SETTABLE and not name.startswith("ssl_"))
    if strange:
        problem = f"option {strange[0]} cannot be set by URL"
        raise ConfigurationError(argument="store", problem=problem, remedy="leave it out")
    return parsed


def _quick() -> dict[str, Any]:
    return {
        "protocol": 2,
        "decode_responses": False,
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "timeout": TIMEOUT,  # until a connection of the pool is free
        "max_connections": CONNECTIONS,
    }


def _blocking() -> dict[str, Any]:
    return _quick() | {"socket_timeout": LONGEST_WAIT + TIMEOUT}
