"""
What a model says before it repeats the anchor, or instead of it.

A preamble is told from the model's own text by its shape alone: languages and phrases differ.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from resumable._core.anchor import ends_statement, fold

_LONGEST: Final = 200
"""[characters] A longer text before an echo is not taken for a preamble."""
_LONGEST_FAREWELL: Final = 400
"""[characters] A longer answer says more than that the message had been complete."""
_FENCE: Final = re.compile(r"^[ \t>]*(?:```|~~~)", re.MULTILINE)
_FENCE_LAST: Final = re.compile(r"(?:^|\n)[ \t]*(?:```|~~~)[\w+-]*[ \t]*\n\s*\Z")
_QUOTING: Final = re.compile(r"""(?:["'`\u201c\u2018\u00ab\u300c\u300e*_~(\[{<]|<\w+>|(?:^|\n)[ \t]*[-+>|])[ \t]*\Z""")
"""What opens here closes somewhere behind the seam, or goes on in every line."""
_BEGUN: Final = re.compile(r"(?:[^\w\s]{1,3}\w|[^\W\d_a-z])[^\n]*\s*\Z")
"""A preamble is one line, and does not begin as a sentence goes on: in lower case, or spaced."""
_ANNOUNCEMENT: Final = re.compile(r"(?:[:\u2026\uff1a]|\.\.\.)\s*\Z|\n[ \t]*\n\s*\Z")
_ELLIPSIS: Final = re.compile(r"\s*(?:\.\.\.|\u2026)\s*\Z")
_FINISHED: Final = re.compile(
    r"\b(?:already|was|were|is|had|has|have|been)\b.{0,40}\b(?:completed?|finished|done|ended|everything|covered)\b"
    r"|\b(?:nothing|no)\b.{0,20}\b(?:more|else|left|further)\b"
    r"|\bend of (?:the|my) (?:answer|message|reply|response|text)\b"
    r"|已经?(?:完成|结束|说完)|没有(?:更多|其他)",
    re.IGNORECASE | re.DOTALL,
)


class Lead(Enum):
    """What may stand before an echo."""

    NOTHING = auto()
    PREAMBLE = auto()
    QUOTATION = auto()


def read_lead(lead: str, delivered: str, folded: str) -> Lead | None:
    """
    Read what stands before the repeated anchor.

    Args:
        lead: Text of the answer up to the echo.
        delivered: What the caller has.
        folded: *delivered*, folded.

    Returns:
        What it is; `QUOTATION` when something was opened that will be closed behind the seam,
        which cannot be cut there; None when it may be the model's own text.
    """
    if not lead.strip() or _ELLIPSIS.match(lead):
        return Lead.NOTHING
    if len(lead) > _LONGEST:
        return None
    fence = _FENCE_LAST.search(lead)
    if fence is not None:
        before = lead[: fence.start()]
        if before.strip() and not _is_preamble(f"{before}\n"):
            return None
        return Lead.PREAMBLE if _is_in_fence(delivered) else Lead.QUOTATION
    if _QUOTING.search(lead):
        return Lead.QUOTATION
    return Lead.PREAMBLE if _is_preamble(lead) and fold(lead) not in folded else None


def announces(lead: str) -> bool:
    """Tell whether *lead* plainly announces what comes behind it, whatever it says."""
    return _ANNOUNCEMENT.search(lead) is not None


def says_finished(text: str) -> bool:
    """Tell whether *text* only says that the message had been complete."""
    return len(text) <= _LONGEST_FAREWELL and _FINISHED.search(text) is not None


def _is_preamble(lead: str) -> bool:
    return _BEGUN.match(lead) is not None and ends_statement(lead)


def _is_in_fence(text: str) -> bool:
    return len(_FENCE.findall(text)) % 2 == 1
