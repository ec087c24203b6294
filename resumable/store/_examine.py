"""
What can be found out about the servers of a store, for whoever has to judge them; it judges nothing itself.

Everything but the store's own operations is optional: managed servers forbid INFO, CONFIG and more.
"""

from __future__ import annotations

import re
import secrets
import statistics
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from resumable._core.store_errors import SessionNotFoundError, StoreError, StoreUnavailableError

from ._records import Append, Cursor, Lease, Marker, Opening, Status, Upkeep
from .cluster._delivery import find
from .cluster._nodes import Nodes
from .cluster._routed import RoutedStore
from .cluster._stores import server_store
from .cluster._urls import FLEETS, Fleet
from .embedded._server import open_embedded
from .redis._clients import connect
from .redis._errors import map_errors
from .redis._stores import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Redis as Client

    from ._interface import Store
    from ._url import Address
    from .redis._replies import Reply

T = TypeVar("T")

_PINGS = 20
_WRITES = 5
_CONFIG = ("appendfsync", "maxmemory-policy", "appendonly")
_TTL = 60.0  # [s] Of the session that is written and deleted; what remains if the connection breaks in between.
_COMMAND = re.compile(r"run the '([\w|]+)' command")
_KEY = re.compile(r"access (?:a|one of the) keys?")


class Server(NamedTuple):
    """
    What one server says.

    Attributes:
        name: Host and port, where there are several; else empty.
        info: Of INFO; `None` where it is refused.
        config: Of CONFIG GET; what is refused is missing.
        pings: [s] Round trips.
        ahead: [s] Its clock before ours; `None` where it is refused.
        lost: Why it cannot be asked at all.
    """

    name: str
    info: dict[str, str] | None = None
    config: dict[str, str] = {}  # noqa: RUF012  # Reason: a named tuple's default; nobody writes to it
    pings: tuple[float, ...] = ()
    ahead: float | None = None
    lost: StoreUnavailableError | None = None


class Step(NamedTuple):
    """
    An operation of the store that was tried.

    Attributes:
        name: Of the method.
        seconds: [s] How long it took.
        refused: Why it failed; `None` when it did not.
        denied: The command that the user has no right to, or `"keys"` for the names of keys; else empty.
    """

    name: str
    seconds: float
    refused: StoreUnavailableError | None
    denied: str


class Examined(NamedTuple):
    """
    What was found out.

    Attributes:
        servers: Each that holds keys.
        steps: Operations, in order; empty where no server answers.
    """

    servers: Sequence[Server]
    steps: Sequence[Step]

    @property
    def write_time(self) -> float | None:
        """[s] Median of single appends; `None` where none succeeded."""
        times = [step.seconds for step in self.steps if step.name == "append" and step.refused is None]
        return statistics.median(times) if times else None


def examine(address: Address, *, prefix: str = "resumable") -> Examined:
    """
    Ask the servers of a store, and try every operation on a session that is deleted again.

    Args:
        address: Of a store that is outside this process.
        prefix: First part of every key's name.

    Raises:
        ConfigurationError: It cannot be opened at all.
    """
    if address.scheme == "embedded":
        with open_embedded(unquote(urlsplit(address.url).path) or None) as server:
            return _examined(server.url, prefix, is_fleet=False)
    return _examined(address.url, prefix, is_fleet=address.scheme in FLEETS)


def _examined(url: str, prefix: str, *, is_fleet: bool) -> Examined:
    store = server_store(url, is_fleet=is_fleet, prefix=prefix)
    asking: _Fleet | _Single = _Fleet(Fleet.from_url(url)) if is_fleet else _Single(connect(url))
    try:
        servers = [_asked(name, client) for name, client in asking.servers()]
        is_there = all(server.lost is None for server in servers)
        return Examined(servers, list(_steps(store)) if is_there else ())
    except StoreUnavailableError as lost:
        return Examined([Server("", lost=lost)], ())
    finally:
        store.close()
        asking.close()


class _Single(RedisStore):
    """Asks one server."""

    def servers(self) -> Sequence[tuple[str, Client]]:
        """Name the servers that hold keys."""
        return [("", self._clients.quick)]


