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
A broken line or sentence may be shorter than the needle. It counts where the text itself shows
that nothing else would begin with it, and after a wait for whatever else might explain it.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, Literal

import msgspec

from resumable._core.anchor import (
    choose_anchor,
    fold,
    is_telling,
    natural_echoes,
    unique_length,
    weigh,
)
from resumable._core.lead import Lead, announces, read_lead, says_finished

__all__ = ("Join", "Missed", "MissedReason", "Quality", "Seam", "SeamFinder", "choose_anchor")

Quality = Literal["exact", "aligned", "unverified"]

WINDOW: Final = 600
"""[characters] Held while nothing is recognised: a preamble, an anchor and some slack."""
_CERTAIN: Final = 12
"""[weight] Least echo of a line or sentence, and least anchor behind a preamble, that is no chance."""
_PATIENCE: Final = 200
"""[characters] Held behind an anchor that is too short to be sure of, before it is believed."""
_LIKELY: Final = 4
"""[weight] Least echo of the line or sentence that an unverified join cuts away."""
_CONTEXT: Final = 8
"""[characters] Least agreement that is more than chance: around a repetition, or beyond what is common."""
_RARE: Final = 3
"""[weight] A beginning that only one earlier place has, and that does not do so by chance."""
_REMEMBERED: Final = 24
"""[characters] Head of an answer that is looked for behind that tail."""
_INDENTED: Final = re.compile(r"\n[ \t]+\Z")
_INDENT: Final = 100
"""[characters] Deepest indentation that is looked at."""
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
            `aligned`: repeated with other whitespace or quotes, or only its certain end, be it
            no more than what there is of a broken line or sentence;
            `unverified`: joined without certainty, because the policy says so, or because nothing
            could be quoted: what was delivered ends in a block that is no text.
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
    TORN = "torn"
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
        self._naturals = natural_echoes(delivered, anchor, self._folded)
        self._borders: list[int] = []
        self._fed = 0
        self._text = self._head = ""
        self._ends: list[int] = []
        self._lines = [0]
        self._readings: list[int] = []
        self._landed: Join | None = None
        self._weak: Join | None = None
        self._echo: Join | None = None
        # Until then the anchor may still come, behind a preamble that begins like the echo.
        self._deadline = min(_PATIENCE + len(anchor), window)
        self._is_wrapped = False
        self._best = 0
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
        folded = fold(character)
        if self._landed is not None:
            is_spaced_out = self._fed - self._landed.cut > self._window
            return self._settle(self._landed) if folded or is_spaced_out else None
        self._text += character
        if self._readings:
            return self._follow(folded)
        if character == "\n":
            self._lines.append(len(self._head))
        if folded:
            self._head += folded
            self._ends.extend([self._fed] * len(folded))
            doubt = self._weigh_echo()
            if doubt is not None or self._landed is not None:
                return doubt
        if self._weak is not None and self._fed >= min(_PATIENCE, self._window):
            self._landed = self._weak
            return self._settle(self._landed) if len(self._head) > len(self._wanted) else None
        join = None
        if self._fed in {self._deadline, self._window} and self._head not in self._folded:
            join = self._reread_echo()
        return join or (self._widen() if self._fed >= self._window else None)

    def _settle(self, join: Join) -> Join | Missed:
        if self._is_wrapped:
            self._best = join.cut
            return self._miss(MissedReason.WRAPPED)
        return join

    def _weigh_echo(self) -> Missed | None:
        """Land, if what arrived is an echo of the delivered tail, maybe behind a preamble."""
        head, wanted = self._head, self._wanted
        count = len(head)
        if self._folded.endswith(head):
            if head.endswith(self._needle) and self._is_certain(count):
                return self._land(is_asked=count == len(wanted))
            if count in self._naturals:
                self._borders.append(count)
                self._best = self._fed if weigh(head) >= _LIKELY else self._best
                self._note_echo()
        if self._weak is not None and head.endswith(wanted):
            # So little was delivered that a preamble may begin with it by chance.
            is_announced = announces(self._text[: self._ends[count - len(wanted)] - 1])
            return self._miss(MissedReason.AMBIGUOUS) if is_announced else None
        if head.endswith(wanted) and weigh(wanted) >= _CERTAIN:
            self._best = self._fed
            lead = self._lead(count - len(wanted))
            if lead is None and count > len(self._folded) and head.endswith(self._folded):
                lead = self._lead(count - len(self._folded))
            if lead is not None:
                self._is_wrapped = lead is Lead.QUOTATION
                return self._land(is_asked=True)
        return None

    def _is_certain(self, count: int) -> bool:
        """Tell whether a head of *count* characters is an echo, and not by chance."""
        if count == len(self._wanted):
            return True
        if count > len(self._wanted):
            return self._is_first()
        # Less than was asked for is taken only to the letter, and only from where a line or
        # sentence begins: a short overlap is no echo.
        is_line = count in self._naturals and weigh(self._head) >= _CERTAIN
        return is_line and self._delivered.endswith(self._text) and self._is_first()

    def _is_first(self) -> bool:
        """
        Tell whether the answer begins as a repetition does.

        A line that is text of its own comes behind a line break, and when that was lost its
        indentation was lost too; a line repeated by mistake stands as it stood.
        """
        before = self._delivered[: -len(self._text)] if self._delivered.endswith(self._text) else ""
        return not self._text.startswith(("\n", "\r")) and _INDENTED.search(before[-_INDENT:]) is None

    def _note_echo(self) -> None:
        """Remember that the broken line or sentence stands first, however short, if that tells anything."""
        text, before = self._text, self._delivered[: -len(self._text)]
        # Repeated by mistake it stands as it stood, and with no other space; its indentation may be lost
        # where the line was only begun, since a line of the model's own would hardly begin just so.
        stands = self._delivered.endswith(text) and (not text[0].isspace() or before.endswith("\n"))
        is_first = self._is_first() or not text.count("\n")
        is_asked_for_more = self._is_unique and weigh(self._wanted) >= _CERTAIN
        if stands and is_first and is_asked_for_more and is_telling(text, self._delivered):
            self._echo = Join("aligned", self._fed)

    def _reread_echo(self) -> Join | None:
        """Return the join behind a short echo, now that enough has come to know what it was not."""
        head, folded = self._head, self._folded
        if self._echo is None or says_finished(self._text):
            return None
        border = self._borders[0]
        if len(head) == border or head.startswith(head[:border], border):
            return None  # nothing came, or the same once more
        line = self._text[: self._text.find("\n", self._echo.cut) + 1]
        if announces(line) and read_lead(line, self._delivered, folded) is Lead.PREAMBLE:
            return None
        # Had it begun at another place that begins alike, it would agree with that one for longer.
        others = (len(folded) - length for length in self._naturals if length > border)
        longer = (folded[other:][: border + _CONTEXT] for other in others)
        return None if any(map(head.startswith, longer)) else self._echo

    def _may_go_on_so(self) -> bool:
        """
        Tell whether what looks like an echo may be text of the model's own.

        So it may where the delivered text has once gone on like that, behind its very end or,
        should the model have repeated only a line or sentence, behind that.
        """
        folded, head = self._folded, self._head
        if not self._is_unique or folded[-_CONTEXT:] + head[:_REMEMBERED] in folded:
            return True
        before = folded[: -len(head)]
        if 0 < len(before) < _CONTEXT and folded.endswith(before):
            return True
        return any(self._may_go_on_behind(border) for border in self._borders)

    def _may_go_on_behind(self, border: int) -> bool:
        """Tell whether the model may have repeated only *border* characters: see `_may_go_on_so`."""
        folded, head = self._folded, self._head
        repeated = folded[-border:]
        has_gone_on = False
        place = folded.rfind(repeated, 0, -1)
        while place >= 0:
            if not folded.startswith(head, place):  # else the longer echo begins there itself
                seen = folded[place + border :][:_REMEMBERED]
                if len(seen) >= _CONTEXT and head.startswith(seen, border):
                    return True
                has_gone_on = True
            place = folded.rfind(repeated, 0, place + border - 1)
        is_place = border < len(head) and folded.endswith(head)
        return is_place and not has_gone_on and (len(head) == len(folded) or weigh(repeated) >= _RARE)

    def _lead(self, index: int) -> Lead | None:
        """Tell what stands before the folded character *index*; None when it is text."""
        return read_lead(self._text[: self._ends[index] - 1], self._delivered, self._folded)

    def _land(self, *, is_asked: bool) -> Missed | None:
        """End the echo here, unless it is not the one asked for and may be none."""
        # The anchor begins with a word: with its indentation in front it is its line that was repeated.
        is_indented = self._text.startswith((" ", "\t")) and not self._readings
        if (not is_asked or is_indented) and self._may_go_on_so():
            self._best = self._fed
            return self._miss(MissedReason.AMBIGUOUS)
        is_literal = self._text.endswith(self._anchor)
        join = Join("exact" if is_literal else "aligned", self._fed)
        if is_asked and weigh(self._wanted) < _CERTAIN:
            self._weak = join
        else:
            self._landed = join
        return None

    def _widen(self) -> Join | Missed | None:
        """Give up, unless what arrived repeats some place of the delivered text so far."""
        for offset in self._lines:
            echo = self._head[offset:]
            if len(echo) <= len(self._wanted) or self._lead(offset) is None:
                continue
            place = self._folded.rfind(echo)
            while place >= 0 and len(self._readings) < _READINGS:
                self._readings.append(place + len(echo))
                place = self._folded.rfind(echo, 0, place + len(echo) - 1)
        if not self._readings:
            return self._miss(MissedReason.NO_ANCHOR)
        return self._miss(MissedReason.AMBIGUOUS) if self._may_go_on_so() else None

    def _follow(self, folded: str) -> Join | Missed | None:
        """Drop the readings that this character contradicts; land where one reaches the end."""
        if len(self._text) > 2 * self._window:
            self._text = self._text[-self._window :]
        if not folded:
            return None
        self._readings = [r + len(folded) for r in self._readings if self._folded.startswith(folded, r)]
        if len(self._folded) in self._readings:
            # Only one can: the needle is unique, and it ends here.
            return self._land(is_asked=True)
        return None if self._readings else self._miss(MissedReason.DIVERGED)

    def _conclude(self) -> Join | Missed:
        join = self._landed or self._weak
        if join is not None and (self._landed is not None or len(self._head) == len(self._wanted)):
            return Missed(MissedReason.ANCHOR_ONLY, join)
        has_finished = says_finished(self._text)
        if join is not None and not has_finished:
            return join
        if self._wanted.startswith(self._head):
            self._best = self._fed if self._head else 0
            return self._miss(MissedReason.TORN if self._head else MissedReason.EMPTY)
        join = self._reread_echo()
        if join is not None:
            return join
        said = MissedReason.SAID_FINISHED if has_finished else MissedReason.NO_ANCHOR
        return self._miss(MissedReason.DIVERGED if self._readings else said)

    def _miss(self, reason: MissedReason) -> Missed:
        return Missed(reason, Join("unverified", self._best))
