"""What redis-py raises, as the one error of ours that it means; the only place where its classes are named."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis import exceptions

from resumable._core.store_errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator

# What redis-py's connections raise when the peer goes away: two of them are its own slips (its issue 4287).
LOST_CONNECTION = (exceptions.ConnectionError, OSError, AttributeError, TypeError)

# First match wins; subclasses come before what they derive from.
_BY_CLASS: tuple[tuple[type[Exception], str, bool], ...] = (
    (exceptions.AuthenticationError, "auth", False),
    (exceptions.AuthenticationWrongNumberOfArgsError, "auth", False),
    (exceptions.BusyLoadingError, "loading", True),
    (exceptions.MaxConnectionsError, "clients", True),
    (exceptions.TimeoutError, "timeout", True),
    (TimeoutError, "timeout", True),
    (exceptions.NoPermissionError, "permission", False),
    (exceptions.ReadOnlyError, "readonly", True),
    (exceptions.OutOfMemoryError, "memory", True),
    (exceptions.ClusterError, "cluster", True),
    (exceptions.ClusterDownError, "cluster", True),
    (exceptions.AskError, "cluster", True),
    (exceptions.TryAgainError, "cluster", True),
)
# What the server says, also from inside a script, where older servers wrap it in a sentence of their own.
_BY_WORD: dict[str, tuple[str, bool]] = {
    "OOM": ("memory", True),
    "READONLY": ("readonly", True),
    "MASTERDOWN": ("readonly", True),
    "NOREPLICAS": ("readonly", True),
    "MISCONF": ("disk", True),
    "BUSY": ("busy", True),
    "UNKILLABLE": ("busy", True),
    "LOADING": ("loading", True),
    "CLUSTERDOWN": ("cluster", True),
    "TRYAGAIN": ("cluster", True),
    "NOPERM": ("permission", False),
    "NOAUTH": ("auth", False),
    "WRONGPASS": ("auth", False),
    "max number of clients": ("clients", True),
    "No connection available": ("clients", True),
}
_WORD = re.compile(r"(?:^|[\s:-])(" + "|".join(_BY_WORD) + r")\b")


def error_of(exc: Exception) -> StoreUnavailableError:
    """
    Name what an exception of the client means, with it as the cause.

    Args:
        exc: Anything that redis-py raised.
    """
    error = _named(exc)
    error.__cause__ = exc
    return error


def _named(exc: Exception) -> StoreUnavailableError:
    name = type(exc).__name__
    for kind, reason, retryable in _BY_CLASS:
        if isinstance(exc, kind):
            return StoreUnavailableError(reason, name, retryable)
    word = _WORD.search(str(exc))
    if word is not None:
        reason, retryable = _BY_WORD[word[1]]
        return StoreUnavailableError(reason, word[1], retryable)
    if isinstance(exc, LOST_CONNECTION):
        return StoreUnavailableError("connection", name)
    # Not the server's sentence: it may quote what was sent.
    return StoreUnavailableError("refused", name, retryable=False)


@contextmanager
def map_errors() -> Generator[None]:
    """
    Turn whatever the client raises into `StoreUnavailableError`; only I/O stands inside.

    Raises:
        StoreUnavailableError: The client raised.
    """
    try:
        yield
    except (exceptions.RedisError, *LOST_CONNECTION, ValueError, RuntimeError) as exc:
        raise error_of(exc) from exc
