"""
`resumable sessions tail`: an answer as it comes, whoever writes it.

The text is on stdout; what became of the session is on stderr. On a terminal a quiet word says what is waited for.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from resumable.cli._exits import FAILED
from resumable.cli._sessions_pages import line_of
from resumable.cli._teletype import Teletype, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from resumable.sessions import SessionEvent

_COMPLETE: Final = "session.complete"
_WAITING: Final = {
    "session.released": "nobody writes it: given up by its holder",
    "session.lapsed": "nobody writes it: {holder} fell silent",
    "session.orphaned": "nobody writes it: waits for a credential of its principal",
}
_TOLD: Final = {
    "session.opened": "written by {holder}",
    "session.taken_over": "taken over by {holder} after event {last_seq}",
    "session.complete": "complete with event {last_seq}",
    "session.failed": "failed after event {last_seq}",
    "session.cancelled": "cancelled after event {last_seq}",
}
"""What is said of each change; the API's own types are shown, not told."""


def watch(events: Iterable[SessionEvent], *, as_json: bool) -> int:
    """
    Show events as they come.

    Args:
        events: Of one session.
        as_json: Whether a program reads it.

    Returns:
        The exit code: 0 where the session is complete.
    """
    code = 0
    with watcher_for(as_json=as_json) as watcher:
        for event in events:
            watcher.see(event)
            if event.is_end and event.type != _COMPLETE:
                code = FAILED
    return code


def watcher_for(*, as_json: bool) -> Watcher:
    """Choose who shows it."""
    if as_json:
        return _Json()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return _Terminal()
    return _Lines()


def words_of(event: SessionEvent) -> str:
    """Say what became of a session, in a line."""
    told: dict[str, Any] = event.event
    template = (_TOLD | _WAITING).get(event.type, event.type)
    return printable(template.format(holder=told.get("holder"), last_seq=told.get("last_seq")))


def text_of(event: Mapping[str, Any]) -> str:
    """Give the text that an event of the API brings; empty where it brings none."""
    delta = event.get("delta") if event.get("type") == "content_block_delta" else None
    text = delta.get("text") if isinstance(delta, dict) else None
    return text if isinstance(text, str) else ""


class Watcher(Protocol):
    """Shows what comes, in a context of its own."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def see(self, event: SessionEvent) -> None:
        """Show an event of a session."""
        ...

    def see_event(self, event: Mapping[str, Any]) -> None:
        """Show an event of the API."""
        ...

    def finish(self, words: str) -> None:
        """Say how it ended."""
        ...


class _Json:
    """For a program: an object a line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""

    def see(self, event: SessionEvent) -> None:
        """Print it at once."""
        print(line_of(event), flush=True)

    def see_event(self, event: Mapping[str, Any]) -> None:
        """Print it at once."""
        print(json.dumps({"type": event.get("type"), "event": event}), flush=True)

    def finish(self, words: str) -> None:
        """Say nothing but what a program reads."""


class _Lines:
    """For pipes, files and logs: the text as it came on stdout, everything else as lines on stderr."""

    def __init__(self) -> None:
        self._last = "\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the text's last line."""
        if self._last != "\n":
            self._last = "\n"
            print(flush=True)

    def see(self, event: SessionEvent) -> None:
        """Pass its text on, or say what it is."""
        if event.is_end:
            self.finish(words_of(event))
        elif event.is_change:
            self._tell(words_of(event))
        else:
            self.see_event(event.event)

    def see_event(self, event: Mapping[str, Any]) -> None:
        """Pass its text on."""
        if text := text_of(event):
            print(text, end="", flush=True)
            self._last = text[-1]

    def finish(self, words: str) -> None:
        """End the text, and say it."""
        self.__exit__()
        self._tell(words)

    @staticmethod
    def _tell(words: str) -> None:
        print(f"resumable: {words}", file=sys.stderr, flush=True)


class _Terminal(Teletype):
    """On a terminal: the text, a quiet word behind it where it waits, and who wrote it when it is over."""

    def __init__(self) -> None:
        super().__init__("the session")
        self._told: list[str] = []

    def __exit__(self, *exc_info: object) -> None:
        """End the text, and say what became of the session."""
        super().__exit__(*exc_info)
        for words in self._told:
            print(self._dim(f"─ {words}"), file=sys.stderr, flush=True)

    def see(self, event: SessionEvent) -> None:
        """Show it; nothing that was shown as the answer ever moves."""
        if event.is_change:
            words = words_of(event)
            self.finish(words)
            self._do(words if event.type in _WAITING else "waiting for text")
        else:
            self.see_event(event.event)

    def see_event(self, event: Mapping[str, Any]) -> None:
        """Show its text, or what the model does instead."""
        if text := text_of(event):
            self.see_text(text)
        elif event.get("type") == "content_block_start":
            block = event.get("content_block")
            self.see_block(str(block.get("type")) if isinstance(block, dict) else "")

    def finish(self, words: str) -> None:
        """Keep it until the answer is over."""
        self._told.append(words)
