"""
Message threads: conversations that upstream holds, and that can be told again when it does not.

A request that says `thread: continue` carries only what is new. What stands before it is remembered here
by message id, for as long as upstream might hold it, so that such a request can be rebuilt as a `create`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

#: [s] Upstream holds a conversation for minutes, an hour at most.
TTL: Final = 3600.0
#: [bytes] Of all conversations together. The API takes 32 MB in one request, so the largest one fits.
MAX_BYTES: Final = 64 * 1024 * 1024
#: [messages] Those remembered as stitched: an id each.
_MAX_STITCHED: Final = 10_000
#: What the server takes from the thread, and refuses in a `continue`.
_OF_THE_THREAD: Final = ("system", "tools")


def previous_id(body: dict[str, Any]) -> str | None:
    """Id of the message that a request continues from; `None` where it carries its whole conversation."""
    thread = body.get("thread")
    if not isinstance(thread, dict) or thread.get("type") != "continue":
        return None
    return str(thread.get("previous_message_id"))


def is_upstreams(message_id: str, last_id: str | None, synthesised: str | None) -> bool:
    """
    Say whether a reply is, word for word, one that upstream may hold under its id.

    Args:
        message_id: Id that the caller has: of the first attempt of which he received anything.
        last_id: Id of the attempt that completed the reply.
        synthesised: Ending that was written in upstream's place, or `None`.
    """
    return message_id == last_id and synthesised is None


class History(msgspec.Struct, frozen=True):
    """
    A conversation up to a reply, and with it; conversations that share a beginning share its bytes.

    Attributes:
        fields: JSON of what the thread was created with.
        turns: JSON of lists of messages, in order.
        size: [bytes] Of all that.
    """

    fields: bytes
    turns: tuple[bytes, ...]
    size: int

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Rebuild a `continue` of this conversation as the `create` that tells all of it."""
        messages = [message for turn in self.turns for message in msgspec.json.decode(turn)]
        new = body.get("messages")
        messages += new if isinstance(new, list) else []
        return {**msgspec.json.decode(self.fields), **body, "messages": messages, "thread": {"type": "create"}}


def grown(before: History | None, body: dict[str, Any], content: list[Any]) -> History | None:
    """
    Add a turn to a conversation.

    Args:
        before: The conversation that *body* continues; `None` where *body* carries it whole.
        body: The request.
        content: Blocks of the reply to it.

    Returns:
        The conversation; `None` where it cannot be written as JSON, and so not kept.
    """
    new = body.get("messages")
    messages = [*new] if isinstance(new, list) else []
    if content:
        messages.append({"role": "assistant", "content": content})
    try:
        turn = msgspec.json.encode(messages)
        if before is not None:
            return History(before.fields, (*before.turns, turn), before.size + len(turn))
        fields = msgspec.json.encode({name: body[name] for name in _OF_THE_THREAD if name in body})
    except (TypeError, ValueError, RecursionError):  # An object of the caller's that only the SDK can write.
        return None
    return History(fields, (turn,), len(fields) + len(turn))


class Threads:
    """
    The conversations that upstream may hold, by the id of their last message; shared by sessions.

    Not to be used by two threads at once.
    """

    def __init__(self, ttl: float = TTL, max_bytes: int = MAX_BYTES) -> None:
        """
        Start with nothing.

        Args:
            ttl: [s] How long a conversation is kept.
            max_bytes: [bytes] Of all of them; beyond that the oldest goes.
        """
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._held: dict[str, tuple[float, History]] = {}  # Oldest first.
        self._stitched: dict[str, float] = {}  # Oldest first.
        self._size = 0

    @property
    def size(self) -> int:
        """[bytes] Of all that is kept; what conversations share is counted for each."""
        return self._size

    def keep(self, message_id: str, history: History, now: float, *, after: str | None = None) -> None:
        """
        Remember a conversation.

        Args:
            message_id: Id of its last message.
            history: The conversation.
            now: [s] The driver's clock.
            after: Id of the message before, which upstream lets nobody continue a second time.
        """
        for name in (message_id, after):
            self._drop(name)
        self._held[message_id] = (now + self._ttl, history)
        self._size += history.size
        for name, (until, _) in list(self._held.items()):
            if until > now and self._size <= self._max_bytes:
                break
            self._drop(name)

    def find(self, message_id: str, now: float) -> History | None:
        """Recall the conversation that ends with a message, if it is still kept."""
        until, history = self._held.get(message_id, (now, None))
        return history if until > now else None

    def mark_stitched(self, message_id: str, now: float) -> None:
        """Remember that a message as the caller has it is not the one that upstream may hold under its id."""
        self._stitched.pop(message_id, None)
        self._stitched[message_id] = now + self._ttl
        for name, until in list(self._stitched.items()):
            if until > now and len(self._stitched) <= _MAX_STITCHED:
                break
            del self._stitched[name]

    def is_stitched(self, message_id: str, now: float) -> bool:
        """Whether upstream must not be asked to continue from a message: it does not know it as the caller does."""
        return self._stitched.get(message_id, now) > now

    def _drop(self, message_id: str | None) -> None:
        _, history = self._held.pop(message_id, (0.0, None)) if message_id else (0.0, None)
        self._size -= history.size if history is not None else 0
