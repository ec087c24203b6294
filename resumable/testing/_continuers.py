"""
How models without prefill behave when they are asked to go on.

A continuer gets what was interrupted and says how the model opens its answer; what follows is the rest of the very
reply that was interrupted, unless the model does not go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ._replies import Block, Text, Thinking


@dataclass(frozen=True, slots=True)
class Interrupted:
    """
    An answer that was interrupted, as the model sees it.

    Attributes:
        partial: The text so far.
        anchor: The last words of it that the request to go on quotes; empty when it quotes none.
        rest: The text that would follow.
        asked: The request to go on.
    """

    partial: str
    anchor: str
    rest: str
    asked: str


@dataclass(frozen=True, slots=True)
class Opening:
    """
    How the model opens the answer that goes on.

    Attributes:
        text: Said right before the rest, in the same block.
        before: Blocks before that text.
        goes_on: Whether the rest follows.
        strip: Whether the rest loses its leading whitespace.
        stop_reason: ``None`` keeps the interrupted reply's.
    """

    text: str = ""
    before: tuple[Block, ...] = ()
    goes_on: bool = True
    strip: bool = False
    stop_reason: str | None = None


# Straight quotes become curly ones and a curly apostrophe straight.
_CURLED = str.maketrans("\"'\u2019", "\u201d\u2019'")

Continuer: TypeAlias = Callable[[Interrupted], Opening]


def _anchor(interrupted: Interrupted) -> Opening:
    return Opening(interrupted.anchor)


def _normalised(interrupted: Interrupted) -> Opening:
    return Opening(re.sub(r"\s+", " ", interrupted.anchor))


def _quotes(interrupted: Interrupted) -> Opening:
    return Opening(interrupted.anchor.translate(_CURLED))


def _line(interrupted: Interrupted) -> Opening:
    return Opening(interrupted.partial[interrupted.partial.rstrip("\n").rfind("\n") + 1 :])


def _sentence(interrupted: Interrupted) -> Opening:
    starts = [found.end() for found in re.finditer(r"[.!?]\s+", interrupted.partial)]
    starts = [start for start in starts if start < len(interrupted.partial)]
    return Opening(interrupted.partial[starts[-1] if starts else 0 :])


def _preamble(interrupted: Interrupted) -> Opening:
    return Opening("Continuing from where I left off:\n\n" + interrupted.anchor)


def _fence(interrupted: Interrupted) -> Opening:
    fences = re.findall(r"(?m)^```(\w*)", interrupted.partial)
    # Outside code there is no fence to open again.
    opened = f"```{fences[-1]}\n" if len(fences) % 2 else ""
    return Opening(opened + interrupted.anchor)


def _starts_over(interrupted: Interrupted) -> Opening:
    return Opening(interrupted.partial)


def _bare(interrupted: Interrupted) -> Opening:
    del interrupted
    return Opening()


def _newline(interrupted: Interrupted) -> Opening:
    return Opening("\n" + interrupted.anchor)


def _strips_space(interrupted: Interrupted) -> Opening:
    del interrupted
    return Opening(strip=True)


def _finished(interrupted: Interrupted) -> Opening:
    del interrupted
    return Opening("My previous answer was already complete.", goes_on=False, stop_reason="end_turn")


def _diverges(interrupted: Interrupted) -> Opening:
    words = len(interrupted.partial.split())
    return Opening(f"Let me take another way, after {words} words of it.", goes_on=False, stop_reason="end_turn")


def _thinks(interrupted: Interrupted) -> Opening:
    return Opening(interrupted.anchor, before=(Thinking("I am asked to go on from where it stopped."),))


def _refuses(interrupted: Interrupted) -> Opening:
    del interrupted
    return Opening(before=(Text("I can't"),), goes_on=False, stop_reason="refusal")


CONTINUERS: Mapping[str, Continuer] = {
    "anchor": _anchor,
    "normalised": _normalised,
    "quotes": _quotes,
    "line": _line,
    "sentence": _sentence,
    "preamble": _preamble,
    "fence": _fence,
    "newline": _newline,
    "starts_over": _starts_over,
    "bare": _bare,
    "strips_space": _strips_space,
    "finished": _finished,
    "diverges": _diverges,
    "thinks": _thinks,
    "refuses": _refuses,
}
