"""
Message threads in the middleware: what each request of one belongs to, and what the caller is told when it is lost.

The reply to a `create` or `continue` is remembered with the conversation before it, by its id. Who then
continues from a reply that upstream may hold in other words gets the API's own 404, and the SDK tells all of it again.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from resumable._core.errors import NotContinuableError, Obstacle
from resumable._core.states import State
from resumable._core.threads import Threads, grown, is_upstreams, previous_id
from resumable._report import EXTENSION, headers_of
from resumable._sdk import httpx
from resumable.middleware._splice import AsyncBody, Body

if TYPE_CHECKING:
    from collections.abc import Callable

    import anthropic

    from resumable._core.report import Report
    from resumable._core.session import Session
    from resumable._core.threads import History
    from resumable._drive import AsyncDriver, Clock, Driver
    from resumable._recording._recorded import Recorded
    from resumable._recording._recorded_async import AsyncRecorded

_log = logging.getLogger("resumable")

_COMPLETE: Final = frozenset({State.ENDING, State.DONE})
_NOT_FOUND: Final = 404


class SharedThreads:
    """The conversations of one middleware; safe to use from any thread, and in a forked child."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._threads = Threads()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def turn(self, body: dict[str, Any]) -> Turn | None:
        """Say what a request of a thread belongs to; `None` for one that is of no thread."""
        if not isinstance(body.get("thread"), dict):
            return None
        previous, now = previous_id(body), self._clock.now()
        if previous is None:
            return Turn(self, body)
        with self._locked():
            history, is_lost = self._threads.find(previous, now), self._threads.is_stitched(previous, now)
        return Turn(self, body, previous, history, is_lost=is_lost)

    def keep(self, message_id: str, history: History | None, after: str | None) -> None:
        """Remember the conversation that ends with a reply."""
        if history is not None:
            with self._locked():
                self._threads.keep(message_id, history, self._clock.now(), after=after)

    def mark_stitched(self, message_id: str) -> None:
        """Remember that upstream does not hold a reply as the caller has it."""
        with self._locked():
            self._threads.mark_stitched(message_id, self._clock.now())

    def _locked(self) -> threading.Lock:
        if self._pid != os.getpid():  # Whoever held it stayed behind in the parent.
            self._lock, self._pid = threading.Lock(), os.getpid()
        return self._lock


class Turn:
    """
    One request of a thread, and its reply.

    Attributes:
        is_lost: Whether it continues from a reply that upstream does not hold as the caller has it.
        is_blind: Whether it continues a conversation that is not known here.
    """

    def __init__(
        self,
        threads: SharedThreads,
        body: dict[str, Any],
        previous: str | None = None,
        history: History | None = None,
        *,
        is_lost: bool = False,
    ) -> None:
        self._threads = threads
        self._body = body
        self._previous = previous
        self._history = history
        self._is_noted = False
        self.is_lost = is_lost
        self.is_blind = previous is not None and history is None

    @property
    def rebuild(self) -> Callable[[], dict[str, Any]] | None:
        """What makes the request carry its whole conversation, where that is known and it does not already."""
        history = self._history
        return None if history is None else lambda: history.whole(self._body)

    def note(self, session: Session) -> None:
        """Remember the reply of a stream, as soon as it is complete."""
        if self._is_noted or session.state not in _COMPLETE:
            return
        self._is_noted = True
        message_id = str((session.transcript.message or {}).get("id"))
        report = session.report
        if is_upstreams(message_id, report.attempts[-1].message_id, report.synthesised):
            self._keep(message_id, [block.content() for block in session.transcript.blocks])
        else:
            self._threads.mark_stitched(message_id)

    def noted(self, answer: Any) -> Any:  # noqa: ANN401  # Reason: either colour's
        """Remember the reply of a call without a stream, where the SDK has read it already; give it on as it is."""
        response = answer.http_response
        try:
            reply = json.loads(response.content) if response.is_success else None
        except (httpx.ResponseNotRead, ValueError, RecursionError):
            reply = None
        if isinstance(reply, dict) and isinstance(reply.get("content"), list) and isinstance(reply.get("id"), str):
            self._keep(reply["id"], reply["content"])
        return answer

    def _keep(self, message_id: str, content: list[Any]) -> None:
        if not self.is_blind:
            self._threads.keep(message_id, grown(self._history, self._body, content), self._previous)

    def not_found(self, request: anthropic.APIRequest, response_class: Any, report: Report | None = None) -> Any:  # noqa: ANN401  # Reason: either colour's
        """Give the API's own answer to a thread that is lost; the SDK then tells the whole conversation again."""
        _log.info("resumable.thread_not_found previous_message_id=%s", self._previous)
        message = f"No usable thread state was found for previous_message_id {self._previous}. "
        error = {
            "type": "not_found_error",
            "message": message + "Replay the full conversation. (resumable: its reply was recovered or broken off)",
            "details": {"error_code": "thread_not_found"},
        }
        raw = httpx.Response(
            _NOT_FOUND,
            headers={"x-should-retry": "false"} | ({} if report is None else headers_of(report)),
            json={"type": "error", "error": error, "request_id": None},
            request=httpx.Request(request.method, request.url),
            extensions={} if report is None else {EXTENSION: report},
        )
        return response_class(
            raw=raw,
            cast_to=request.cast_to,
            client=None,
            stream=request.stream,
            stream_cls=request.stream_cls,
            options=request.options,
        )


