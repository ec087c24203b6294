"""The names of all keys; docs/reference/redis-keys.md is the page."""

from __future__ import annotations

import re
from typing import NamedTuple

from resumable._core.errors import ConfigurationError

from ._checks import check_session_id

_PREFIX = re.compile(r"[^{}\s]{1,64}")

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

    def fresh(self, session_id: str) -> str:
        """Key of a session's log while it is compacted; gone when that is done."""
        return f"{self.prefix}:{{{session_id}}}:fresh"

    def orphaned(self, principal: str) -> str:
        """Index of one principal's orphaned sessions, by when they were marked."""
        return f"{self.prefix}:orphaned:{principal}"

    def replica(self, session_id: str) -> str:
        """Key that is written so that a replica can be waited for; in the slot of a session."""
        return f"{self.prefix}:{{{session_id}}}:replica"

    @property
    def active(self) -> str:
        """Index of sessions that somebody should look at, by when."""
        return f"{self.prefix}:active"

    @property
    def finished(self) -> str:
        """Index of sessions that are over and not compact, by when they ended."""
        return f"{self.prefix}:finished"

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
