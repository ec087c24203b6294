"""
A process of the demo's second act: it streams one kept answer, and prints what its caller gets.

Run as a program with three arguments: the upstream's URL, the store's, and the ID of the session.
"""

from __future__ import annotations

import sys

import anthropic

import resumable
from resumable.cli._storm import LEASE, body


def main(upstream: str, store: str, session_id: str) -> None:
    """Speak until the end, or until somebody kills this process."""
    # What the environment says of proxies is not about our own machine.
    direct = anthropic.DefaultHttpxClient(trust_env=False, mounts={"all://127.0.0.1": None})
    bare = anthropic.Anthropic(api_key="none", base_url=upstream, http_client=direct)
    client = resumable.wrap(bare, store=store, lease=LEASE)
    out = sys.stdout.buffer
    with client, resumable.session(session_id), client.messages.create(stream=True, **body()) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                out.write(event.delta.text.encode())
                out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