def _is_lost(error: Exception) -> bool:
    return isinstance(error, NotContinuableError) and error.reason is Obstacle.THREAD


class ThreadBody(Body):
    """The body of a reply in a thread: it is noted when it is complete, and its beginning may be read ahead."""

    def __init__(self, driver: Driver | Recorded, turn: Turn) -> None:
        super().__init__(driver)
        self._driver = driver
        self.turn = turn
        self._ahead = b""
        self._error: Exception | None = None

    def __iter__(self) -> ThreadBody:
        return self

    def __next__(self) -> bytes:
        """Give what was read ahead, then what comes."""
        ahead, self._ahead = self._ahead, b""
        error, self._error = (None, self._error) if ahead else (self._error, None)
        if error is not None:
            raise error
        data = ahead or next(self._driver)
        self.turn.note(self._driver.session)
        return data

    def fetch(self) -> bool:
        """Read a blind turn until its reply has begun; false where it broke before, and so the thread is lost."""
        if not self.turn.is_blind:
            return True
        try:
            while not self._driver.session.transcript.blocks:
                self._ahead += next(self._driver)
        except StopIteration:
            return True
        except Exception as error:  # noqa: BLE001  # Reason: whatever it is, it is the caller's when he reads
            self._error = error
        return self._error is None or not _is_lost(self._error)


class AsyncThreadBody(AsyncBody):
    """The body of a reply in a thread; see `ThreadBody`."""

    def __init__(self, driver: AsyncDriver | AsyncRecorded, turn: Turn) -> None:
        super().__init__(driver)
        self._driver = driver
        self.turn = turn
        self._ahead = b""
        self._error: Exception | None = None

    def __aiter__(self) -> AsyncThreadBody:
        return self

    async def __anext__(self) -> bytes:
        """Give what was read ahead, then what comes."""
        ahead, self._ahead = self._ahead, b""
        error, self._error = (None, self._error) if ahead else (self._error, None)
        if error is not None:
            raise error
        data = ahead or await anext(self._driver)
        self.turn.note(self._driver.session)
        return data

    async def fetch(self) -> bool:
        """Read a blind turn until its reply has begun; false where it broke before, and so the thread is lost."""
        if not self.turn.is_blind:
            return True
        try:
            while not self._driver.session.transcript.blocks:
                self._ahead += await anext(self._driver)
        except StopAsyncIteration:
            return True
        except Exception as error:  # noqa: BLE001  # Reason: whatever it is, it is the caller's when he reads
            self._error = error
        return self._error is None or not _is_lost(self._error)
