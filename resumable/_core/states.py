"""The states of a session, what can happen in them, and what a driver is asked to do: data, no decisions."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from resumable._core.continuation import Plan  # noqa: TC001  # Reason: msgspec resolves annotations
from resumable._core.errors import RecoveryError  # noqa: TC001  # Reason: msgspec resolves annotations


class State(Enum):
    """Where a session is."""

    READY = "ready"
    OPENING = "opening"
    STREAMING = "streaming"
    WAITING = "waiting"
    ENDING = "ending"
    DONE = "done"
    FAILED = "failed"
    CLOSED = "closed"


class Input(Enum):
    """What can happen to a session."""

    OPEN = "open"
    RESPOND = "respond"
    RECOVER = "recover"
    FINISH = "finish"
    COMPLETE = "complete"
    DRAIN = "drain"
    GIVE_UP = "give up"
    CLOSE = "close"


#: The only place where a state changes. `docs/reference/states.md` is drawn from it.
TRANSITIONS: Final[dict[State, dict[Input, State]]] = {
    State.READY: {Input.OPEN: State.OPENING, Input.CLOSE: State.CLOSED},
    State.OPENING: {
        Input.RESPOND: State.STREAMING,
        Input.RECOVER: State.WAITING,
        Input.FINISH: State.DONE,
        Input.GIVE_UP: State.FAILED,
        Input.CLOSE: State.CLOSED,
    },
    State.STREAMING: {
        Input.RECOVER: State.WAITING,
        Input.COMPLETE: State.ENDING,
        Input.FINISH: State.DONE,
        Input.GIVE_UP: State.FAILED,
        Input.CLOSE: State.CLOSED,
    },
    State.WAITING: {Input.OPEN: State.OPENING, Input.CLOSE: State.CLOSED},
    State.ENDING: {Input.DRAIN: State.DONE, Input.CLOSE: State.CLOSED},
    State.DONE: {Input.CLOSE: State.DONE},
    State.FAILED: {Input.CLOSE: State.FAILED},
    # The caller may leave from another thread: whatever was under way then is only late.
    State.CLOSED: dict.fromkeys(Input, State.CLOSED),
}


class Open(msgspec.Struct, frozen=True):
    """
    Send a request.

    Attributes:
        number: Of the attempt, from 1.
        plan: What to send and why.
        limit: [s] How long it may take until the first event, where the policy says.
    """

    number: int
    plan: Plan
    limit: float | None = None


class Read(msgspec.Struct, frozen=True):
    """Read from the response; the session's `deadline` says until when."""


class Sleep(msgspec.Struct, frozen=True):
    """Let *delay* [s] pass."""

    delay: float


class Stop(msgspec.Struct, frozen=True):
    """Close the response; raise *error* if there is one."""

    error: RecoveryError | None


Action = Open | Read | Sleep | Stop
