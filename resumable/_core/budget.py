"""
How much of the answer has been used up: tokens, stop sequences and the books over all attempts.

Upstream counts tokens only at the end of an attempt, so what a lost attempt produced is estimated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from resumable._core.transcript import Block

#: [bytes of UTF-8] One token, roughly, over prose, code and CJK.
_TOKEN_BYTES: Final = 4
#: Share by which the estimate may be wrong in either direction; tokenizers differ by about 30 %.
ESTIMATE_ERROR: Final = 0.35

_INPUT_FIELDS: Final = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
)


def estimate_tokens(text: str) -> int:
    """
    Estimate the tokens of *text*.

    Returns:
        [tokens] At least 1 for a text that is not empty; wrong by up to `ESTIMATE_ERROR`.
    """
    return tokens_in(len(text.encode("utf-8", "surrogatepass")))


def tokens_in(length: int) -> int:
    """
    Estimate the tokens of a text by its length, which can be summed over pieces without rounding each.

    Args:
        length: [bytes of UTF-8] Of the text.
    """
    return math.ceil(length / _TOKEN_BYTES)


def surfaced_tokens(blocks: Iterable[Block]) -> int:
    """Estimate the output tokens of the blocks the caller has received."""
    return sum(estimate_tokens(block.text) for block in blocks)


def remaining_tokens(max_tokens: int, surfaced: int) -> int | None:
    """
    Say how many tokens a continuation may still add.

    Args:
        max_tokens: [tokens] The caller's limit.
        surfaced: [tokens] Estimate of what was surfaced.

    Returns:
        [tokens] At least 1; `None` when the limit is reached beyond the estimate's error.
    """
    if surfaced < max_tokens:
        return max_tokens - surfaced
    # Within the estimate's error upstream is asked, rather than the message ended on a guess.
    least = math.ceil(surfaced * (1 - ESTIMATE_ERROR))
    return max(1, max_tokens - least) if least < max_tokens else None


class StopMatcher:
    """
    Finds a stop sequence that begins in the delivered text and ends in its continuation.

    Upstream finds those that lie within its own output; one that the seam has split only we can see.
    """

    def __init__(self, sequences: Sequence[str], delivered: str) -> None:
        self._sequences = [sequence for sequence in sequences if len(sequence) > 1]
        reach = max(map(len, self._sequences), default=1) - 1
        self._tail = delivered[len(delivered) - reach :] if 0 < reach < len(delivered) else delivered if reach else ""
        self._reach = reach if self._tail else 0

    @property
    def is_done(self) -> bool:
        """Whether no stop sequence can reach back over the seam any more."""
        return self._reach <= 0

    def feed(self, text: str) -> tuple[int, str] | None:
        """
        Look at more text after the seam.

        Returns:
            Where in *text* the first split stop sequence ends, and the sequence; or `None`.
        """
        if self.is_done:
            return None
        seam = len(self._tail)
        joined = self._tail + text[: self._reach]
        self._reach -= len(text)
        ends = [
            (at + len(sequence) - seam, sequence)
            for sequence in self._sequences
            # One that lies in the delivered text as a whole is none of the seam's.
            if (at := joined.find(sequence, max(0, seam - len(sequence) + 1))) >= 0
        ]
        self._tail = joined
        return min(ends, default=None)


def merged_usage(first: dict[str, Any], outputs: Iterable[int], last: dict[str, Any]) -> dict[str, Any]:
    """
    Merge the usage of all attempts into what the final `message_delta` says.

    Args:
        first: `usage` of the first attempt's `message_start`; its input counts stay,
            so that readers of the context's size are right.
        outputs: [tokens] Output of each attempt before the last.
        last: `usage` of the last attempt's `message_delta`.

    Returns:
        *last* with the output of all attempts and the input counts of the first.
    """
    usage = dict(last)
    for field in _INPUT_FIELDS:
        if field in usage and field in first:
            usage[field] = first[field]
    own = usage.get("output_tokens")
    usage["output_tokens"] = sum(outputs) + (own if isinstance(own, int) else 0)
    return usage
