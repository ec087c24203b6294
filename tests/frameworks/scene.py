"""What the frameworks are tested with: the faults, and clients whose waits take no time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic

from resumable.middleware import Resumable
from resumable.testing import Drop, ErrorEvent, Reject, ScriptedUpstream, Stall, Truncate
from tests.middleware.conftest import half

if TYPE_CHECKING:
    from collections.abc import Mapping

QUESTION = "Tell me a long story."
FAULTS: Mapping[str, Any] = {
    "rst": Drop(after=9),
    "fin": Drop(after=9, how="fin"),
    "clean end": Truncate(after=9),
    "overloaded_error": ErrorEvent("overloaded_error", after=9),
    "stall": Stall(after=9),
    "529": Reject(529),
}
#: [s] The caller's own read timeout, which ends a stall.
TIMEOUT = 0.3


def middleware(upstream: ScriptedUpstream) -> Resumable:
    """Make the middleware, on the upstream's clock."""
    return Resumable(clock=upstream.clock, chance=half)


def settings(upstream: ScriptedUpstream) -> dict[str, Any]:
    """Give a client's arguments, with the middleware, for a served upstream."""
    chosen = {"base_url": upstream.url, "api_key": "any", "timeout": TIMEOUT, "max_retries": 2}
    return {**chosen, "middleware": [middleware(upstream)]}


def client_of(upstream: ScriptedUpstream) -> anthropic.Anthropic:
    """Make a sync client."""
    return anthropic.Anthropic(**settings(upstream))


def aclient_of(upstream: ScriptedUpstream) -> anthropic.AsyncAnthropic:
    """Make an async client."""
    return anthropic.AsyncAnthropic(**settings(upstream))
