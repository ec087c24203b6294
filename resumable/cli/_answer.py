"""What `resumable run` asks, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from resumable._core.report import Notice, Report

OK: Final = 0
BROKEN: Final = 1
WRONG: Final = 2
NO_KEY: Final = 3
"""The exit codes; docs/how-to/run.md explains them."""


@dataclass(frozen=True, slots=True)
class Question:
    """
    What is asked.

    Attributes:
        prompt: The only user message.
        model: Its name.
        max_tokens: [tokens] Most of the answer.
        system: The system prompt, if any.
        base_url: Where the API is; `None` as the SDK knows it.
    """

    prompt: str
    model: str
    max_tokens: int
    system: str | None = None
    base_url: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The request, without `stream`."""
        messages = [{"role": "user", "content": self.prompt}]
        body: dict[str, Any] = {"model": self.model, "max_tokens": self.max_tokens, "messages": messages}
        return body if self.system is None else {**body, "system": self.system}


@dataclass(slots=True)
class Answer:
    """
    What came of it.

    Attributes:
        question: What was asked.
        text: What arrived.
        message: The API's message, whole or as far as it came; `None` before it began.
        report: What recovery did; `None` where nothing was sent.
        failures: Every decision of recovery, in order.
        error: What ended it; `None` when the answer is whole.
        problem: The same in one line, with what to do about it.
        code: The exit code.
        elapsed: [s] From the call to its end.
        first_text_after: [s] From the call to the first text; `None` where none came.
    """

    question: Question
    text: str = ""
    message: dict[str, Any] | None = None
    report: Report | None = None
    failures: list[Notice] = field(default_factory=list["Notice"])
    error: Exception | None = None
    problem: str | None = None
    code: int = OK
    elapsed: float = 0.0
    first_text_after: float | None = None
