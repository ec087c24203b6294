"""Fault schedules as values, and the strategies that generate them for the tests of the laws."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable.testing import (
    CONTINUERS,
    GARBAGE_KINDS,
    SCRIPTS,
    Drop,
    ErrorEvent,
    Fault,
    Garbage,
    NoMessageStop,
    Refuse,
    Reject,
    Slow,
    Split,
    Stall,
    Truncate,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: The last family with prefill, a model without, and one that also binds thinking to its place.
MODELS = ("claude-haiku-4-5", "claude-sonnet-5", "claude-opus-5-5")
#: They begin with what they were asked to repeat, to the letter.
COMPLIANT = ("anchor", "thinks")

PHASES = (
    "headers",
    "message_start",
    "thinking",
    "text",
    "tool_json",
    "between_blocks",
    "message_delta",
    "message_stop",
)
#: Cut right before such an ending, an answer is not known to have ended: what comes right after an echo may be an
#: ending of the echo's own, and a turn that was about to pause goes on when it is asked to.
OTHER_ENDINGS = ("refusal", "max_tokens", "stop_sequence", "pause_turn")
#: Answers that heal by themselves, so that a few of them are within the default budget.
HEALING_STATUSES = (408, 409, 429, 500, 502, 503, 504, 520, 529)
TERMINAL_STATUSES = (400, 401, 402, 403, 404, 413, 422)
HEALING_TYPES = ("overloaded_error", "api_error", "rate_limit_error", "timeout_error", "a_type_yet_unknown")
TERMINAL_TYPES = ("invalid_request_error", "authentication_error", "permission_error", "not_found_error")
#: What it says is the model's own, only wrong: there is no failure to recover from.
_SILENT_GARBAGE = "bad_tool_json"


@dataclass(frozen=True)
class Schedule:
    """
    One call and everything that befalls it.

    Attributes:
        reply: Name of the script.
        model: The model asked.
        continuer: How it goes on when it has no prefill.
        faults: For each attempt in turn, what its answer suffers.
        seed: Of the chance that the waits draw from.
    """

    reply: str = "text"
    model: str = "claude-sonnet-5"
    continuer: str = "anchor"
    faults: tuple[tuple[Any, ...], ...] = ()
    seed: int = 0

    @property
    def body(self) -> dict[str, Any]:
        """The request."""
        asked: dict[str, Any] = {"model": self.model, "max_tokens": 20_000, **_extras(self.reply, self.model)}
        return {"messages": [{"role": "user", "content": "Tell me."}], **asked}

    @property
    def chance(self) -> Callable[[], float]:
        """A new source of chance, the same each time."""
        return random.Random(self.seed).random

    def split(self, sizes: tuple[int, ...]) -> Schedule:
        """The same with every answer's bytes cut elsewhere."""
        # More answers than the budget allows attempts, so that none is left whole.
        padded = self.faults + ((),) * (12 - len(self.faults))
        return replace(self, faults=tuple((*faults, Split(sizes)) for faults in padded))