class _Fleet(RoutedStore):
    """Asks each server of several."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._asked = Nodes(fleet)

    def servers(self) -> Sequence[tuple[str, Client]]:
        """
        Name the servers that hold keys.

        Raises:
            StoreUnavailableError: Nobody says where they are.
        """
        self._deliver(find(self._places), is_blocking=False)
        return [(f"{node.host}:{node.port}", self._asked.at(node).quick) for node in self._places.primaries()]

    def close(self) -> None:
        """As `Store.close`."""
        super().close()
        self._asked.close()


def _asked(name: str, client: Client) -> Server:
    try:
        pings = tuple(_timed(lambda: _ask(client, "PING"))[1] for _ in range(_PINGS))
    except StoreUnavailableError as lost:
        return Server(name, lost=lost)
    info = _allowed(client, "INFO")
    config: dict[str, str] = {}
    for setting in _CONFIG:
        found = _allowed(client, "CONFIG", "GET", setting)
        if isinstance(found, list) and len(found) > 1:
            config[setting] = found[1].decode(errors="replace")
    asked_at = time.time()
    its, took = _timed(lambda: _allowed(client, "TIME"))
    ahead = None if its is None else int(its[0]) + int(its[1]) / 1e6 - asked_at - took / 2
    return Server(name, _read(info), config, pings, ahead)


def _read(info: Reply) -> dict[str, str] | None:
    if not isinstance(info, bytes):
        return None
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _ask(client: Client, *words: str) -> Reply:
    with map_errors():
        return client.execute_command(*words)  # type: ignore[no-untyped-call]  # Reason: not annotated


def _allowed(client: Client, *words: str) -> Reply:
    """Ask for what may be refused; `None` where it is."""
    with suppress(StoreUnavailableError):
        return _ask(client, *words)
    return None


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    return call(), time.perf_counter() - began


def _steps(store: Store) -> Iterator[Step]:
    """Try every operation; what depends on one that failed is tried all the same, and fails of itself."""
    name = f"doctor-{secrets.token_hex(8)}"
    opening = Opening(b"{}", "", "", {"model": ""})
    lease = Lease(name, "doctor", 1, 0, _TTL, _TTL)
    nobody = Lease(f"{name}-none", "doctor", 1, 0, _TTL, _TTL)

    def acquire() -> None:
        nonlocal lease
        lease = store.acquire(name, "doctor", duration=_TTL, ttl=_TTL, opening=opening).lease

    yield _step("ping", store.ping)
    yield _step("acquire", acquire)
    for seq in range(1, _WRITES + 1):
        yield _step("append", lambda seq=seq: store.append([Append(lease, seq, [b"{}"])]))  # type: ignore[misc]  # Reason: bound early on purpose
    last = Cursor(lease.token, _WRITES)
    calls: dict[str, Callable[[], object]] = {
        "renew": lambda: store.renew([lease]),
        "read": lambda: store.read(name),
        "wait": lambda: store.wait({name: last}, 0.001),
        "wake": store.wake,
        "get": lambda: store.get(name),
        "look": lambda: store.look([name]),
        "request": lambda: store.request(name),
        "list": lambda: store.list(limit=1),
        "due": lambda: store.due(1),
        "claim": lambda: store.claim(Upkeep.ORPHANED, hold=_TTL, principal=name, limit=1),
        "note": lambda: store.note(name, b"", 0.001),  # Nothing is to stay behind.
        "notes": lambda: store.notes([name]),
        "wait_cancelled": lambda: store.wait_cancelled(store.wait_cancelled(None, 0).cursor, 0.001),
        "cancel": lambda: store.cancel(name, "tried"),
        # On a session that is not there: a sweeper must not find one without a holder.
        "release": lambda: store.release(nobody),
        "orphan": lambda: store.orphan(nobody.session_id),
        "compact": lambda: store.compact(nobody.session_id, [Marker(1, Status.COMPLETE, "", 0, None)]),
        "delete": lambda: (store.delete(nobody.session_id), store.delete(name)),  # The first has left a hint.
    }
    for operation, call in calls.items():
        yield _step(operation, call)


def _step(name: str, call: Callable[[], object]) -> Step:
    refused: StoreUnavailableError | None = None
    began = time.perf_counter()
    try:
        refused = _first_refusal(call())
    except SessionNotFoundError:
        pass  # Where nothing is, or where opening it was refused before.
    except StoreUnavailableError as exc:
        refused = exc
    except StoreError as exc:
        refused = StoreUnavailableError("refused", type(exc).__name__, retryable=False)
    return Step(name, time.perf_counter() - began, refused, _denied(refused))


def _first_refusal(outcome: object) -> StoreUnavailableError | None:
    if not isinstance(outcome, list):
        return None
    return next((one for one in outcome if isinstance(one, StoreUnavailableError)), None)


def _denied(refused: StoreUnavailableError | None) -> str:
    """Say which right is missing, from the server's own sentence; inside a script it begins with another word."""
    said = "" if refused is None else str(refused.__cause__)
    command = _COMMAND.search(said)
    if command is not None:
        return command[1].lower()
    if _KEY.search(said):
        return "keys"
    return "?" if refused is not None and refused.reason == "permission" else ""
