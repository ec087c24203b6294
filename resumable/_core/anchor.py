"""
What a continuation is asked to repeat: the delivered tail, folded, and the words chosen from it.

Folding drops what a model changes when it copies (whitespace, kinds of quotes, composed
characters), so that a copy is recognised; it never changes what is delivered.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import normalize

_LOOKALIKES: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2039\u203a", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    }
)
_WIDE: Final = 0x2E80
"""From here on (CJK, kana, emoji) a character says about as much as two Latin letters."""
_ENOUGH: Final = 32
"""[weight] An anchor this long is hardly met by chance, and a model copies it without slips."""
_LONGEST: Final = 240
"""[characters] More costs tokens and slips; a tail that repeats itself for so long is periodic."""
_CONTEXT: Final = 3
"""[characters] What comes before an anchor differs so early from what it ends in, where possible."""
_TRIED: Final = 100
"""How many places to begin are looked at; in text that repeats itself every one may be a bad one."""
_WORD: Final = 24
"""[characters] How far back an anchor is lengthened to begin with a whole word."""
_REGION: Final = 4_000
"""[characters] How far back the beginning of a paragraph, line or sentence is looked for."""
_SENTENCE: Final = re.compile(r"(?:[.!?][\"')\]\u201d\u2019]*\s+|[\u3002\uff01\uff1f][\u300d\u300f\u201d]*\s*)(?=\S)")
_LINE: Final = re.compile(r"\n(?=[^\n])")
_PARAGRAPH: Final = re.compile(r"\n\s*\n(?=\S)")
_STATEMENT: Final = re.compile(r"(?:[:.!?\u2026\u3002\uff1a\uff01\uff1f)\]*_\u2014-][ \t]*|\n\s*)\Z")
_ENDED: Final = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"')*_\u201d\u2019\u300d\u300f]*\Z")
_ATTACHED: Final = re.compile("[\u0300-\u036f\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")
_SIGN: Final = re.compile(rf"[\U0001f1e6-\U0001f1ff]{{2}}|\S(?:{_ATTACHED.pattern}|(?<=\u200d).)*")
"""What is read as one: a character and what is attached to it, a flag, a family."""
_TWO: Final = 2
"""One may be chance: signs of an echo, and earlier lines that began with a mark."""
_FENCES: Final = ("```", "~~~")


class _Folding(dict[int, str]):
    """Folded form of each character met so far; grows to the alphabet in use, no further."""

    def __missing__(self, code: int) -> str:
        folded = "".join(normalize("NFKD", chr(code)).translate(_LOOKALIKES).split())
        self[code] = folded
        return folded


_FOLDING: Final = _Folding()


def fold(text: str) -> str:
    """Return *text* without whitespace, its quotes and dashes plain, its characters decomposed."""
    return text.translate(_FOLDING)


def weigh(folded: str) -> int:
    """Return how much *folded* says, in Latin letters."""
    return len(folded) + sum(ord(character) >= _WIDE for character in folded)


def unique_length(folded: str, limit: int) -> int | None:
    """
    Return the length of the shortest ending of *folded* that occurs in it only once.

    Args:
        folded: Folded text.
        limit: [characters] Longest ending to consider.

    Returns:
        [characters], or None when even the ending of *limit* characters occurs earlier.
    """
    low, high = 1, min(limit, len(folded))
    if folded.find(folded[-high:]) < len(folded) - high:
        return None
    while low < high:  # an ending that occurs once stays so when it grows
        middle = (low + high) // 2
        if folded.find(folded[-middle:]) < len(folded) - middle:
            low = middle + 1
        else:
            high = middle
    return low


def natural_echoes(delivered: str, anchor: str, folded: str) -> set[int]:
    """
    Return how long an echo is that begins where a model may begin instead of at the anchor.

    Args:
        delivered: What the caller has.
        anchor: An ending of it.
        folded: *delivered*, folded.

    Returns:
        [folded characters] From the beginning of everything, and of the paragraph, line and
        sentence that the anchor begins in and that delivery ended in.
    """
    starts: set[int] = set()
    for end in (len(delivered) - len(anchor), len(delivered) - 1):
        region = max(0, end - _REGION)
        for boundary in (_PARAGRAPH, _LINE, _SENTENCE):
            starts.update([m.end() for m in boundary.finditer(delivered, region, end + 1)][-1:])
    return {len(folded), *(len(fold(delivered[start:])) for start in starts)}


def is_telling(echo: str, delivered: str) -> bool:
    """
    Tell whether an answer that begins with a short *echo* can hardly mean to say it once more.

    Args:
        echo: The last line or sentence of *delivered*, as far as it came.
        delivered: What the caller has.

    Returns:
        Whether *echo* is more than one sign and has never been said twice in a line, and, unless
        it came with its indentation, is neither a whole sentence nor a line that has stood
        before; or is a mark that lines of this text begin with.
    """
    before = delivered[: -len(echo)]
    if echo.isascii() and not any(map(str.isalnum, echo)):
        return _is_mark(fold(echo), before)
    is_said_twice = any(fold(echo) * 2 in fold(line) for line in delivered.splitlines())
    if is_said_twice or len(set(_SIGN.findall(normalize("NFC", echo)))) < _TWO:
        return False
    if echo[0].isspace():
        return True
    return not _ENDED.search(echo) and echo not in map(str.strip, before.splitlines())


def _is_mark(folded: str, before: str) -> bool:
    """Tell whether lines *before* have begun with a mark of lists or tables, and never with it twice."""
    begun = [line for line in map(fold, before.splitlines()) if line.startswith(folded)]
    is_doubled = any(line.startswith(folded * 2) for line in begun)
    return len(begun) >= _TWO and not is_doubled and not folded.startswith(_FENCES)


def choose_anchor(delivered: str) -> str:
    """
    Choose the last words of *delivered* for a model to repeat.

    They occur nowhere else in *delivered* where that is possible, so that a copy of them
    marks one place only. Where it is not (periodic text), they begin where no paragraph,
    line or sentence does, so that a model which began there instead is told apart.

    Args:
        delivered: What the caller has of the block; does not end in whitespace.

    Returns:
        [0..264 characters] An ending of *delivered*; all of it when it is short.
    """
    folded = fold(delivered)
    if not folded:
        return ""
    unique = unique_length(folded, _LONGEST)
    starts = _starts(delivered, unique or 0)
    start = next((s for s in starts[:_TRIED] if _is_distinct(delivered, folded, s)), starts[0])
    return delivered[start:]


def _starts(delivered: str, unique: int) -> list[int]:
    """Where an anchor of enough weight may begin: at words, nearest first, then anywhere."""
    end = len(delivered)
    least = end
    length = weight = 0
    while least > 0 and (weight < _ENOUGH or length < unique) and end - least < _LONGEST:
        least -= 1
        piece = fold(delivered[least])
        length += len(piece)
        weight += weigh(piece)
    far = max(0, end - _LONGEST - _WORD)
    places = [s for s in range(least, far - 1, -1) if _is_whole(delivered, s)]
    inside = [s for s in places if not ends_statement(delivered[max(0, s - 8) : s])]
    words = [s for s in inside if s == 0 or delivered[s - 1].isspace()]
    near = [s for s in words if s >= least - _WORD]
    return [*near, *inside, *places] or [least]


def _is_whole(text: str, start: int) -> bool:
    """Tell whether no character is torn apart by beginning at *start*."""
    if start in {0, len(text)}:
        return True
    return not (text[start].isspace() or _ATTACHED.match(text[start]) or text[start - 1] == "\u200d")


def ends_statement(text: str) -> bool:
    """Tell whether *text* ends a sentence, an announcement or a line, as a preamble does."""
    return _STATEMENT.search(text) is not None


def _is_distinct(delivered: str, folded: str, start: int) -> bool:
    """Tell whether the anchor at *start* reads unlike any other beginning of an answer."""
    anchor = delivered[start:]
    needle = fold(anchor)
    earlier = folded.rfind(needle, 0, len(folded) - 1) + len(needle)
    period = folded[earlier:]
    if earlier >= len(needle) and (period * (len(needle) // len(period) + 1)).startswith(needle):
        return False  # a model that repeats nothing would begin just so
    before = folded[: -len(needle)][-_CONTEXT:]
    if before and folded.endswith(before):
        return False
    for length in natural_echoes(delivered, anchor, folded):
        natural = len(folded) - length
        if folded.startswith(needle, natural) or needle.startswith(folded[natural:]):
            return False
    return True
