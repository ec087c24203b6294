"""Names of keys and of the store's own fields, and what may stand in them; docs/reference/redis-keys.md is the page."""

from __future__ import annotations

import re
from typing import NamedTuple

from resumable._core.errors import ConfigurationError

_SESSION_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_PREFIX = re.compile(r"[^{}\s]{1,64}")
_HOLDER_BYTES = 256

# Fields that the scripts write, and nobody else.
OWN_FIELDS = frozenset(
    {
        "schema",
        "status",
        "token",
        "holder",
        "marker",
        "lease_until_ms",
        "base",
        "last_seq",
        "takeovers",
        "principal",
        "request_hash",
        "ttl_ms",
        "cancel",
        "cancel_ms",
        "created_ms",
        "updated_ms",
    }
)
# Fields of the layer above that are too large or too strange for a list of sessions.
OPAQUE_FIELDS = ("snapshot", "attempts", "policy")


class Keys(NamedTuple):
    """
    The names of all keys under one prefix.

    Attributes:
        prefix: First part of every name.
    """

    prefix: str = "resumable"

    @classmethod
    def under(cls, prefix: str) -> Keys:
        """
        Name keys under a prefix.

        Raises:
            ConfigurationError: It is empty, too long, or has braces or spaces in it.
        """
        if _PREFIX.fullmatch(prefix) is None:
            problem = "empty, too long, or with braces or spaces"
            raise ConfigurationError(argument="prefix", problem=problem, remedy="pass a short plain word")
        return cls(prefix)

    def session(self, session_id: str) -> tuple[str, str, str]:
        """
        Name the checkpoint, the log and the request of a session; one tag, so that they live in one slot.

        Raises:
            ConfigurationError: The ID cannot be one.
        """
        check_session_id(session_id)
        stem = f"{self.prefix}:{{{session_id}}}"
        return f"{stem}:meta", f"{stem}:log", f"{stem}:request"

    @property
    def active(self) -> str:
        """Index of sessions that somebody should look at, by when."""
        return f"{self.prefix}:active"

    @property
    def all_sessions(self) -> str:
        """Index of all sessions, by creation."""
        return f"{self.prefix}:index"

    def principal(self, name: str) -> str:
        """Index of one principal's sessions, by creation."""
        return f"{self.prefix}:principal:{name}"

    @property
    def control(self) -> str:
        """Stream of sessions that were asked to stop."""
        return f"{self.prefix}:control"

    def wake(self, name: str) -> str:
        """Stream that ends one store's wait."""
        return f"{self.prefix}:wake:{name}"


def check_session_id(session_id: str) -> str:
    """
    Give a session's ID back if it can be one.

    Raises:
        ConfigurationError: It cannot.
    """
    if _SESSION_ID.fullmatch(session_id) is None:
        problem = "not of the form [A-Za-z0-9_.-]{1,128}"
        raise ConfigurationError(argument="session_id", problem=problem, remedy="choose another ID")
    return session_id


def check_holder(holder: str) -> str:
    """
    Give a holder's name back if it can be one.

    Raises:
        ConfigurationError: It is empty or longer than 256 bytes.
    """
    if not 0 < len(holder.encode()) <= _HOLDER_BYTES:
        problem = "empty or too long"
        raise ConfigurationError(argument="holder", problem=problem, remedy="pass a name unique to this writer")
    return holder


def milliseconds(name: str, seconds: float) -> int:
    """
    Convert a duration for the wire.

    Raises:
        ConfigurationError: It is not at least a millisecond and at most a century.
    """
    if not 0.001 <= seconds <= 3.2e9:  # noqa: PLR2004  # Reason: the docstring says what they are
        raise ConfigurationError(name, f"{seconds} s is out of range", "pass a positive number of seconds")
    return round(seconds * 1000)
