"""Get the whole message of a session, as the SDK's own stream: replayed, then live, then continued upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anthropic import AsyncStream, Stream
from anthropic.types import Message, RawMessageStreamEvent

from resumable._recording._context import within
from resumable._recording._fields import Request
from resumable.middleware import Resumable

if TYPE_CHECKING:
    import anthropic

    from resumable.store import AsyncStore, Store


def resume(
    client: anthropic.Anthropic, store: Store, session_id: str, request: bytes, principal: str | None
) -> Stream[RawMessageStreamEvent]:
    """Send the session's own request again, under its ID: what is there is not sent."""
    kept = Request.decode(request)
    with within(session_id, store, principal):
        return _with_recovery(client).post(  # type: ignore[no-any-return]  # Reason: either colour's
            kept.path,
            cast_to=Message,
            body=kept.body,
            options={"headers": kept.headers},
            stream=True,
            stream_cls=Stream[RawMessageStreamEvent],
        )


async def aresume(
    client: anthropic.AsyncAnthropic, store: AsyncStore, session_id: str, request: bytes, principal: str | None
) -> AsyncStream[RawMessageStreamEvent]:
    """As `resume`."""
    kept = Request.decode(request)
    with within(session_id, store, principal):
        return await _with_recovery(client).post(  # type: ignore[no-any-return]  # Reason: either colour's
            kept.path,
            cast_to=Message,
            body=kept.body,
            options={"headers": kept.headers},
            stream=True,
            stream_cls=AsyncStream[RawMessageStreamEvent],
        )


def _with_recovery(client: Any) -> Any:  # noqa: ANN401  # Reason: either colour's
    if any(isinstance(one, Resumable) for one in client.middleware):
        return client
    return client.with_middleware(Resumable())
