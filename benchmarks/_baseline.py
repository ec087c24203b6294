"""
The best public stitching rule, written afresh from its description.

Anchor of 40 characters, looked for within the first 8 characters of the answer with whitespace
and quotes normalised, shorter endings of it next; else an overlap of at least 6 characters with
the delivered tail; a paragraph break in the middle of a sentence becomes a space. It does not
hold trailing whitespace back, and joins whatever comes when it finds nothing.
"""

from __future__ import annotations

from typing import Final

LENGTH: Final = 40
_LENGTHS: Final = (40, 32, 24, 16, 12)
_WITHIN: Final = 8
_HELD: Final = 240
_LEAST_OVERLAP: Final = 6
_PLAIN: Final = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'"})


def choose_anchor(delivered: str) -> str:
    """Return what this rule asks the model to repeat."""
    return delivered.rstrip()[-LENGTH:]


def join(delivered: str, answer: str) -> tuple[str, bool]:
    """
    Join an answer to what the caller has.

    Args:
        delivered: All the caller has, trailing whitespace included.
        answer: All the model answered.

    Returns:
        The joined text, and whether the rule believes it found the place.
    """
    held = answer[:_HELD]
    plain, ends = _normalise(held)
    anchor, _ = _normalise(choose_anchor(delivered))
    for length in dict.fromkeys(min(n, len(anchor)) for n in _LENGTHS if len(anchor) >= _LENGTHS[-1]):
        place = plain.find(anchor[-length:])
        if 0 <= place <= _WITHIN:
            return delivered + _mend(delivered, answer[ends[place + length - 1] :]), True
    for length in range(min(len(held), len(delivered)), _LEAST_OVERLAP - 1, -1):
        if delivered.endswith(held[:length]):
            return delivered + _mend(delivered, answer[length:]), True
    return delivered + _mend(delivered, answer), False


def _normalise(text: str) -> tuple[str, list[int]]:
    """Return *text* with whitespace collapsed and quotes plain, and where each character ended."""
    plain: list[str] = []
    ends: list[int] = []
    for index, character in enumerate(text.translate(_PLAIN), 1):
        if character.isspace():
            if plain and plain[-1] == " ":
                ends[-1] = index
                continue
            plain.append(" ")
        else:
            plain.append(character)
        ends.append(index)
    return "".join(plain), ends


def _mend(delivered: str, rest: str) -> str:
    """Fold a paragraph break in the middle of a sentence, outside fences."""
    is_inside = delivered.count("```") % 2 == 1
    if rest.startswith("\n\n") and rest[2:3].islower() and delivered[-1:].isalnum() and not is_inside:
        return " " + rest[2:]
    return rest
