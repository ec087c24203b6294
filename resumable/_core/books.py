"""
The books of one message: what each attempt used and cost, what is measured and what estimated, what was saved.

A sum that contains an estimate says so, and one of which a part has no known price is unknown (law L11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from resumable._core.prices import BATCH_FACTOR, Price, Tokens, excluded_from, price_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ("Books", "Line", "Spared", "line_of")

#: [characters] One token of what a continuation repeated, roughly.
_TOKEN_CHARACTERS: Final = 4


class Line(msgspec.Struct, frozen=True):
    """
    What one attempt used.

    Attributes:
        attempt: Its number.
        model: The model that answered.
        measured: [tokens] As upstream counted them.
        estimated: [tokens] Output of an attempt that was lost before upstream counted it.
        is_told: Whether upstream told any usage, or never began: otherwise what it took is not known.
        price: What its tokens cost; `None` where that is not known.
        excluded: Names of what it used besides tokens, which no cost here includes.
    """

    attempt: int
    model: str | None
    measured: Tokens
    estimated: Tokens
    is_told: bool
    price: Price | None
    excluded: tuple[str, ...] = ()

    @property
    def tokens(self) -> Tokens:
        """[tokens] Measured and estimated together."""
        return self.measured + self.estimated

    @property
    def measured_cost(self) -> float | None:
        """[USD] Of what was measured; `None` where the price is not known."""
        return self._cost(self.measured)

    @property
    def estimated_cost(self) -> float | None:
        """[USD] Of what was estimated; `None` where the price is not known."""
        return self._cost(self.estimated)

    @property
    def cost(self) -> float | None:
        """[USD] Of both together; `None` where the price is not known."""
        return self._cost(self.tokens)

    def _cost(self, tokens: Tokens) -> float | None:
        if tokens == Tokens():
            return 0.0
        return None if self.price is None else self.price.cost(tokens, self.measured.prompt)


class Spared(msgspec.Struct, frozen=True):
    """
    What one seam spared, and what it took.

    Attributes:
        attempt: Number of the attempt that joined.
        removed: [characters] It repeated before the seam.
    """

    attempt: int
    removed: int


class Books(msgspec.Struct, frozen=True):
    """
    What one message used and cost over all its attempts.

    Attributes:
        lines: One for each attempt, in order.
        seams: One for each attempt that joined.
        saved_tokens: [tokens] An estimate: output that continuing spared, compared with starting over.
    """

    lines: tuple[Line, ...]
    seams: tuple[Spared, ...] = ()
    saved_tokens: int = 0

    @property
    def measured(self) -> Tokens:
        """[tokens] As upstream counted them."""
        return _total(line.measured for line in self.lines)

    @property
    def estimated(self) -> Tokens:
        """[tokens] Output of lost attempts, at 4 bytes of text each."""
        return _total(line.estimated for line in self.lines)

    @property
    def tokens(self) -> Tokens:
        """[tokens] Measured and estimated together."""
        return self.measured + self.estimated

    @property
    def is_estimated(self) -> bool:
        """Whether a total contains an estimate, or lacks an attempt that told nothing."""
        return self.estimated != Tokens() or bool(self.untold)

    @property
    def untold(self) -> tuple[int, ...]:
        """Numbers of the attempts that reached upstream and told no usage: what they cost is in no sum."""
        return tuple(line.attempt for line in self.lines if not line.is_told)

    @property
    def excluded(self) -> tuple[str, ...]:
        """Names of what was used besides tokens, which no cost here includes."""
        return tuple(dict.fromkeys(name for line in self.lines for name in line.excluded))

    @property
    def measured_cost(self) -> float | None:
        """[USD] Of what was measured; `None` where a price is not known."""
        return _sum(line.measured_cost for line in self.lines)

    @property
    def estimated_cost(self) -> float | None:
        """[USD] Of what was estimated; `None` where a price is not known."""
        return _sum(line.estimated_cost for line in self.lines)

    @property
    def cost(self) -> float | None:
        """[USD] Of all attempts; `None` where a price is not known, an estimate where `is_estimated`."""
        return _sum(line.cost for line in self.lines)

    @property
    def batch_cost(self) -> float | None:
        """
        [USD] What the same work costs as a batch; `None` where the price is not known.

        A batch has no stream that could break: the prompt of the first attempt that was answered, once, and
        the output of all.
        """
        first = self._first
        if first is None or first.price is None:
            return None
        prompt = first.measured.prompt
        work = msgspec.structs.replace(first.measured, output=self.tokens.output)
        return first.price.cost(work, prompt) * BATCH_FACTOR

    @property
    def saved_cost(self) -> float | None:
        """
        [USD] What continuing spared, compared with starting over; `None` where the price is not known.

        An estimate: the output that was not produced again, less what the continuations took instead: the partial
        answer in their prompts, and the words they repeated. Below 0 where starting over had been cheaper.
        """
        if not self.seams:
            return 0.0
        first, joined = self._first, [self._line(seam.attempt) for seam in self.seams]
        price = joined[-1].price
        if first is None or price is None or any(line.price != price for line in joined):
            return None
        more = sum(max(0, line.measured.prompt - first.measured.prompt) for line in joined)
        echo = sum(seam.removed for seam in self.seams) // _TOKEN_CHARACTERS
        prompt = first.measured.prompt
        return price.cost(Tokens(output=self.saved_tokens), prompt) - price.cost(Tokens(more, echo), prompt)

    @property
    def _first(self) -> Line | None:
        """The first attempt that was answered."""
        return next((line for line in self.lines if line.measured.prompt), None)

    def _line(self, attempt: int) -> Line:
        return next(line for line in self.lines if line.attempt == attempt)


def line_of(
    attempt: int,
    *,
    model: str | None,
    usage: Mapping[str, Any],
    output_tokens: int,
    is_estimated: bool,
    is_told: bool,
    prices: Mapping[str, Price],
) -> Line:
    """
    Write the line of one attempt.

    Args:
        attempt: Its number.
        model: The model that answered.
        usage: As far as upstream told it.
        output_tokens: [tokens] Measured or estimated.
        is_estimated: Which of the two.
        is_told: As in `Line`.
        prices: By model.
    """
    told = Tokens.from_usage(usage)
    # Before the end of an attempt upstream's own count of the output is a placeholder.
    measured = msgspec.structs.replace(told, output=0) if is_estimated else told
    estimated = Tokens(output=output_tokens) if is_estimated else Tokens()
    price = price_for(model, usage, prices)
    return Line(attempt, model, measured, estimated, is_told, price, excluded_from(usage))


def _total(tokens: Iterable[Tokens]) -> Tokens:
    return sum(tokens, start=Tokens())


def _sum(costs: Iterable[float | None]) -> float | None:
    total = 0.0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total
