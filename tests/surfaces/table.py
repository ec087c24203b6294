"""What comes of every fault on every surface: the cells of the table in docs/reference/surfaces.md."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anthropic
import anyio
from tenacity import wait_none

from resumable import RetryPolicy
from resumable.middleware import Resumable
from resumable.testing import Drop, ErrorEvent, Fault, Garbage, Refuse, Reject, ScriptedUpstream, Stall, Truncate
from tests.surfaces.ways import SURFACES, NoMessageError, Surface

if TYPE_CHECKING:
    from collections.abc import Sequence

BODY = {"model": "claude-sonnet-5", "max_tokens": 20_000, "messages": [{"role": "user", "content": "Tell me."}]}
#: [s] The watchdogs where time is real: long, so that a busy machine is not taken for a silent upstream.
LIMIT = 1.0
#: How many times the SDK itself asks again; with a stream ours must not multiply them.
MAX_RETRIES = 2
COLOURS = ("sync", "asyncio", "trio")
#: Most of what a client costs; no test here speaks TLS.
TRUST = ssl.create_default_context()
NO_MESSAGE = "no message"
NO_WAIT = {"retry-after-ms": "1"}


@dataclass(frozen=True)
class Trouble:
    """
    A fault that the first request suffers.

    Attributes:
        title: What the page calls it.
        of_stream: What happens to a stream; `None` where it cannot happen to one.
        of_whole: What happens to an answer in one piece; `None` where it cannot happen to one.
        is_stall: Whether only time ends it.
        is_lasting: Whether every request suffers it.
        is_final: Whether asking again is no use, so that the caller gets the error.
    """

    title: str
    of_stream: Fault | None
    of_whole: Fault | None
    is_stall: bool = False
    is_lasting: bool = False
    is_final: bool = False


def both(title: str, fault: Fault, **kind: bool) -> Trouble:
    """Make a trouble that is the same for both kinds of answer."""
    return Trouble(title, fault, fault, **kind)


TROUBLES = (
    Trouble("RST", Drop(phase="text"), Drop(at_byte=100)),
    Trouble("FIN", Drop(phase="text", how="fin"), Drop(at_byte=100, how="fin")),
    Trouble("clean end", Truncate(phase="text"), Truncate(at_byte=100)),
    both("RST before headers", Drop(phase="headers")),
    both("no connection", Refuse()),
    Trouble("`overloaded_error`", ErrorEvent(phase="text"), None),
    Trouble("the same at first", ErrorEvent(after=0), None),
    Trouble("`api_error`", ErrorEvent("api_error", phase="text"), None),
    Trouble("silence", Stall(phase="text"), Stall(at_byte=100), is_stall=True),
    Trouble("only pings", Stall(phase="text", pings=True, ping_every=0.1), None, is_stall=True),
    both("429", Reject(429, headers=NO_WAIT)),
    both("500", Reject(500, headers=NO_WAIT)),
    both("529", Reject(529, headers=NO_WAIT)),
    Trouble("bad JSON", Garbage("bad_json"), None),
    Trouble("bad UTF-8", Garbage("bad_utf8"), None),
    both("HTML, 200", Garbage("html200")),
    both("empty, 200", Garbage("empty200")),
    both("400", Reject(400), is_final=True),
    both("401", Reject(401), is_final=True),
    both("529 for good", Reject(529, headers=NO_WAIT), is_lasting=True, is_final=True),
    Trouble("RST for good", Drop(after=1), Drop(at_byte=100), is_lasting=True, is_final=True),
)


class _Quick:
    """A client of the SDK's whose own retries do not wait."""

    def _calculate_retry_timeout(self, *_: object, **__: object) -> float:
        return 0.0


class Quick(_Quick, anthropic.Anthropic):
    """Sync."""


class AsyncQuick(_Quick, anthropic.AsyncAnthropic):
    """Async."""


@dataclass(frozen=True)
class Outcome:
    """
    What a caller got.

    Attributes:
        text: All of it; `None` where he got an error.
        error: The SDK's class of that error.
        requests: How many reached upstream.
    """

    text: str | None
    error: str
    requests: int


