"""
What a token costs: list prices of the API as data, with the day they were taken down, and the sum for one request.

A model that is not in the table has no price. None is ever taken from a model with a similar name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("BATCH_FACTOR", "PRICES", "PRICES_AS_OF", "Price", "Tokens", "excluded_from", "price_for")

#: Day on which the prices below were taken down.
PRICES_AS_OF: Final = "2026-11-22"
#: What a batch costs of the same tokens.
BATCH_FACTOR: Final = 0.5

_MILLION: Final = 1_000_000
_CACHED_5M: Final = 1.25
_CACHED_1H: Final = 2.0
_READ: Final = 0.1
#: [decimal places] So that a tenth of 0.1 is 0.01.
_PLACES: Final = 9
#: The ordinary regions; they change nothing.
_ANYWHERE: Final = (None, "global", "not_available")
#: Entries of `usage.iterations` that another model may have written, at another price.
_OTHERS: Final = frozenset({"advisor_message", "fallback_message"})


class Tokens(msgspec.Struct, frozen=True):
    """
    Tokens by what they cost.

    Attributes:
        input: [tokens] Of the prompt, neither written to the cache nor read from it.
        output: [tokens] Produced, thinking included.
        cache_write_5m: [tokens] Written to the cache for five minutes.
        cache_write_1h: [tokens] Written to the cache for an hour.
        cache_read: [tokens] Read from the cache.
    """

    input: int = 0
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0

    @property
    def prompt(self) -> int:
        """[tokens] Everything that was read: the size of the context."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_write_5m + other.cache_write_5m,
            self.cache_write_1h + other.cache_write_1h,
            self.cache_read + other.cache_read,
        )

    @classmethod
    def from_usage(cls, usage: Mapping[str, Any]) -> Tokens:
        """
        Read a `usage` of the API's; what it lacks, or what is no count, is 0.

        A compaction's tokens are billed but missing from the API's totals: they are added here.
        """
        total = cls._from_counts(usage)
        for entry in _entries(usage):
            if entry.get("type") == "compaction":
                total += cls._from_counts(entry)
        return total

    @classmethod
    def _from_counts(cls, usage: Mapping[str, Any]) -> Tokens:
        kinds = usage.get("cache_creation")
        kinds = kinds if isinstance(kinds, dict) else {}
        short, long = _count(kinds, "ephemeral_5m_input_tokens"), _count(kinds, "ephemeral_1h_input_tokens")
        # Where the total says more than its parts, or there are none, the rest was written for the default time.
        rest = max(0, _count(usage, "cache_creation_input_tokens") - short - long)
        return cls(
            _count(usage, "input_tokens"),
            _count(usage, "output_tokens"),
            short + rest,
            long,
            _count(usage, "cache_read_input_tokens"),
        )


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """
    List price of a model.

    Attributes:
        input: [USD per million tokens] Of the prompt.
        output: [USD per million tokens] Produced.
        cache_write_5m: [USD per million tokens] Written to the cache for five minutes.
        cache_write_1h: [USD per million tokens] Written to the cache for an hour.
        cache_read: [USD per million tokens] Read from the cache.
        us_factor: What `inference_geo: "us"` multiplies it by; `None` where that is not known.
        fast: Price with `speed: "fast"`; `None` where that is not known.
        step: [tokens] A request with a larger prompt costs `above`, all of it; `None` where there is no step.
        above: See `step`.
    """

    input: float
    output: float
    cache_write_5m: float
    cache_write_1h: float
    cache_read: float
    us_factor: float | None = None
    fast: Price | None = None
    step: int | None = None
    above: Price | None = None

    @classmethod
    def from_base(
        cls,
        input: float,  # noqa: A002  # Reason: the field's own name
        output: float,
        cache_read: float | None = None,
        **rest: Any,  # noqa: ANN401  # Reason: the other fields
    ) -> Price:
        """
        Make a price of which only the base is special.

        Args:
            input: [USD per million tokens] Of the prompt.
            output: [USD per million tokens] Produced.
            cache_read: [USD per million tokens] `None` takes a tenth of *input*.
            **rest: The other fields.

        Returns:
            The price; writing to the cache costs 1.25 times *input* for five minutes, twice for an hour.
        """
        read = round(input * _READ, _PLACES) if cache_read is None else cache_read
        short, long = input * _CACHED_5M, input * _CACHED_1H
        return cls(input=input, output=output, cache_write_5m=short, cache_write_1h=long, cache_read=read, **rest)

    def cost(self, tokens: Tokens, prompt: int | None = None) -> float:
        """
        Sum up one request.

        Args:
            tokens: What it used, or a part of that.
            prompt: [tokens] Prompt of the whole request, which decides about `step`; `None` takes that of *tokens*.

        Returns:
            [USD]
        """
        size = tokens.prompt if prompt is None else prompt
        if self.step is not None and self.above is not None and size > self.step:
            return self.above.cost(tokens, size)
        return (
            tokens.input * self.input
            + tokens.output * self.output
            + tokens.cache_write_5m * self.cache_write_5m
            + tokens.cache_write_1h * self.cache_write_1h
            + tokens.cache_read * self.cache_read
        ) / _MILLION

    def times(self, factor: float) -> Price:
        """Give this price multiplied by *factor*."""
        return Price(
            input=self.input * factor,
            output=self.output * factor,
            cache_write_5m=self.cache_write_5m * factor,
            cache_write_1h=self.cache_write_1h * factor,
            cache_read=self.cache_read * factor,
            us_factor=self.us_factor,
            fast=None if self.fast is None else self.fast.times(factor),
            step=self.step,
            above=None if self.above is None else self.above.times(factor),
        )


