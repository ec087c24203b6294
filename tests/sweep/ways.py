"""The ways through the SDK: sync and async, in process and over HTTP, each with the real middleware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import anyio

import resumable
from resumable import Resumable
from resumable._core.errors import RecoveryError
from resumable.testing import ManualClock
from tests.sweep.recordings import Book
from tests.sweep.runner import Cell, Result

if TYPE_CHECKING:
    from resumable.testing import ScriptedUpstream

IN_PROCESS = ("sync", "async")
# Over HTTP silence takes real time, so it is left to the ways in process.
OVER_HTTP = ("http sync", "http async")
AUDIBLE = ("RST", "FIN", "clean EOF", "event: error")


def call(cell: Cell, way: str) -> Result:
    """Call the SDK's typed helper for one cell, and tell what the caller has in the end."""
    clock = ManualClock()
    upstream = cell.upstream(clock)
    settings: dict[str, Any] = {
        "base_url": "http://upstream.test",
        "api_key": "key",
        "middleware": [Resumable(clock=clock, chance=lambda: 0.5)],
    }
    if way in OVER_HTTP:
        upstream.start()
        settings["base_url"] = upstream.url
    try:
        if "async" in way:
            result = anyio.run(_acall, cell, way, upstream, settings)
        else:
            result = _call(cell, way, upstream, settings)
    finally:
        upstream.stop()
    result.asked = tuple(upstream.log.strategies)
    return result


def _call(cell: Cell, way: str, upstream: ScriptedUpstream, settings: dict[str, Any]) -> Result:
    if way not in OVER_HTTP:
        settings["http_client"] = anthropic.DefaultHttpxClient(transport=upstream.transport())
    with anthropic.Anthropic(**settings) as client:
        try:
            with client.messages.stream(**_body(cell)) as stream:
                return _whole(cell, stream.get_final_message(), stream)
        except RecoveryError as error:
            return _broken(error)


async def _acall(cell: Cell, way: str, upstream: ScriptedUpstream, settings: dict[str, Any]) -> Result:
    if way not in OVER_HTTP:
        settings["http_client"] = anthropic.DefaultAsyncHttpxClient(transport=upstream.async_transport())
    async with anthropic.AsyncAnthropic(**settings) as client:
        try:
            async with client.messages.stream(**_body(cell)) as stream:
                return _whole(cell, await stream.get_final_message(), stream)
        except RecoveryError as error:
            return _broken(error)


def _body(cell: Cell) -> dict[str, Any]:
    form = {"output_format": Book} if cell.recording.is_structured else {}
    return {**cell.recording.body(cell.model), **form}


def _whole(cell: Cell, final: Any, stream: object) -> Result:  # Reason: generic over what is parsed
    is_unparsed = cell.recording.is_structured and final.parsed_output is None
    return Result(
        message=final.to_dict(warnings=False),
        error="no parsed output" if is_unparsed else None,
        is_estimated=resumable.report(stream).has_estimates,
    )


def _broken(error: RecoveryError) -> Result:
    assert isinstance(error, anthropic.APIError)
    is_estimated = resumable.report(error).has_estimates
    return Result(error=type(error).__name__, partial=error.partial, is_estimated=is_estimated)
