"""What the doctor makes of a store: facts into findings; pure but for `examine_store`."""

from __future__ import annotations

import re
import statistics
from typing import TYPE_CHECKING, Final

from resumable._core.errors import ConfigurationError
from resumable.cli._doctor_findings import Finding, Level
from resumable.store._url import find_address
from resumable.store.encrypted._keyring import find_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from resumable._core.store_errors import StoreUnavailableError
    from resumable.store._examine import Examined, Server, Step

OLDEST: Final = (6, 2)
PING_LIMIT: Final = 0.010  # [s] Median; every write ahead of the caller takes one round trip at least.
WRITE_LIMIT: Final = 0.050  # [s] Median; more is seen between the words of an answer.
CLOCK_LIMIT: Final = 2.0  # [s] Less is what time synchronisation leaves, and nobody notices it.
FULL: Final = 0.8  # of the memory

_RIGHTS: Final = "docs/reference/redis-keys.md lists the rights that a user needs"
_SHARED: Final = "if the server is also a cache, give sessions one of their own and name it in RESUMABLE_URL"
#: Reasons for which a store cannot be asked: what to change.
_REMEDIES: Final = {
    "auth": "correct user name and password in the URL; percent-encode what is special in them",
    "clients": "raise maxclients, or close connections of others",
    "cluster": "look at CLUSTER INFO, or at what the Sentinels say: there is no primary for some keys",
    "connection": "start the server, or correct host, port and scheme; rediss:// where it wants TLS",
    "disk": "make room on the server's disk: it cannot write its file, and refuses writes until it can",
    "loading": "wait: it is reading its file",
    "memory": "raise maxmemory, or delete sessions: it is full, and refuses writes",
    "readonly": "name the primary, or redis+sentinel:// so that it is found",
    "timeout": "look at the network and at what keeps the server busy (SLOWLOG GET)",
}
_CHECK_OF: Final = {"memory": "memory", "disk": "persistence", "readonly": "role", "permission": "rights"}


