"""Messages and blocks the tests of the scripted upstream are written with."""

from __future__ import annotations

from typing import Any

ASK = {"role": "user", "content": "Tell me."}


def said(*blocks):
    """Make an assistant message."""
    return {"role": "assistant", "content": list(blocks)}


def asked(*blocks):
    """Make a user message."""
    return {"role": "user", "content": list(blocks)}


def text(words):
    """Make a text block."""
    return {"type": "text", "text": words}


def use(mark, kind="tool_use", name="f"):
    """Make a call."""
    return {"type": kind, "id": mark, "name": name, "input": {}}


def result(mark, kind="tool_result"):
    """Make a result."""
    return {"type": kind, "tool_use_id": mark, "content": []}


def joined(content):
    """Join the text of SDK blocks."""
    return "".join(block.text for block in content if block.type == "text")


def plain(content):
    """Give SDK blocks as the API's JSON, without what is empty."""
    return [without_empty(block.model_dump()) for block in content]


def without_empty(value):
    """Drop what is null or an empty object, at any depth."""
    if isinstance(value, dict):
        return {name: without_empty(part) for name, part in value.items() if part is not None and part != {}}
    return [without_empty(part) for part in value] if isinstance(value, list) else value


def facts(caught) -> Any:
    """Give a caught error; what its body holds is for the test to know."""
    return caught.value
