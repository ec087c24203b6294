"""
Where the new part of a continuation begins.

A model asked to go on and to begin by repeating the last words delivered (the anchor) answers
with an *echo* of the delivered tail followed by its own text. The seam holds the answer until it
knows where the echo ends, and never guesses: what it is not certain of is a `Missed`.

Theory of operation. The delivered text does not end in whitespace, so a cut right behind the
echo's last character is exact, whatever the copy did to whitespace or quotes inside: text is
compared folded (see `anchor`). The needle is the shortest ending of the delivered text that
occurs in it only once. An echo that begins anywhere in the delivered text therefore holds the
needle at its end and nowhere else, so its first occurrence *is* the seam, provided that what
stands before it is an echo too, or a preamble. Where no ending is unique (periodic text) the
anchor itself is the needle; at the head of the answer it means what was asked for, and behind
anything else the other places a model may have begun at are followed until they drop out.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, Literal

import msgspec

from resumable._core.anchor import (
    choose_anchor,
    fold,
    has_open_fence,
    natural_starts,
    unique_length,
    weigh,
)

__all__ = ("Join", "Missed", "MissedReason", "Quality", "Seam", "SeamFinder", "choose_anchor")

Quality = Literal["exact", "aligned", "unverified"]

WINDOW: Final = 600
"""[characters] Held while nothing is recognised: a preamble, an anchor and some slack."""
_PREAMBLE: Final = 200
"""[characters] Longest text before an echo that may be taken for a preamble."""
_CERTAIN: Final = 16
"""[weight] Least echo taken for one when it is shorter than the anchor."""
_CERTAIN_NATURAL: Final = 8
"""[weight] The same, when it begins with the line or the sentence."""
_LONGEST_FAREWELL: Final = 400
"""[characters] Longest answer that may only say that the message had been complete."""
_PREAMBLE_END: Final = re.compile(r"(?:\w.*(?:[:.!?\u2026\u3002\uff1a\uff01\uff1f)\]*_\u2014-]\s*|\n\s*)|^\s*(?:\.\.\.|\u2026)\s*)$", re.DOTALL)
"""A preamble ends a sentence or a line; an ellipsis may stand alone."""
_OPENING: Final = re.compile(r"""["'`\u201c\u2018\u00ab\u300c\u300e*_~(\[{<>|-]\s?$""")
"""What a quotation opens with, and then closes with somewhere behind the seam."""
_FENCE_LINE: Final = re.compile(r"^[ \t]*(?:```|~~~)[\w+-]*[ \t]*\n\s*\Z", re.MULTILINE)
_FINISHED: Final = re.compile(
    r"\b(?:already|was|is|had|been|has|have)\b.{0,40}\b(?:complete[d]?|finished|done|ended|everything)\b"
    r"|\bnothing (?:more|else|left|further)\b|\bno (?:more|further)\b",
    re.IGNORECASE | re.DOTALL,
)
_READINGS: Final = 16
"""How many places of the delivered text a long repetition is compared with at once."""


class Seam(msgspec.Struct, frozen=True):
    """
    One join of two attempts, as reported.

    Attributes:
        attempt: Number of the attempt that continues, from 2.
        strategy: How it was asked to.
        at: [characters] Length of the delivered text of the seam's block at the join.
        quality: `exact`: the anchor was repeated to the letter, or nothing had to be found;
            `aligned`: repeated with other whitespace or quotes, or only its certain end;
            `unverified`: joined without certainty, because the policy says so.
        removed: [characters] How much of the continuation was cut away.
    """

    attempt: int
    strategy: str
    at: int
    quality: Quality
    removed: int


class MissedReason(Enum):
    """Why an answer does not join."""

    EMPTY = "empty"
    SAID_FINISHED = "said_finished"
    ANCHOR_ONLY = "anchor_only"
    NO_ANCHOR = "no_anchor"
    AMBIGUOUS = "ambiguous"
    DIVERGED = "diverged"
    WRAPPED = "wrapped"