_US: Final = 1.1
_FAST: Final = Price.from_base(10, 50, us_factor=_US)
_OPUS: Final = Price.from_base(5, 25, us_factor=_US)
_OPUS_4_5: Final = Price.from_base(5, 25)
_FAST_OPUS: Final = Price.from_base(5, 25, us_factor=_US, fast=_FAST)
_FABLE: Final = Price.from_base(10, 50, us_factor=_US)
_FABLE_5_1: Final = Price.from_base(10, 50, 0.25, us_factor=_US)
_SONNET_4_5: Final = Price.from_base(3, 15)
_HAIKU_4_5: Final = Price.from_base(1, 5)
_HAIKU_5_5_ABOVE: Final = Price.from_base(0.5, 2.5, us_factor=_US)

#: By the ids that the API answers with. Source: the API's price page; `claude-fable-5-2` second hand, from two
#: trackers that quote it. Missing on purpose: models whose price no source gives, such as `claude-mythos-5-2`.
PRICES: Final[Mapping[str, Price]] = {
    "claude-fable-5-2": Price.from_base(8, 40, 0.2, us_factor=_US),
    "claude-fable-5-1": _FABLE_5_1,
    "claude-mythos-5-1": _FABLE_5_1,
    "claude-fable-5": _FABLE,
    "claude-mythos-5": _FABLE,
    "claude-opus-5-5": Price.from_base(4, 20, 0.2, us_factor=_US),
    "claude-opus-5": _FAST_OPUS,
    "claude-opus-4-8": _FAST_OPUS,
    "claude-opus-4-7": _OPUS,
    "claude-opus-4-6": _OPUS,
    "claude-opus-4-5": _OPUS_4_5,
    "claude-opus-4-5-20251101": _OPUS_4_5,
    "claude-sonnet-5-5": Price.from_base(2, 10, 0.1, us_factor=_US),
    "claude-sonnet-5": Price.from_base(2, 10, us_factor=_US),
    "claude-sonnet-4-6": Price.from_base(3, 15, us_factor=_US),
    "claude-sonnet-4-5": _SONNET_4_5,
    "claude-sonnet-4-5-20250929": _SONNET_4_5,
    "claude-haiku-5-5": Price.from_base(0.1, 0.5, us_factor=_US, step=100_000, above=_HAIKU_5_5_ABOVE),
    "claude-haiku-4-5": _HAIKU_4_5,
    "claude-haiku-4-5-20251001": _HAIKU_4_5,
}


def price_for(model: str | None, usage: Mapping[str, Any], prices: Mapping[str, Price]) -> Price | None:
    """
    Find the price of one request.

    Args:
        model: The model that answered.
        usage: As the API told it: `service_tier`, `speed` and `inference_geo` change the price.
        prices: By model.

    Returns:
        The price, or `None` where it is not known.
    """
    price = None if model is None else prices.get(model)
    if usage.get("speed") == "fast":
        price = None if price is None else price.fast
    tier = usage.get("service_tier")
    if price is None or tier not in {None, "standard", "batch"}:
        return None  # A tier that was paid in advance, or one yet unknown.
    if any(entry.get("type") in _OTHERS for entry in _entries(usage)):
        return None
    factor = BATCH_FACTOR if tier == "batch" else 1.0
    if (region := usage.get("inference_geo")) not in _ANYWHERE:
        if region != "us" or price.us_factor is None:
            return None
        factor *= price.us_factor
    return price if factor == 1 else price.times(factor)


def excluded_from(usage: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what a request used that no price of tokens covers: fees of server tools, credits."""
    tools = usage.get("server_tool_use")
    named = sorted(name for name in tools if _count(tools, name)) if isinstance(tools, dict) else []
    return (*named, "fallback_credit") if usage.get("fallback_credit") else tuple(named)


def _entries(usage: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries = usage.get("iterations")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _count(counts: Mapping[str, Any], name: str) -> int:
    value = counts.get(name)
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0