def examine_store(url: str | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """
    Examine the store that applies.

    Args:
        url: As of `--store`.
        environ: The process's environment.
    """
    yield _encryption(environ)
    try:
        address = find_address(url, environ)
    except ConfigurationError as wrong:
        yield Finding("address", Level.FAILURE, f"{_origin(wrong.argument)}: {wrong.problem}", change=wrong.remedy)
        return
    where = f"{address.scheme}://, by {_origin(address.origin)}"
    if address.scheme == "memory":
        why = "every session is lost with the process, and no other process sees it"
        yield Finding("address", Level.NOTE, where, why, "name a server where sessions must outlive the process")
        return
    yield Finding("address", Level.OK, where)
    try:
        from resumable.store._examine import examine  # noqa: PLC0415  # Reason: imports redis-py, an extra

        examined = examine(address)
    except ModuleNotFoundError:
        remedy = "pip install 'resumable-anthropic[redis]'"
        yield Finding("reach", Level.FAILURE, "redis-py is not installed", change=remedy)
    except ConfigurationError as wrong:
        yield Finding("reach", Level.FAILURE, wrong.problem, change=wrong.remedy)
    else:
        yield from judge(examined)


def judge(examined: Examined) -> Iterator[Finding]:
    """Judge what was found out."""
    for server in examined.servers:
        findings = [_reach(server)] if server.lost is not None else list(_of_server(server))
        yield from (finding._replace(server=server.name) for finding in findings)
    if examined.steps:
        yield from _of_steps(examined.steps)
        yield _writing(examined)


def _encryption(environ: Mapping[str, str]) -> Finding:
    try:
        keys = find_keys(None, environ)
    except ConfigurationError as wrong:
        return Finding("encryption", Level.FAILURE, f"{wrong.argument}: {wrong.problem}", change=wrong.remedy)
    if keys.current is None:
        why = "who can read the store, its files or its backups can read prompts and answers"
        return Finding("encryption", Level.NOTE, "off", why, "set RESUMABLE_KEYS if they must not")
    return Finding("encryption", Level.OK, f"{len(keys)} keys, {keys.current.name} for new sessions")


def _origin(origin: str) -> str:
    return {"store": "--store", "default": "default"}.get(origin, origin)


def _reach(server: Server) -> Finding:
    lost = server.lost
    if lost is None:
        return Finding("reach", Level.OK, "it answers")
    change = _REMEDIES.get(lost.reason, "is it a Redis or Valkey server, and does it speak plainly where you ask?")
    return Finding("reach", Level.FAILURE, f"{lost.reason} ({lost.cause_name})", "nothing can be kept", change)


def _of_server(server: Server) -> Iterator[Finding]:
    yield _reach(server)
    yield _latency(server.pings)
    yield _clock(server.ahead)
    if server.info is None:
        for check in ("version", "role", "memory"):
            yield _untold(check, "INFO")
        info: Mapping[str, str] = {}
    else:
        info = server.info
        yield _version(info)
        yield _role(info)
        yield _memory(info)
    yield _eviction(info, server.config)
    yield _persistence(info, server.config)
    yield _fsync(info, server.config)


def _untold(check: str, command: str) -> Finding:
    return Finding(check, Level.NOTE, f"not told: {command} is refused", change="see what your provider says about it")


def _latency(pings: Sequence[float]) -> Finding:
    median = statistics.median(pings)
    found = f"a round trip takes {_ms(median)}, {_ms(max(pings))} at worst"
    if median <= PING_LIMIT:
        return Finding("latency", Level.OK, found)
    why = "each event waits for one before it reaches the caller"
    return Finding("latency", Level.WARNING, found, why, "bring the server near, into the same zone or network")


def _clock(ahead: float | None) -> Finding:
    if ahead is None:
        return _untold("clock", "TIME")
    found = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) <= CLOCK_LIMIT:
        return Finding("clock", Level.OK, f"within {CLOCK_LIMIT:g} s of this machine's")
    why = "leases, ages and entry ids are by the server's clock: its times are not those of your logs"
    return Finding(
        "clock", Level.WARNING, found, why, "synchronise both clocks (NTP), in small steps: a leap stretches leases"
    )


def _version(info: Mapping[str, str]) -> Finding:
    version = info.get("redis_version", "")
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    parts = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if not parts:
        return Finding("version", Level.NOTE, "not told: INFO does not say")
    if parts >= OLDEST:
        return Finding("version", Level.OK, name)
    return Finding(
        "version", Level.FAILURE, name, "scripts and streams need 6.2", "install Redis 6.2 or newer, or Valkey"
    )


def _role(info: Mapping[str, str]) -> Finding:
    role = info.get("role", "master")
    if role == "master":
        return Finding("role", Level.OK, f"primary, {info.get('connected_slaves', '0')} replicas")
    return Finding("role", Level.FAILURE, "replica", "writes are refused", _REMEDIES["readonly"])


def _memory(info: Mapping[str, str]) -> Finding:
    # As the server counts: what waits to be written to its file, or to a replica, is not held against the limit.
    used = int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))
    limit = int(info.get("maxmemory", 0))
    machine = int(info.get("total_system_memory", 0))
    found = f"{_mb(used)} used of {_mb(limit or machine)}" + ("" if limit else ", no maxmemory")
    if (limit or machine) and used > FULL * (limit or machine):
        why = "when it is full, writes are refused, or sessions are evicted, or the system kills the server"
        return Finding("memory", Level.WARNING, found, why, "give it more memory, or sessions a shorter time to live")
    if not limit:
        why = "a server that outgrows its machine is killed; one with a limit refuses writes and lives"
        return Finding("memory", Level.NOTE, found, why, "CONFIG SET maxmemory, below what the machine has to spare")
    return Finding("memory", Level.OK, found)


def _eviction(info: Mapping[str, str], config: Mapping[str, str]) -> Finding:
    policy = info.get("maxmemory_policy") or config.get("maxmemory-policy")
    if policy is None:
        return _untold("eviction", "INFO and CONFIG GET")
    if policy == "noeviction":
        return Finding("eviction", Level.OK, policy)
    why = "at maxmemory the server drops halves of sessions: each is a LogLostError, and cannot be saved"
    change = f"CONFIG SET maxmemory-policy noeviction, and in its configuration; {_SHARED}"
    return Finding("eviction", Level.WARNING, policy, why, change)


