"""Which session a call belongs to, where the caller names one."""

from __future__ import annotations

import itertools
import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from resumable._core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_ID = re.compile(r"[A-Za-z0-9_.-]{1,120}").fullmatch


class Named(NamedTuple):
    """
    What the caller says of the next call.

    Attributes:
        session_id: Its session's ID.
        store: Where its session is, if not where the client keeps its own.
    """

    session_id: str
    store: Any


_named: ContextVar[Iterator[Named] | None] = ContextVar("resumable_session", default=None)
_is_resumed: ContextVar[bool] = ContextVar("resumable_is_resumed", default=False)
_principal: ContextVar[str | None] = ContextVar("resumable_principal", default=None)


@contextmanager
def session(session_id: str) -> Generator[None]:
    """
    Name the session of the streaming calls inside, so that any process finds it again.

    Like this::

        with resumable.session("answer-42"):
            stream = client.messages.create(stream=True, ...)

    A call whose session exists is not sent again: it gets the message from its beginning, replayed, then
    live, then continued where nobody writes it any more.

    Args:
        session_id: `[A-Za-z0-9_.-]{1,120}`. The second call inside is `<session_id>.2`, the third
            `<session_id>.3`, and so on; calls that run at the same time name their own.

    Raises:
        ConfigurationError: *session_id* is no such ID.
    """
    if not _ID(session_id):
        remedy = "pass 1 to 120 of the characters A-Z a-z 0-9 _ . -"
        raise ConfigurationError(argument="session_id", problem="it cannot name a session", remedy=remedy)
    names = itertools.chain((session_id,), (f"{session_id}.{number}" for number in itertools.count(2)))
    with _naming(Named(name, None) for name in names):
        yield


@contextmanager
def within(session_id: str, store: Any, principal: str | None = None) -> Generator[None]:  # noqa: ANN401  # Reason: a store of either colour
    """Have the one call inside belong to a session that is there, in a given store and, if given, another name."""
    token, resumed = _principal.set(principal), _is_resumed.set(True)
    try:
        with _naming(itertools.repeat(Named(session_id, store))):
            yield
    finally:
        _principal.reset(token)
        _is_resumed.reset(resumed)


@contextmanager
def _naming(names: Iterator[Named]) -> Generator[None]:
    token = _named.set(names)
    try:
        yield
    finally:
        _named.reset(token)


def is_resumed() -> bool:
    """Whether the next call goes on with a session by its ID, and must not begin one."""
    return _is_resumed.get()


def principal_or(usual: str) -> str:
    """Say in whose name the next call is made."""
    given = _principal.get()
    return usual if given is None else given


def next_named() -> Named | None:
    """Say what the caller named the next call, if he did."""
    named = _named.get()
    return None if named is None else next(named)