def _extras(reply: str, model: str) -> dict[str, Any]:
    """What a caller would send to get such a reply."""
    thinking = {"type": "enabled", "budget_tokens": 2048} if model.endswith("4-5") else {"type": "adaptive"}
    tool = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    extras: dict[str, Any] = {}
    if "thinking" in reply:
        extras["thinking"] = thinking
    if reply in {"tools", "parallel_tools", "thinking_tools"}:
        extras["tools"] = [tool]
    elif "server_tools" in reply or reply == "pause_turn":
        extras["tools"] = [{"type": "web_search_20250305", "name": "web_search"}]
    elif reply == "citations":
        source = {"type": "text", "media_type": "text/plain", "data": "Notes."}
        document = {"type": "document", "source": source, "citations": {"enabled": True}}
        extras["messages"] = [{"role": "user", "content": [document, {"type": "text", "text": "Tell me."}]}]
    elif reply == "json":
        schema = {"type": "object", "properties": {"title": {"type": "string"}, "pages": {"type": "integer"}}}
        extras["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    elif reply == "stop_sequence":
        extras["stop_sequences"] = ["END"]
    return extras


places = st.one_of(
    st.fixed_dictionaries({"after": st.integers(0, 40)}),
    st.fixed_dictionaries({"after": st.integers(0, 160)}),
    st.fixed_dictionaries({"at_byte": st.integers(0, 1_500)}),
    st.fixed_dictionaries({"at_byte": st.integers(0, 20_000)}),
    st.fixed_dictionaries({"phase": st.sampled_from(PHASES)}),
)


def _at(kind: Any, **others: st.SearchStrategy[Any]) -> st.SearchStrategy[Fault]:
    return st.builds(lambda place, rest: kind(**place, **rest), places, st.fixed_dictionaries(others))


_retry_after: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}),
    st.integers(0, 40).map(lambda seconds: {"retry-after": str(seconds)}),
    st.integers(1, 5_000).map(lambda ms: {"retry-after-ms": str(ms)}),
)
_breaks = st.one_of(
    _at(Drop, how=st.sampled_from(["rst", "fin", "eof"])),
    _at(Truncate),
    _at(Stall, pings=st.booleans()),
    _at(ErrorEvent, type=st.sampled_from(HEALING_TYPES)),
    st.builds(Refuse, st.sampled_from(["refused", "rst", "fin"])),
    st.builds(Reject, st.sampled_from(HEALING_STATUSES), html=st.booleans(), headers=_retry_after),
)
#: Faults that a later attempt heals, each of them at most one failure.
healing = st.one_of(
    _breaks,
    _breaks,
    st.builds(NoMessageStop, st.booleans()),
    st.sampled_from([kind for kind in GARBAGE_KINDS if kind != _SILENT_GARBAGE]).map(Garbage),
)
_hostile_headers = st.fixed_dictionaries(
    {},
    optional={
        "retry-after": st.sampled_from(["0", "-3", "nan", "1e9", "soon", "Sun, 22 Nov 2099 15:00:00 GMT", "121"]),
        "retry-after-ms": st.sampled_from(["inf", "10", "x"]),
        "x-should-retry": st.sampled_from(["true", "false", "maybe"]),
    },
)
#: Anything else that may happen to an answer, besides what heals.
worse = st.one_of(
    _at(ErrorEvent, type=st.sampled_from(TERMINAL_TYPES + HEALING_TYPES)),
    _at(ErrorEvent, data=st.sampled_from(["no json", "[]", "{}", '{"error": 3}', "<html>"])),
    st.builds(
        Reject,
        st.sampled_from(HEALING_STATUSES + TERMINAL_STATUSES + (418, 599)),
        html=st.booleans(),
        headers=_hostile_headers,
        error_code=st.sampled_from([None, None, "enforced_spend_limit_reached", "ramp_limit_exceeded"]),
    ),
    st.sampled_from([0.01, 3.0, 25.0, 200.0, 700.0]).map(Slow),
    st.just(Garbage(_SILENT_GARBAGE)),
)
splits = st.one_of(st.just((7,)), st.lists(st.integers(7, 400), min_size=1, max_size=4).map(tuple))


def _together(fault: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """One fault, or one and a split of the bytes, which comes last: it forgets where phases are."""
    return st.one_of(
        fault.map(lambda one: (one,)),
        st.tuples(fault, splits.map(Split)),
        st.just(()),
    )


def healed(
    max_faults: int = 4,
    replies: tuple[str, ...] = tuple(SCRIPTS),
    continuers: tuple[str, ...] = COMPLIANT,
    models: tuple[str, ...] = MODELS,
) -> st.SearchStrategy[Schedule]:
    """Schedules that end well: few enough faults that heal, and a model that does as it is asked."""
    return st.builds(
        Schedule,
        st.sampled_from([reply for reply in replies if reply not in OTHER_ENDINGS]),
        st.sampled_from(models),
        st.sampled_from(continuers),
        st.lists(_together(healing), max_size=max_faults).map(tuple),
        st.integers(0, 2**16),
    ).filter(lambda schedule: not outlasts_hold(schedule))


def outlasts_hold(schedule: Schedule) -> bool:
    """Whether a held call gets older than a hold may: it then flows live and cannot be recovered, by design."""
    pinged = any(isinstance(fault, Stall) and fault.pings for faults in schedule.faults for fault in faults)
    return pinged and ("tool" in schedule.reply or schedule.reply in {"pause_turn", "json"})


def anything() -> st.SearchStrategy[Schedule]:
    """Schedules of any end: every fault, any number of them, models that do as they like."""
    fault = _together(st.one_of(healing, worse))
    return st.builds(
        Schedule,
        st.sampled_from(tuple(SCRIPTS)),
        st.sampled_from(MODELS),
        st.sampled_from(tuple(CONTINUERS)),
        st.one_of(st.lists(fault, max_size=5), st.lists(fault, min_size=6, max_size=12)).map(tuple),
        st.integers(0, 2**16),
    )


def law(*strategies: st.SearchStrategy[Any], sample: int, campaign: int) -> Callable[[Callable[..., None]], Any]:
    """
    Make a test of a check: a sample of examples by default, and the campaign under its mark.

    Args:
        *strategies: What the check's arguments are drawn from.
        sample: [examples] In a default run.
        campaign: [examples] With ``-m campaign``.
    """
    sizes = [pytest.param(sample, id="sample"), pytest.param(campaign, id="campaign", marks=pytest.mark.campaign)]

    def decorate(check: Callable[..., None]) -> Any:
        def test(size: int) -> None:
            settings(max_examples=size)(given(*strategies)(check))()

        test.__name__, test.__qualname__, test.__doc__ = check.__name__, check.__qualname__, check.__doc__
        test.__module__ = check.__module__
        return pytest.mark.parametrize("size", sizes)(test)

    return decorate
