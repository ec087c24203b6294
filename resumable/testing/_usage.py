"""
The input side of the usage: how many tokens a request has, and which of them came from the prompt cache.

A token is four bytes of canonical JSON here; the cache remembers every prefix that a ``cache_control`` marked.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from ._conversation import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._replies import Json

_BYTES_PER_TOKEN = 4


def input_tokens(body: Json) -> int:
    """
    Count the tokens of a request.

    Args:
        body: The request.

    Returns:
        [tokens] At least 1.
    """
    return max(1, sum(len(part) for part, _ in _parts(body)) // _BYTES_PER_TOKEN)


def _parts(body: Json) -> Iterator[tuple[bytes, bool]]:
    """Give the prompt's blocks in the order of the cache, and whether each is marked."""
    for tool in body.get("tools") or ():
        yield _part(tool)
    for block in blocks_of(body.get("system")):
        yield _part(block)
    for message in body.get("messages") or ():
        for block in blocks_of(message.get("content")):
            yield _part(block)


def _part(block: Json) -> tuple[bytes, bool]:
    marked = block.get("cache_control") is not None
    plain = {name: value for name, value in block.items() if name != "cache_control"}
    return msgspec.json.encode(plain, order="deterministic"), marked


class PromptCache:
    """The prefixes one upstream has seen with a ``cache_control``; it never forgets and is not shared."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def usage(self, body: Json) -> Json:
        """
        Give the usage of a request's input, and remember its marked prefixes.

        Args:
            body: The request.

        Returns:
            The fields of the API's ``usage`` that are known before the first output token.
        """
        digest = hashlib.sha256()
        total = read = written = 0
        for part, marked in _parts(body):
            digest.update(part)
            total += len(part)
            if not marked:
                continue
            mark = digest.copy().digest()
            if mark in self._known:
                read = total
            written = total
            self._known.add(mark)
        read, written, total = (count // _BYTES_PER_TOKEN for count in (read, written, total))
        created = max(0, written - read)
        return {
            "input_tokens": max(1, total - read - created),
            "cache_creation_input_tokens": created,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": created, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
            "inference_geo": "not_available",
        }