def settings(surface: Surface, upstream: ScriptedUpstream, colour: str, *, is_served: bool, ours: bool) -> Any:
    """Give a client's arguments; time is real only where it must be."""
    chosen: dict[str, Any] = {"api_key": "sk-secret", "max_retries": MAX_RETRIES}
    chosen["base_url"] = upstream.url if is_served else "http://upstream.test"
    is_real = surface.transport == "aiohttp"
    if is_real:
        chosen["http_client"] = anthropic.DefaultAioHttpClient()
    elif colour == "sync":
        via: Any = {"verify": TRUST} if is_served else {"transport": upstream.transport()}
        chosen["http_client"] = anthropic.DefaultHttpxClient(**via)
    else:
        via = {"verify": TRUST} if is_served else {"transport": upstream.async_transport()}
        chosen["http_client"] = anthropic.DefaultAsyncHttpxClient(**via)
    if ours:
        chosen["middleware"] = [Resumable(clock=None if is_real else upstream.clock, policy=policy(surface))]
    return chosen


def policy(surface: Surface) -> RetryPolicy:
    """Give the default policy, or one for time that is real: small watchdogs and no waits."""
    if surface.transport != "aiohttp":
        return RetryPolicy()
    waits: dict[str, Any] = {name: wait_none() for name in ("rate_limited", "overloaded", "server", "reconnect")}
    limits: dict[str, Any] = dict.fromkeys(("bytes_timeout", "progress_timeout", "thinking_timeout"), LIMIT)
    return RetryPolicy(**waits, **limits)


def outcome(surface: Surface, trouble: Trouble | None, colour: str, *, ours: bool = True) -> Outcome:
    """Call once, with one trouble on the way."""
    fault = trouble and (trouble.of_stream if surface.is_stream else trouble.of_whole)
    faults: Any = (lambda *_: fault) if trouble and trouble.is_lasting else [fault]
    upstream = ScriptedUpstream(surface.reply, faults, vary=False)
    # A silence takes no time in process; a socket of aiohttp's can't be had there.
    is_served = surface.transport == "aiohttp" or not (trouble and trouble.is_stall)
    if is_served:
        upstream.start()
    text, error = None, ""
    try:
        chosen = settings(surface, upstream, colour, is_served=is_served, ours=ours)
        if colour == "sync":
            assert surface.call is not None
            with Quick(**chosen) as client:
                text = surface.call(client, dict(BODY))
        else:
            text = anyio.run(_acall, surface, chosen, backend=colour)
    except Exception as raised:  # noqa: BLE001  # Reason: whatever it is is what is tabled
        error = _name_of(raised)
    finally:
        upstream.stop()
    return Outcome(text, error, len(upstream.log.messages))


async def _acall(surface: Surface, chosen: dict[str, Any]) -> str:
    async with AsyncQuick(**chosen) as client:
        return await surface.acall(client, dict(BODY))


def _name_of(error: BaseException) -> str:
    if isinstance(error, NoMessageError):
        return NO_MESSAGE
    classes: Sequence[type] = type(error).__mro__
    return next((one.__name__ for one in classes if one.__module__.startswith("anthropic")), type(error).__name__)


def faultless(surface: Surface) -> Outcome:
    """Ask a bare client when nothing goes wrong, once."""
    if surface.title not in _faultless:
        _faultless[surface.title] = outcome(surface, None, "asyncio", ours=False)
    return _faultless[surface.title]


_faultless: dict[str, Outcome] = {}


def cell(surface: Surface, trouble: Trouble, colour: str) -> str:
    """Say what came of it."""
    if (trouble.of_stream if surface.is_stream else trouble.of_whole) is None:
        return "does not occur"
    return worded(outcome(surface, trouble, colour), surface)


def worded(came: Outcome, surface: Surface) -> str:
    """Put an outcome into a cell's words."""
    expected = faultless(surface)
    if came.text is None:
        error = came.error if came.error == NO_MESSAGE else f"`{came.error}`"
        return f"{error} ({came.requests})"
    if came.text != expected.text:
        return "other text"
    return f"exact (+{came.requests - expected.requests})"


def colours_of(surface: Surface) -> tuple[str, ...]:
    """List the colours of a surface: aiohttp knows no other loop than asyncio's."""
    return COLOURS if surface.call is not None else ("asyncio",)


def row(surface: Surface, colour: str) -> list[str]:
    """Fill a row."""
    return [cell(surface, trouble, colour) for trouble in TROUBLES]


STREAMED = tuple(surface for surface in SURFACES if surface.is_stream)
WHOLE = tuple(surface for surface in SURFACES if not surface.is_stream)
