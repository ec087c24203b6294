"""Sessions by ID, from any process: list, inspect, replay, follow, resume, cancel and delete them."""

from ._events import SessionEvent
from ._readings import AsyncReplay, AsyncTail, Replay, Tail
from ._sessions import AsyncSessions, Sessions
from ._upkeep import Swept

__all__ = ("AsyncReplay", "AsyncSessions", "AsyncTail", "Replay", "SessionEvent", "Sessions", "Swept", "Tail")