def _persistence(info: Mapping[str, str], config: Mapping[str, str]) -> Finding:
    enabled = {"1": "yes", "0": "no"}.get(info.get("aof_enabled", "")) or config.get("appendonly")
    failed = [name for name in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(name, "ok") != "ok"]
    if failed:
        return Finding(
            "persistence", Level.WARNING, f"{failed[0]}: {info[failed[0]]}", "writes may be refused", _REMEDIES["disk"]
        )
    if enabled is None:
        return _untold("persistence", "INFO and CONFIG GET")
    if enabled == "yes":
        return Finding("persistence", Level.OK, "append-only file")
    why = "sessions since the last snapshot, or all of them, are lost when the server ends"
    return Finding(
        "persistence", Level.WARNING, "no append-only file", why, "CONFIG SET appendonly yes, and in its configuration"
    )


def _fsync(info: Mapping[str, str], config: Mapping[str, str]) -> Finding:
    policy = config.get("appendfsync")
    if info.get("aof_enabled", "1") == "0" or config.get("appendonly") == "no":
        return Finding("fsync", Level.NOTE, "no file to sync")
    if policy is None:
        return _untold("fsync", "CONFIG GET")
    if policy == "always":
        return Finding("fsync", Level.OK, policy)
    if policy == "everysec":
        why = "power loss costs up to 2 s of acknowledged events, and so does a kill of the server on a busy disk"
        return Finding(
            "fsync",
            Level.NOTE,
            policy,
            why,
            "CONFIG SET appendfsync always, if that is too much; a write then waits for the disk",
        )
    why = "power loss costs what the system has not written yet, some 30 s"
    return Finding("fsync", Level.WARNING, policy, why, "CONFIG SET appendfsync everysec, or always")


def _of_steps(steps: Sequence[Step]) -> Iterator[Finding]:
    """Judge the operations: the rights that are missing together, anything else once a reason."""
    denied = sorted({step.denied for step in steps if step.denied})
    if denied:
        found = "no right to " + ", ".join("these keys" if one == "keys" else one for one in denied)
        why = "failing: " + ", ".join(dict.fromkeys(step.name for step in steps if step.denied))
        yield Finding("rights", Level.FAILURE, found, why, f"{_RIGHTS}: ACL SETUSER … {_granted(denied)}")
    others: dict[str, tuple[StoreUnavailableError, list[str]]] = {}
    for step in steps:
        if step.refused is not None and not step.denied:
            others.setdefault(step.refused.reason, (step.refused, []))[1].append(step.name)
    for reason, (refused, names) in others.items():
        check = _CHECK_OF.get(reason, "scripts")
        change = _REMEDIES.get(reason, "EVALSHA and EVAL must be allowed; everything else can be refused")
        why = f"failing: {', '.join(dict.fromkeys(names))}"
        yield Finding(check, Level.FAILURE, f"{reason} ({refused.cause_name})", why, change)
    if not denied:
        yield Finding("rights", Level.OK, "every operation is allowed")
    if not denied and not others:
        yield Finding("scripts", Level.OK, "every operation was tried, on a session that is deleted again")


def _granted(denied: Sequence[str]) -> str:
    return " ".join("~resumable:*" if one == "keys" else f"+{one}" for one in denied if one != "?")


def _writing(examined: Examined) -> Finding:
    median = examined.write_time
    if median is None:
        return Finding("writing", Level.NOTE, "not measured")
    found = f"an event is in the log after {_ms(median)}"
    if median <= WRITE_LIMIT:
        return Finding("writing", Level.OK, found)
    why = "nothing is delivered before it is in the log: this pause stands before each word"
    change = 'a faster disk, appendfsync everysec, a nearer server, or durability="relaxed" for callers in process'
    return Finding("writing", Level.WARNING, found, why, change)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