class Join(msgspec.Struct, frozen=True):
    """
    Where the continuation's own text begins.

    Attributes:
        quality: As in `Seam`.
        cut: [characters] Dropped from the start of the continuation's text.
        insert: Text to put before the rest; empty for every certain join.
    """

    quality: Quality
    cut: int
    insert: str = ""


class Missed(msgspec.Struct, frozen=True):
    """
    The answer does not join with certainty.

    Attributes:
        reason: Why. `ANCHOR_ONLY`: the anchor was repeated and nothing followed, so the message
            may in truth have been complete; `best.quality` then says how well it was repeated.
        best: The most likely join all the same; `unverified` but for `ANCHOR_ONLY`.
    """

    reason: MissedReason
    best: Join


class SeamFinder:
    """
    Finds the seam in the text of one continuation; made for one attempt, not shared.

    The decision depends on the text alone, not on how it was fed; once made it stays.
    """

    def __init__(self, delivered: str, anchor: str, *, window: int = WINDOW) -> None:
        """
        Look for the end of an echo of *delivered*.

        Args:
            delivered: What the caller has of the block; does not end in whitespace.
            anchor: The ending of *delivered* that the model was asked to repeat.
            window: [characters] Most text held while nothing is recognised.
        """
        self._delivered = delivered
        self._anchor = anchor
        self._window = window
        self._folded = fold(delivered)
        self._wanted = fold(anchor)
        unique = unique_length(self._folded, max(len(self._wanted), 1)) if self._wanted else None
        self._is_unique = unique is not None
        self._needle = self._wanted[-unique:] if unique is not None else self._wanted
        self._naturals = [
            len(fold(delivered[start:])) for start in natural_starts(delivered, anchor)
        ]
        self._fed = 0
        self._text = ""
        self._head = ""
        self._ends: list[int] = []
        self._lines: list[int] = [0]
        self._readings: list[list[int]] | None = None
        self._reached: Join | None = None
        self._landed: Join | None = None
        self._wrapped = False
        self._best: Join | None = None
        self._decision: Join | Missed | None = None

    def feed(self, text: str) -> Join | Missed | None:
        """
        Take more of the continuation's text.

        Args:
            text: What arrived; any length.

        Returns:
            The decision, or None while there is none and the text must be held.
        """
        for character in text:
            if self._decision is not None:
                break
            self._decision = self._take(character)
        return self._decision

    def finish(self) -> Join | Missed:
        """
        Decide, now that the text is over: a block of another kind began, or the message ended.

        Returns:
            The decision; the same when called again.
        """
        if self._decision is None:
            self._decision = self._conclude()
        return self._decision

    def _take(self, character: str) -> Join | Missed | None:
        self._fed += 1
        self._text += character
        folded = fold(character)
        if self._landed is not None:
            return self._settle(self._landed) if folded or self._is_full() else None
        if self._readings is not None:
            return self._follow(folded)
        if character == "\n":
            self._lines.append(len(self._head))
        if folded:
            self._head += folded
            self._ends.extend([self._fed] * len(folded))
            if self._needle and self._head.endswith(self._needle):
                self._weigh_echo()
        if self._landed is None and self._readings is None and self._is_full():
            return self._widen()
        return None

    def _is_full(self) -> bool:
        return self._fed >= self._window

    def _settle(self, join: Join) -> Join | Missed:
        return Missed(MissedReason.WRAPPED, _unverified(join)) if self._wrapped else join

    # -- an echo may end here ------------------------------------------------------------------

    def _weigh_echo(self) -> None:
        """Land, if what arrived is an echo of the delivered tail, maybe behind a preamble."""
        head, wanted = self._head, len(self._wanted)
        if not head.endswith(self._wanted):
            if self._folded.endswith(head) and self._is_certain(len(head)):
                self._land(len(head), self._is_literal(self._delivered))
            return
        literal = self._text.endswith(self._anchor)
        self._best = self._best or Join("unverified", self._fed)
        for length in (wanted, *(n for n in self._naturals if n > wanted), self._shared()):
            if self._folded.endswith(head[-length:]) and self._is_lead(len(head) - length):
                self._land(length, literal)
                return

    def _is_certain(self, length: int) -> bool:
        """Tell whether an echo shorter than the anchor can be nothing else."""
        weight = weigh(self._folded[-length:])
        return weight >= (_CERTAIN_NATURAL if length in self._naturals else _CERTAIN)

    def _is_literal(self, source: str) -> bool:
        return source.endswith(self._text.strip())

    def _shared(self) -> int:
        """Length of the longest common ending of what arrived and what was delivered."""
        length = len(self._wanted)
        head, folded = self._head, self._folded
        most = min(len(head), len(folded))
        while length < most and head[-length - 1] == folded[-length - 1]:
            length += 1
        return length

    def _land(self, length: int, literal: bool) -> None:
        """The last *length* folded characters are an echo, and it ends here."""
        join = Join("exact" if literal else "aligned", self._fed)
        if not self._is_unique and length > len(self._wanted):
            echo = self._head[-length:]
            open_readings = [
                [len(self._folded) - n + length]
                for n in self._naturals
                if n > length and self._folded.startswith(echo, len(self._folded) - n)
            ]
            if open_readings:
                self._reached, self._readings = join, open_readings
                return
        self._landed = join

    def _is_lead(self, length: int) -> bool:
        """Tell whether the first *length* folded characters may stand before an echo."""
        if length == 0:
            return True
        lead = self._text[: self._ends[length]]
        lead = lead[: len(lead) - 1] if self._ends[length] else lead
        if len(lead) > _PREAMBLE:
            return False
        fence = _FENCE_LINE.search(lead)
        if fence is not None:
            self._wrapped = not has_open_fence(self._delivered)
            return fence.start() == 0 or self._is_preamble(lead[: fence.start()])
        if _OPENING.search(lead):
            self._wrapped = True
            return True
        return self._is_preamble(lead)

    def _is_preamble(self, lead: str) -> bool:
        self._wrapped = False
        return bool(_PREAMBLE_END.search(lead)) and fold(lead) not in self._folded

    # -- a repetition longer than the window ---------------------------------------------------

    def _widen(self) -> Missed | None:
        """Give up, unless what arrived repeats some place of the delivered text so far."""
        readings: list[list[int]] = []
        for offset in self._lines:
            echo = self._head[offset:]
            place = self._folded.rfind(echo) if len(echo) >= len(self._wanted) else -1
            while place >= 0 and len(readings) < _READINGS:
                readings.append([place + len(echo)])
                place = self._folded.rfind(echo, 0, place + len(echo) - 1)
        if not readings:
            return self._miss(MissedReason.NO_ANCHOR)
        self._readings = readings
        return None

    def _follow(self, folded: str) -> Join | Missed | None:
        readings = self._readings or []
        self._text = self._text[-len(self._anchor) - 1 :]
        alive = [r for r in readings if self._folded.startswith(folded, r[0])]
        for reading in alive:
            reading[0] += len(folded)
        self._readings = alive
        return None

    def _miss(self, reason: MissedReason) -> Missed:
        return Missed(reason, self._best or Join("unverified", 0))

    def _conclude(self) -> Join | Missed:
        if self._landed is not None:
            return Missed(MissedReason.ANCHOR_ONLY, self._landed)
        if not self._head:
            return self._miss(MissedReason.EMPTY)
        if self._fed <= _LONGEST_FAREWELL and _FINISHED.search(self._text):
            return self._miss(MissedReason.SAID_FINISHED)
        return self._miss(MissedReason.NO_ANCHOR)


def _unverified(join: Join) -> Join:
    return Join("unverified", join.cut)
