"""The grammar of a message and the ways to read one, written apart from the library's own."""

from __future__ import annotations

import json
from typing import Any

_TEXTS = {"text_delta": "text", "thinking_delta": "thinking"}


def events_of(body: bytes) -> list[dict[str, Any]]:
    """Read a whole body as server-sent events, as a client that skips pings, comments and nameless records would."""
    events: list[dict[str, Any]] = []
    for record in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line.partition(b": ") for line in record.split(b"\n")]
        # The last name counts: a record that a ping came into the middle of has two. Source: WHATWG HTML, 9.2.6.
        name = next((value for field, _, value in reversed(lines) if field == b"event"), None)
        data = b"\n".join(value for field, _, value in lines if field == b"data")
        if name is not None and name != b"ping" and data:
            # The one record whose data may be any text: gateways send pages there, and clients show them.
            fields: dict[str, Any] = {"type": "error"} if name == b"error" else json.loads(data)
            events.append({**fields, "event": name.decode()})
    return events


def flaw(events: list[dict[str, Any]], *, whole: bool) -> str | None:
    """
    Say what is wrong with the events of a message, or `None`.

    Args:
        events: Without pings.
        whole: Whether the message must be complete; otherwise a prefix of one will do.
    """
    if any(event.get("event", event["type"]) != event["type"] for event in events):
        return "a record whose name is not its type"
    known = [event for event in events if event["type"] not in {"ping", "message_note"}]
    kinds = [event["type"] for event in known]
    if not kinds:
        return "no event at all" if whole else None
    if kinds[0] != "message_start" or kinds.count("message_start") > 1:
        return "not exactly one message_start, at the head"
    if "message_stop" in kinds[:-1]:
        return "something after message_stop"
    if whole and kinds[-1] != "message_stop":
        return "no ending"
    return _flaw_of_blocks(known, whole=whole)


def _flaw_of_blocks(known: list[dict[str, Any]], *, whole: bool) -> str | None:
    opened: dict[int, str] = {}
    stopped: set[int] = set()
    for event in known:
        kind, index = event["type"], event.get("index")
        if kind == "content_block_start":
            if index != len(opened):
                return "indices that are not dense"
            opened[index] = event["content_block"]["type"]
        elif kind in {"content_block_delta", "content_block_stop"}:
            if index not in opened or index in stopped:
                return f"{kind} for a block that is not open"
            stopped |= {index} if kind == "content_block_stop" else set()
        elif kind in {"message_delta", "message_stop"} and event_ends(event) and len(stopped) < len(opened):
            return "the message ends with a block open"
        elif kind not in {"message_start", "message_delta", "message_stop"}:
            return f"an unknown event: {kind}"
    return "a block that never stops" if whole and len(stopped) < len(opened) else None


def event_ends(event: dict[str, Any]) -> bool:
    """Whether an event ends the message."""
    return event["type"] == "message_stop" or event.get("delta", {}).get("stop_reason") is not None


def content_of(events: list[dict[str, Any]], *, strict: bool = True) -> list[dict[str, Any]]:
    """Add events up to content blocks, as a client would; unless *strict*, input that does not parse is left out."""
    blocks: list[dict[str, Any]] = []
    inputs: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
            inputs[event["index"]] = inputs.get(event["index"], "") + event["delta"]["partial_json"]
        elif event["type"] == "content_block_delta":
            _add(event["delta"], blocks[event["index"]])
    for index, text in inputs.items():
        if text and strict:
            blocks[index]["input"] = json.loads(text)
    return blocks


def _add(delta: dict[str, Any], block: dict[str, Any]) -> None:
    if delta["type"] == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    elif delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    else:
        field = _TEXTS[delta["type"]]
        block[field] = block.get(field, "") + delta[field]


def text_of(content: list[dict[str, Any]]) -> str:
    """Join the text of content blocks."""
    return "".join(block["text"] for block in content if block["type"] == "text")


def ending_of(events: list[dict[str, Any]]) -> tuple[str | None, dict[str, Any]]:
    """Give the `stop_reason` and the usage of the last `message_delta`; of none, `None` and no usage."""
    last: dict[str, Any] = next((event for event in reversed(events) if event["type"] == "message_delta"), {})
    return last.get("delta", {}).get("stop_reason"), last.get("usage", {})
