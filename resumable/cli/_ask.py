"""
The command `resumable run`: one question to Claude, and what became of it.

It prints nothing: a listener is told what happens while it happens. The exit code is decided here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import anthropic

import resumable
from resumable.cli._answer import BROKEN, NO_KEY, WRONG, Answer

if TYPE_CHECKING:
    from resumable._core.report import Notice, Report
    from resumable.cli._answer import Question
    from resumable.cli._listener import Listener

_SET: Final = "set ANTHROPIC_API_KEY to a key of yours"
_REFUSED: Final = (401, 403)


def ask(question: Question, listener: Listener) -> Answer:
    """
    Ask, and pass on what comes.

    Args:
        question: What is asked.
        listener: Who is told; it shows the answer too.

    Returns:
        The answer with its exit code; an error of the stream is a part of it.
    """
    answer = Answer(question)
    started = time.monotonic()

    def note(notice: Notice) -> None:
        answer.failures.append(notice)
        listener.see_failure(notice)

    def text(delta: str) -> None:
        if answer.first_text_after is None:
            answer.first_text_after = time.monotonic() - started
        answer.text += delta
        listener.see_text(delta)

    with listener:
        try:
            with _client(question) as client:
                _listen(resumable.wrap(client, on_recovery=note), answer, text, listener)
        except (BrokenPipeError, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001  # Reason: whatever it is, it is told in one line
            answer.error = error
            answer.code, answer.problem = _judge(error, question)
            answer.message = getattr(error, "partial", None)
            answer.report = answer.report or _report_of(error)
        answer.elapsed = time.monotonic() - started
    listener.show(answer)
    return answer


def _client(question: Question) -> anthropic.Anthropic:
    client = anthropic.Anthropic(base_url=question.base_url)
    key = client.api_key or client.auth_token
    if not key and getattr(client, "credentials", None) is None:
        raise Wrong(NO_KEY, f"there is no key: {_SET}")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise Wrong(NO_KEY, f"the key has characters that no key has: {_SET}")
    if client.base_url.scheme not in {"http", "https"}:
        raise Wrong(WRONG, f"{client.base_url} is no address of an API: --base-url takes http:// or https://")
    return client


class Wrong(Exception):  # noqa: N818  # Reason: it never leaves this module
    """
    It cannot be asked at all.

    Attributes:
        code: The exit code.
    """

    def __init__(self, code: int, problem: str) -> None:
        super().__init__(problem)
        self.code = code


def _listen(client: anthropic.Anthropic, answer: Answer, text: Any, listener: Listener) -> None:  # noqa: ANN401  # Reason: a function of a text
    with client.messages.stream(**answer.question.body) as stream:
        answer.report = resumable.report(stream)
        for event in stream:
            if event.type == "text":
                text(event.text)
            elif event.type == "content_block_start":
                listener.see_block(event.content_block.type)
        answer.message = stream.get_final_message().model_dump(mode="json", warnings=False)


def _judge(error: Exception, question: Question) -> tuple[int, str]:
    """Say in one line what went wrong and what to do, and choose the exit code."""
    if isinstance(error, Wrong):
        return error.code, str(error)
    if isinstance(error, resumable.RecoveryError):
        return BROKEN, f"the answer broke off: {error}"
    if isinstance(error, anthropic.APIStatusError):
        what = f"{error.status_code} {_said(error)}".strip()
        is_key = error.status_code in _REFUSED
        return (NO_KEY, f"the key was refused ({what}): {_SET}") if is_key else (BROKEN, f"refused: {what}")
    if isinstance(error, anthropic.APIConnectionError):
        where = question.base_url or "the API"
        return BROKEN, f"no connection to {where}: {_line(error.__cause__ or error)}"
    return BROKEN, f"{type(error).__name__}: {_line(error)}"


def _said(error: anthropic.APIStatusError) -> str:
    """Give what the API said, without the page that a proxy may have sent instead."""
    body = error.body
    said = body.get("error") if isinstance(body, dict) else None
    message = said.get("message") if isinstance(said, dict) else None
    return _line(message) if isinstance(message, str) else ""


def _line(said: object) -> str:
    return next(iter(str(said).splitlines()), "") or type(said).__name__


def _report_of(error: Exception) -> Report | None:
    try:
        return resumable.report(error)
    except resumable.ConfigurationError:
        return None
