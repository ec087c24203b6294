"""
Which store applies, and how its URL is read: the argument, RESUMABLE_URL, REDIS_URL, or the embedded server.

No error here quotes a URL: there may be a password in it.
"""

from __future__ import annotations

import asyncio
import os
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from resumable._core.errors import ConfigurationError

from .cluster._urls import FLEETS, fault_of
from .embedded._server import open_embedded
from .encrypted._keyring import find_keys
from .encrypted._stores import AsyncSealedStore, SealedStore
from .memory._shared import AsyncSharedMemoryStore, SharedMemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._interface import AsyncStore, Store

#: Where a URL may stand when no argument names one; the first that is set and not empty applies.
VARIABLES = ("RESUMABLE_URL", "REDIS_URL")

SCHEMES = ("embedded", "memory", "redis", "rediss", "unix", *FLEETS)
_REMEDY = "pass redis://host:port/0, rediss://host:port/0, unix:///path/to/socket, embedded:// or memory://"
# Words a user may well have, and what to write instead.
_INSTEAD = {
    "valkey": "Valkey speaks the same protocol: write redis://",
    "valkeys": "Valkey speaks the same protocol: write rediss://",
    "http": "a Redis that is reached by HTTP cannot hold sessions: pass the address of its Redis protocol",
    "https": "a Redis that is reached by HTTP cannot hold sessions: pass the address of its Redis protocol",
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class Address(NamedTuple):
    """
    Where sessions are kept.

    Attributes:
        origin: Who named it: `"store"` for the argument, the name of a variable, or `"default"`.
        scheme: One of `SCHEMES`.
        url: As it was named; may hold a password.
    """

    origin: str
    scheme: str
    url: str

    def __repr__(self) -> str:
        """Leave the URL out: there may be a password in it."""
        return f"Address(origin={self.origin!r}, scheme={self.scheme!r})"


def find_address(url: str | None, environ: Mapping[str, str]) -> Address:
    """
    Find which store applies.

    Args:
        url: What the caller named, or `None`.
        environ: The process's environment.

    Raises:
        ConfigurationError: It cannot work; `argument` says who named it.
    """
    if url is not None:
        return parse_url(url, "store")
    for name in VARIABLES:
        if environ.get(name):
            return parse_url(environ[name], name)
    return Address("default", "embedded", "embedded://")


def parse_url(url: str, origin: str) -> Address:
    """
    Read the URL of a store, as far as a mistake can be told from it.

    Args:
        url: What was named.
        origin: Who named it, for the error.

    Raises:
        ConfigurationError: It cannot work.
    """
    problem, remedy = _fault(url)
    if problem:
        raise ConfigurationError(origin, problem, remedy)
    return Address(origin, url.partition("://")[0].lower(), url)


def open_store(
    url: str | None = None, *, prefix: str = "resumable", keys: str | Mapping[str, bytes] | None = None
) -> Store:
    """
    Open the store that applies; whoever opens it closes it.

    Nothing is sent to a server that was named by URL. The embedded one is started or attached to: this blocks
    until it answers, some 50 ms for an empty one.

    Args:
        url: `redis://`, `rediss://`, `unix://`, `redis+cluster://`, `redis+sentinel://` (or `rediss+…`), `embedded://`
            (or `embedded:///directory`), `memory://`; without it `RESUMABLE_URL`, then `REDIS_URL`, then the embedded
            server. All `memory://` stores of a process are one.
        prefix: First part of every key's name.
        keys: Encrypt content with these; without them `RESUMABLE_KEYS`.

    Raises:
        ConfigurationError: The URL or the keys cannot work, a package is not installed, or there is no server to embed.
    """
    address, keyring = find_address(url, os.environ), find_keys(keys, os.environ)
    if address.scheme == "memory" and not keyring:
        return SharedMemoryStore()
    # Also without a key: what others have encrypted is then an error with a name.
    return SealedStore(_open(address, prefix), keyring)


def _open(address: Address, prefix: str) -> Store:
    if address.scheme == "memory":
        return SharedMemoryStore()
    _need_client(address.origin)
    if address.scheme == "embedded":
        from .embedded._store import EmbeddedStore  # noqa: PLC0415  # Reason: imports redis-py, an extra

        return EmbeddedStore(open_embedded(_home(address)), prefix=prefix)
    from .cluster._stores import server_store  # noqa: PLC0415  # Reason: imports redis-py, an extra

    try:
        return server_store(address.url, is_fleet=address.scheme in FLEETS, prefix=prefix)
    except ConfigurationError as refused:
        raise _by(address, refused) from refused


async def aopen_store(
    url: str | None = None, *, prefix: str = "resumable", keys: str | Mapping[str, bytes] | None = None
) -> AsyncStore:
    """As `open_store`, for asyncio; the embedded server is started in a thread."""
    address, keyring = find_address(url, os.environ), find_keys(keys, os.environ)
    if address.scheme == "memory" and not keyring:
        return AsyncSharedMemoryStore()
    return AsyncSealedStore(await _aopen(address, prefix), keyring)


async def _aopen(address: Address, prefix: str) -> AsyncStore:
    if address.scheme == "memory":
        return AsyncSharedMemoryStore()
    _need_client(address.origin)
    if address.scheme == "embedded":
        from .embedded._store import AsyncEmbeddedStore  # noqa: PLC0415  # Reason: imports redis-py, an extra

        return AsyncEmbeddedStore(await asyncio.to_thread(open_embedded, _home(address)), prefix=prefix)
    from .cluster._stores import aserver_store  # noqa: PLC0415  # Reason: imports redis-py, an extra

    try:
        return aserver_store(address.url, is_fleet=address.scheme in FLEETS, prefix=prefix)
    except ConfigurationError as refused:
        raise _by(address, refused) from refused


def _by(address: Address, refused: ConfigurationError) -> ConfigurationError:
    """Say which variable it was, where it was one."""
    argument = address.origin if refused.argument == "store" else refused.argument
    return ConfigurationError(argument, refused.problem, refused.remedy)


def _need_client(origin: str) -> None:
    if find_spec("redis") is None:
        problem = "sessions outside this process need redis-py, which is not installed"
        raise ConfigurationError(origin, problem, "pip install 'resumable-anthropic[redis]', or name memory://")


def _home(address: Address) -> str | None:
    return unquote(urlsplit(address.url).path) or None


def _fault(url: str) -> tuple[str, str]:
    """Say what is wrong with a URL and what to do; two empty words when nothing is."""
    scheme = _SCHEME.match(url)
    if scheme is None:
        return "not a URL", _REMEDY
    word = scheme[1].lower()
    if word not in SCHEMES:
        return f"{word}:// is not the URL of a store", _INSTEAD.get(word, _REMEDY)
    if word in FLEETS:
        return fault_of(url)
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return "its host or port cannot be read", "percent-encode what is special in user name and password"
    return _FAULTS[word](parts)


def _fault_of_memory(parts: SplitResult) -> tuple[str, str]:
    if parts.netloc or parts.path or parts.query or parts.fragment:
        return "memory:// takes nothing behind it", "name memory:// alone"
    return "", ""


def _fault_of_embedded(parts: SplitResult) -> tuple[str, str]:
    if parts.netloc or parts.query or parts.fragment:
        return "embedded:// takes an absolute directory or nothing", "name embedded:// or embedded:///directory"
    return "", ""


def _fault_of_unix(parts: SplitResult) -> tuple[str, str]:
    if parts.hostname or not parts.path.strip("/"):
        return "unix:// without the absolute path of a socket", "name unix:///path/to/socket, with three slashes"
    return _fault_of_number(parse_qs(parts.query).get("db", ["0"])[0], "?db=0")


def _fault_of_server(parts: SplitResult) -> tuple[str, str]:
    # redis-py takes what is no number for database 0, and says nothing.
    if parts.fragment:
        return "a # stands in it", "percent-encode what is special in user name and password"
    return _fault_of_number(parts.path.strip("/") or "0", "redis://host:port/0")


def _fault_of_number(database: str, example: str) -> tuple[str, str]:
    if not (database.isascii() and database.isdigit()):
        return "its database is not a number", f"end it with a number, as in {example}"
    return "", ""


_FAULTS = {
    "embedded": _fault_of_embedded,
    "memory": _fault_of_memory,
    "redis": _fault_of_server,
    "rediss": _fault_of_server,
    "unix": _fault_of_unix,
}
