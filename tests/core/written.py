"""Messages as upstream may write them, in grammar: generated, each frame one event."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

from resumable._core.transcript import SERVER_CALLS
from tests.core import streams

WORDS = st.lists(st.sampled_from(["Hello", " rain", "dots.", "\n", " ", "\u200b", "", "a b ", "語"]), max_size=5)


def text_deltas(index: int, words: list[str], extras: list[str]) -> list[bytes]:
    """Write a text block's deltas, with deltas that are not text among them."""
    odd = {"cite": streams.citation(index, "c"), "odd": streams.delta(index, "delta_of_next_year", note="n")}
    pairs = itertools.zip_longest(words, extras)
    return [
        frame
        for word, extra in pairs
        for frame in ([] if word is None else [streams.text(index, word)]) + ([odd[extra]] if extra in odd else [])
    ]


@st.composite
def blocks(draw: st.DrawFn, index: int) -> list[list[bytes]]:
    """Write what opens at *index*: one block, or a server-side call with its result."""
    kind = draw(
        st.sampled_from(["text", "text", "text", "thinking", "redacted", "tool", "server", "unpaired", "other"])
    )
    if kind == "text":
        extras = draw(st.lists(st.sampled_from(["cite", "odd", ""]), max_size=4))
        return [[streams.block(index), *text_deltas(index, draw(WORDS), extras), streams.stop(index)]]
    if kind == "thinking":
        thoughts = [streams.thought(index, word) for word in draw(WORDS)]
        signature = streams.delta(index, "signature_delta", signature="s")
        return [[streams.block(index, "thinking"), *thoughts, signature, streams.stop(index)]]
    if kind == "redacted":
        return [[streams.block(index, "redacted_thinking", data="?"), streams.stop(index)]]
    if kind == "other":
        return [[streams.block(index, "container_upload", file_id="f"), streams.stop(index)]]
    json = draw(st.sampled_from(["", '{"a": "b"}', "{}", '{"a": [1, 2], "s": " "}']))
    if kind == "tool":
        json = draw(st.sampled_from([json, '{"cut": ']))
    cuts = sorted(draw(st.sets(st.integers(0, len(json)), max_size=3)) | {0, len(json)})
    name = "tool_use" if kind == "tool" else draw(st.sampled_from(sorted(SERVER_CALLS)))
    call = [
        streams.block(index, name, id=f"call_{index}", name="f", input={}),
        *(streams.tool_input(index, json[a:b]) for a, b in itertools.pairwise(cuts)),
        streams.stop(index),
    ]
    if kind != "server":
        return [call]
    return [
        call,
        [
            streams.block(index + 1, "web_search_tool_result", tool_use_id=f"call_{index}", content=[]),
            streams.stop(index + 1),
        ],
    ]


@st.composite
def messages(draw: st.DrawFn, *, interleaved: bool = False) -> list[bytes]:
    """Write a whole message, each frame one event, with pings, comments and empty message_deltas between."""
    written: list[list[bytes]] = []
    for _ in range(draw(st.integers(0, 4))):
        written += draw(blocks(len(written)))
    body = [frame for block in written for frame in block]
    if interleaved:
        body = merged(draw, written)
    noise = st.sampled_from([None, None, None, streams.PING, b": keep-alive\n\n", streams.ending(None)])
    frames = [streams.start()]
    for frame in body:
        between = draw(noise)
        frames += [frame] if between is None else [between, frame]
    # Some proxies lose the ending; the message is complete all the same.
    return [*frames, *draw(st.sampled_from([[streams.ending()], [streams.ending()], []])), streams.OVER]


def merged(draw: st.DrawFn, written: list[list[bytes]]) -> list[bytes]:
    """Merge blocks at random; their starts stay in order, and a result comes after its call."""
    waiting = [list(block) for block in written]
    out: list[bytes] = []
    opened = 0
    while any(waiting):
        ready = [at for at, block in enumerate(waiting[: opened + 1]) if block and is_ready(at, waiting, written)]
        at = draw(st.sampled_from(ready))
        opened = max(opened, at + 1)
        out.append(waiting[at].pop(0))
    return out


def is_ready(at: int, waiting: list[list[bytes]], written: list[list[bytes]]) -> bool:
    """Whether the next event of a block may come; that of a result only when its call has stopped."""
    return b"_tool_result" not in written[at][0] or not waiting[at - 1]
