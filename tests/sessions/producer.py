"""A process that streams one kept answer and prints what its caller gets, to be killed."""

from __future__ import annotations

import sys

import anthropic

import resumable
from tests.sessions.calls import body


def main(upstream: str, store: str, session_id: str) -> None:
    """Stream to the end, if nobody kills us."""
    client = resumable.wrap(anthropic.Anthropic(api_key="sk-secret", base_url=upstream), store=store, lease=2.0)
    with resumable.session(session_id), client.messages.create(stream=True, **body()) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                sys.stdout.buffer.write(event.delta.text.encode())
                sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
