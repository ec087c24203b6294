"""
Several servers by one URL: `redis+cluster://a:7000,b:7000` and `redis+sentinel://a,b:26379/primary/0`, or `rediss+…`.

No error here quotes a URL: there may be a password in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

from resumable._core.errors import ConfigurationError

from ._places import Node, Places, Primary, Slots

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Schemes of several servers.
FLEETS = ("redis+cluster", "redis+sentinel", "rediss+cluster", "rediss+sentinel")

_URL = re.compile(
    r"(rediss?)\+(cluster|sentinel)://(?:([^/?#]*)@)?([^/?#@]*)(?:/([^?#]*))?(?:\?([^#]*))?", re.IGNORECASE
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_PORTS = {"cluster": 6379, "sentinel": 26379}
_EXAMPLES = {
    "cluster": "redis+cluster://host:6379,host:6379",
    "sentinel": "redis+sentinel://host:26379,host:26379/primary-name/0",
}
_DURABILITY = "durability"
_REPLICAS = re.compile(r"replica(?::([1-9]))?")
_SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")


class Fleet(NamedTuple):
    """
    Servers that hold sessions together, and how to be let in.

    Attributes:
        scheme: `"redis"` or `"rediss"`.
        login: `user:password@` as in the URL, or empty.
        nodes: Some of the Cluster's, or the Sentinels.
        primary: What the Sentinels call the primary; `None` in a Cluster.
        database: Number of the database.
        options: Of the connections, as in a URL.
        sentinel_login: User name and password for the Sentinels; `None` where they ask for none.
        replicas: How many must have a write before it counts.
    """

    scheme: str
    login: str
    nodes: tuple[Node, ...]
    primary: str | None
    database: str
    options: str
    sentinel_login: tuple[str | None, str | None]
    replicas: int

    def __repr__(self) -> str:
        """Leave the logins out."""
        return f"Fleet(scheme={self.scheme!r}, nodes={self.nodes!r}, primary={self.primary!r})"

    @classmethod
    def from_url(cls, url: str) -> Fleet:
        """
        Read a URL.

        Raises:
            ConfigurationError: It cannot work.
        """
        problem, remedy = fault_of(url)
        found = _URL.fullmatch(url)
        if found is None or problem:
            raise ConfigurationError(argument="store", problem=problem, remedy=remedy)
        scheme, kind, login, hosts, path, query = found.groups(default="")
        primary, _, database = unquote(path).strip("/").partition("/")
        options = dict(parse_qsl(query, keep_blank_values=True))
        waits = _REPLICAS.fullmatch(options.pop(_DURABILITY, ""))
        user, password = (options.pop(name, None) for name in _SENTINEL_LOGIN)
        return cls(
            scheme.lower(),
            f"{login}@" if login else "",
            tuple(_node(host, kind.lower()) for host in hosts.split(",")),
            primary if kind.lower() == "sentinel" else None,
            database or "0",
            urlencode(options),
            (user, password),
            int(waits[1] or 1) if waits else 0,
        )

    def places(self) -> Places:
        """Begin to know where keys are: nothing is known yet."""
        return Slots(self.nodes) if self.primary is None else Primary(self.primary, self.nodes)

    def url_of(self, node: Node) -> str:
        """Spell the URL of one node, as of one server."""
        host = f"[{node.host}]" if ":" in node.host else node.host
        login, database = ("", "0") if node.is_sentinel else (self.login, self.database)
        return f"{self.scheme}://{login}{host}:{node.port}/{database}?{self.options}"

    def settings(self, node: Node, read: Mapping[str, Any]) -> dict[str, Any]:
        """
        Say how to connect to a node.

        Args:
            node: Which.
            read: What its URL says, as redis-py reads it.
        """
        names = dict(zip(("username", "password"), self.sentinel_login, strict=True))
        return {**read, **{name: word for name, word in names.items() if node.is_sentinel and word is not None}}


def fault_of(url: str) -> tuple[str, str]:
    """Say what is wrong with the URL of a fleet and what to do; two empty words when nothing is."""
    found = _URL.fullmatch(url)
    if found is None:
        return "its hosts cannot be read", "percent-encode what is special in user name and password"
    _, kind, _, hosts, path, query = found.groups(default="")
    kind = kind.lower()
    example = f"as in {_EXAMPLES[kind]}"
    if not all(map(_is_host, hosts.split(","))):
        return "one of its hosts or ports cannot be read", f"name them with commas between, {example}"
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not _REPLICAS.fullmatch(options.get(_DURABILITY, "replica")):
        return "its durability is not one there is", "write ?durability=replica or replica:2, or leave it out"
    if kind == "cluster":
        return _fault_of_cluster(unquote(path).strip("/"), options, example)
    return _fault_of_primary(unquote(path).strip("/"), example)


def _fault_of_cluster(path: str, options: Mapping[str, str], example: str) -> tuple[str, str]:
    if path not in {"", "0"}:
        return "a Cluster has no database but 0", f"leave it out, {example}"
    if any(name in options for name in _SENTINEL_LOGIN):
        return "a Cluster has no Sentinels to log in to", "leave these options out"
    return "", ""


def _fault_of_primary(path: str, example: str) -> tuple[str, str]:
    primary, _, database = path.partition("/")
    if not primary:
        return "it does not say what the Sentinels call the primary", f"name it behind the hosts, {example}"
    if database and not (database.isascii() and database.isdigit()):
        return "its database is not a number", f"end it with a number, {example}"
    return "", ""


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and int(found[2] or 1) in range(1, 1 << 16)


def _node(text: str, kind: str) -> Node:
    found = _HOST.fullmatch(text)
    host, port = found.groups() if found is not None else ("", None)  # Read before, by `fault_of`.
    return Node(host.strip("[]"), int(port or _PORTS[kind]))
