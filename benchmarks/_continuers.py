"""
What a model may answer when it is asked to go on: continuers for the seam benchmark.

A continuer is a pure function of what was delivered, what it would say next (its own text, the
rest of the document, whitespace after the cut included) and the anchor it was asked to repeat.
The phrases come in two lists: the seam was tuned on the first; the second was never looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

PREAMBLES: Final = (
    (
        "Continuing…\n\n",
        "Sure, here's the rest:\n\n",
        "Continuing from where I left off:\n\n",
        "Of course! Picking up right where it stopped.\n\n",
        "**Continued:**\n\n",
        "Here is the continuation: ",
        "(continued)\n",
        "好的，继续：\n",
    ),
    (
        "Resuming now.\n\n",
        "No problem — here's what comes next:\n",
        "Certainly. I'll carry on from that point:\n\n",
        "Apologies for the interruption!\n\n",
        "*(resuming)*\n\n",
        "Understood. The remaining part: ",
        "[continuing]\n",
        "以下是剩余部分：\n\n",
        "Alright, let me finish this.\n\n",
    ),
)
FAREWELLS: Final = (
    (
        "My previous response was already complete.",
        "I had already finished; there is nothing more to add.",
        "That was the end of the answer. Everything has been covered.",
    ),
    (
        "It looks like the message was finished before the connection dropped.",
        "The reply above is complete, so there's nothing left to continue.",
        "I believe I was done. Let me know if you need anything else!",
    ),
)
_CURLY: Final = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'"})


@dataclass(frozen=True, slots=True)
class Situation:
    """
    What a continuer knows.

    Attributes:
        delivered: What the caller has; does not end in whitespace.
        own: What belongs after it.
        anchor: What the model was asked to repeat.
        other: Text of another document of the same kind.
        phrases: Which list of phrases, 0 or 1.
        chance: Seeded.
    """

    delivered: str
    own: str
    anchor: str
    other: str
    phrases: int
    chance: Random


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a continuer says.

    Attributes:
        text: All of it.
        own: What must stand behind the delivered text; None when no join is right.
    """

    text: str
    own: str | None


def _last_line(text: str, end: int) -> int:
    return text.rfind("\n", 0, end + 1) + 1


def _last_sentence(text: str, end: int) -> int:
    ends = [m.end() for m in re.finditer(r"[.?!]\s+|[。！？]\s*|\n+", text[: end + 1]) if m.end() <= end]
    return ends[-1] if ends else 0


def _anchor(s: Situation) -> Answer:
    return Answer(s.anchor + s.own, s.own)


def _whitespace(s: Situation) -> Answer:
    return Answer(" ".join(s.anchor.split()) + s.own, s.own)


def _quotes(s: Situation) -> Answer:
    changed = (
        s.anchor.translate(_CURLY) if re.search("[“”‘’]", s.anchor) else s.anchor.replace("'", "’").replace('"', "”")
    )
    return Answer(changed + s.own, s.own)


def _broken_line(s: Situation) -> Answer:
    return Answer(s.delivered[_last_line(s.delivered, len(s.delivered) - 1) :] + s.own, s.own)


def _line(s: Situation) -> Answer:
    return Answer(s.delivered[_last_line(s.delivered, len(s.delivered) - len(s.anchor)) :] + s.own, s.own)


def _broken_sentence(s: Situation) -> Answer:
    return Answer(s.delivered[_last_sentence(s.delivered, len(s.delivered) - 1) :] + s.own, s.own)


def _sentence(s: Situation) -> Answer:
    return Answer(s.delivered[_last_sentence(s.delivered, len(s.delivered) - len(s.anchor)) :] + s.own, s.own)


def _preamble(s: Situation) -> Answer:
    return Answer(s.chance.choice(PREAMBLES[s.phrases]) + s.anchor + s.own, s.own)


def _fence(s: Situation) -> Answer | None:
    """Only where a fence is open: the model opens it again, and closes it once."""
    return Answer(_opening(s) + s.anchor + s.own, s.own) if s.delivered.count("```") % 2 else None


def _wrapping(s: Situation) -> Answer | None:
    """Only where no fence is open: a fence around everything, of which the caller must see nothing."""
    if s.delivered.count("```") % 2:
        return None
    return Answer(_opening(s) + s.anchor + s.own.rstrip() + "\n```", s.own.rstrip())


def _opening(s: Situation) -> str:
    return f"```{s.chance.choice(('', 'python', 'text'))}\n"


def _start_over(s: Situation) -> Answer:
    return Answer(s.delivered + s.own, s.own)


def _bare(s: Situation) -> Answer:
    return Answer(s.own, s.own)


def _stripped(s: Situation) -> Answer:
    return Answer(s.own.lstrip(), s.own)


def _finished(s: Situation) -> Answer:
    return Answer(s.chance.choice(FAREWELLS[s.phrases]), None)


def _diverges(s: Situation) -> Answer:
    if s.chance.random() < 0.5:
        return Answer(s.other[s.chance.randrange(len(s.other) // 2) :], None)
    kept = s.chance.randint(0, len(s.delivered) - 1)
    expected = s.delivered[kept:].lstrip()[0]
    other = s.other[len(s.other) // 3 :].lstrip(expected + " \n")  # really another text
    return Answer(s.delivered[:kept] + other, None)


def _diverges_at_a_line(s: Situation) -> Answer:
    """Begin another text of the same kind where a model would: at a line or sentence."""
    starts = [m.end() for m in re.finditer(r"[.?!]\s+|[。！？]\s*|\n+", s.other[: len(s.other) * 3 // 4])]
    return Answer(s.other[s.chance.choice([0, *starts]) :], None)


CONTINUERS: Final[dict[str, Callable[[Situation], Answer | None]]] = {
    "repeats the anchor": _anchor,
    "… with its whitespace normalised": _whitespace,
    "… with its quotes changed": _quotes,
    "repeats the line": _line,
    "repeats the sentence": _sentence,
    "repeats only the broken line": _broken_line,
    "repeats only the broken sentence": _broken_sentence,
    "preamble, then the anchor": _preamble,
    "opens its fence again": _fence,
    "wraps its answer in a fence": _wrapping,
    "starts over": _start_over,
    "goes on without repeating": _bare,
    "… leading space stripped": _stripped,
    "says it had finished": _finished,
    "diverges": _diverges,
    "diverges, from the beginning of a line": _diverges_at_a_line,
}
"""Name to continuer; the names stand in the table."""
