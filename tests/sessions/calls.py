"""Calls whose sessions are kept, written down once for both colours."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import anthropic

import resumable
from resumable.testing import ScriptedUpstream

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A model that accepts prefill: what is continued is exact by construction.
MODEL = "claude-haiku-4-5"
_numbers = itertools.count()


def new_id() -> str:
    """Name a session that nobody else has."""
    return f"test-{next(_numbers)}"


def body(question: str = "Tell me.") -> dict[str, Any]:
    """Ask something."""
    return {"model": MODEL, "max_tokens": 4096, "messages": [{"role": "user", "content": question}]}


def expected_text(question: str = "Tell me.") -> str:
    """Say what the fault-free answer is."""
    message = ScriptedUpstream("text").expected_message(body(question))
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


class Calls:
    """Calls through clients of one colour, with their sessions in one store."""

    def __init__(self, colour: str, store: str) -> None:
        self.colour = colour
        self.store = store
        self.headers: dict[str, str] = {}
        self.report: Any = None

    def text(self, upstream: ScriptedUpstream, session_id: str | None = None, asked: Any = None, **kept: Any) -> str:
        """Stream one call to its end and join its text."""
        if self.colour == "async":
            return asyncio.run(self._atext(upstream, session_id, asked or body(), kept))
        client = resumable.wrap(client_of(upstream), store=self.store, **kept)
        with client, _within(session_id), client.messages.create(stream=True, **(asked or body())) as stream:
            self.headers, self.report = dict(stream.response.headers), resumable.report(stream)
            return text_of(list(stream))

    def resumed(self, upstream: ScriptedUpstream, session_id: str, **options: Any) -> str:
        """Resume a session by its ID and join its text."""
        if self.colour == "async":
            return asyncio.run(self._aresumed(upstream, session_id, options))
        with (
            client_of(upstream) as client,
            resumable.Sessions(self.store) as sessions,
            sessions.resume(client, session_id, **options) as stream,
        ):
            return text_of(list(stream))

    async def _atext(self, upstream: ScriptedUpstream, session_id: str | None, asked: Any, kept: Any) -> str:
        client = resumable.wrap(aclient_of(upstream), store=self.store, **kept)
        async with client:
            with _within(session_id):
                stream = await client.messages.create(stream=True, **asked)
            async with stream:
                self.headers, self.report = dict(stream.response.headers), resumable.report(stream)
                return text_of([event async for event in stream])

    async def _aresumed(self, upstream: ScriptedUpstream, session_id: str, options: Any) -> str:
        async with (
            aclient_of(upstream) as client,
            resumable.AsyncSessions(self.store) as sessions,
            await sessions.resume(client, session_id, **options) as stream,
        ):
            return text_of([event async for event in stream])


def client_of(upstream: ScriptedUpstream) -> anthropic.Anthropic:
    """Make a client that is not wrapped."""
    return anthropic.Anthropic(api_key="sk-secret", base_url=upstream.url, max_retries=0)


def aclient_of(upstream: ScriptedUpstream) -> anthropic.AsyncAnthropic:
    """Make an async client that is not wrapped."""
    return anthropic.AsyncAnthropic(api_key="sk-secret", base_url=upstream.url, max_retries=0)


def text_of(events: Sequence[Any]) -> str:
    """Join the text deltas of some events."""
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def _within(session_id: str | None) -> Any:
    return resumable.session(session_id) if session_id else _Nothing()


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
