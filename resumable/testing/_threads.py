"""
Message threads: the conversations an upstream holds, so that a request can name one instead of repeating it.

It holds the whole of a reply or none of it: an interrupted one cannot be continued from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._rules import THREADS_BETA, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._conversation import Messages
    from ._replies import Json

_KEPT = ("model", "system", "tools")


@dataclass(slots=True)
class _Held:
    messages: Messages
    fields: Json
    in_flight: bool = False
    continued: bool = False


@dataclass(slots=True)
class Threads:
    """
    The conversations held by message id.

    Attributes:
        forgets: Whether nothing is held: every ``continue`` gets its 404.
    """

    forgets: bool = False
    _held: dict[str, _Held] = field(default_factory=dict[str, _Held])

    def expand(self, body: Json, headers: Mapping[str, str]) -> Json | Refusal:
        """
        Give the whole request that a ``continue`` stands for.

        Args:
            body: The request.
            headers: Its headers, names in lower case.

        Returns:
            The request itself when it continues nothing, or why it is refused.
        """
        thread = body.get("thread")
        if thread is None:
            return body
        if THREADS_BETA not in headers.get("anthropic-beta", ""):
            return Refusal(400, "invalid_request_error", "thread: Extra inputs are not permitted")
        if not isinstance(thread, dict):
            return Refusal(400, "invalid_request_error", "thread: Input should be an object")
        if thread.get("type") != "continue":
            return body
        name = str(thread.get("previous_message_id"))
        held = None if self.forgets else self._held.get(name)
        flaw = _flaw(name, held, body)
        if flaw is not None or held is None:
            return flaw or body
        held.in_flight = True
        return {**held.fields, **body, "messages": [*held.messages, *body.get("messages", [])]}

    def settle(self, body: Json, whole: Json, reply: Json | None) -> None:
        """
        Note how a request of a thread ended.

        Args:
            body: The request as sent.
            whole: The request it stands for.
            reply: The message, if all of it was sent.
        """
        thread = body.get("thread")
        if thread is None:
            return
        held = self._held.get(str(thread.get("previous_message_id")))
        if held is not None:
            held.in_flight = False
            held.continued = held.continued or reply is not None
        if reply is not None:
            turn = {"role": "assistant", "content": reply["content"]}
            fields = {name: whole[name] for name in _KEPT if name in whole}
            self._held[str(reply["id"])] = _Held([*whole["messages"], turn], fields)


def _flaw(name: str, held: _Held | None, body: Json) -> Refusal | None:
    if held is None:
        message = f"No usable thread state was found for previous_message_id {name}. Replay the full conversation."
        return Refusal(404, "not_found_error", message, "thread_not_found")
    code = None
    if held.continued:
        code, message = "thread_already_continued", f"{name} has already been continued."
    elif held.in_flight:
        code, message = "thread_continue_in_flight", f"Another request is still continuing from {name}."
    else:
        changed = [field for field in _KEPT if field in body and body[field] != held.fields.get(field)]
        if not changed:
            return None
        code, message = "thread_fingerprint_mismatch", f"These fields differ: {', '.join(changed)}."
    return Refusal(400, "invalid_request_error", message, code)
