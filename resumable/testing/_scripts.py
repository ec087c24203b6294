"""
Ready-made scripts: what the model says to a conversation.

Each is a function from a conversation to a reply, deterministic, and worded anew for every plain retry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from ._conversation import Conversation
from ._replies import Block, Json, Raw, Reply, ServerToolResult, ServerToolUse, Text, Thinking, ToolUse

if TYPE_CHECKING:
    import random

Script: TypeAlias = Callable[[Conversation], Reply]

_OPENINGS = (
    "Sure|Gladly|Certainly|Here it is|Right|Well|Good question|In brief|First of all|"
    "Now|To begin with|Looking at this|There is more to it|Yes|As it happens|Broadly|Put simply|Often"
)
_OPENERS: Sequence[str] = tuple(_OPENINGS.split("|"))
_VOCABULARY = (
    "river stone answer light market garden engine signal winter harbour letter bridge window forest "
    "number reason island pattern summer machine paper valley question silver morning journey copper "
    "language shadow castle ocean measure mountain thread village music copies carries follows returns "
    "remains becomes reaches divides explains gathers quiet narrow early bright common heavy simple "
    "distant hollow careful plain steady ancient under beyond within without because although whenever "
    "therefore between against toward despite"
)
_WORDS: Sequence[str] = tuple(_VOCABULARY.split())
_SHARE_OF_COMMAS = 0.3
_UNICODE = (
    "\u6cb3\u6d41\u5f88\u957f\uff0c\u6c34\u5f88\u6e05\u3002",
    "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3067\u3059\u3002",
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1e9\U0001f1ea",
    "\U0001f44d\U0001f3fd",
    "na\u00efve caf\u00e9",
    "e\u0301 combining",
    "line\u2028separator",
    "paragraph\u2029separator",
    "next\u0085line",
    "no\u00a0break",
    "\u05e9\u05dc\u05d5\u05dd",
    "\u0645\u0631\u062d\u0628\u0627",
    "\u0440\u0435\u043a\u0430",
    "\U0001d518\U0001d52b\U0001d526",
)


def sentence(chance: random.Random) -> str:
    """
    Make one sentence of nonsense.

    Args:
        chance: Where the words come from.

    Returns:
        A sentence that ends with a full stop.
    """
    words = chance.choices(_WORDS, k=chance.randint(5, 14))
    if chance.random() < _SHARE_OF_COMMAS:  # Reason: a share, not a constant with a meaning
        words[len(words) // 2] += ","
    return " ".join(words).capitalize() + "."


def prose(chance: random.Random, sentences: int = 6) -> str:
    """
    Make a paragraph that opens differently for every source of chance.

    Args:
        chance: Where the words come from.
        sentences: How many.

    Returns:
        The paragraph, without a line break at its end.
    """
    opener = f"{chance.choice(_OPENERS)}, {chance.choice(_WORDS)} {chance.choice(_WORDS)}:"
    return " ".join([opener, *(sentence(chance) for _ in range(sentences))])


def markdown(chance: random.Random, sections: int = 3) -> str:
    """
    Make a long text with headings, lists, code and a table.

    Args:
        chance: Where the words come from.
        sections: How many; each is about 1,000 characters.

    Returns:
        Markdown.
    """
    parts = [prose(chance)]
    for number in range(1, sections + 1):
        words = chance.sample(_WORDS, 8)
        items = "\n".join(f"- **{word}**: {sentence(chance)}" for word in words[:3])
        rows = "\n".join(f"| {word} | {chance.randint(1, 999)} |" for word in words[3:6])
        code = f"def {words[6]}(n):\n    if n < {number}:\n        return 1\n    return n * {words[6]}(n - 1)\n"
        parts += [
            f"## {number}. {words[0].capitalize()} {words[1]}",
            prose(chance),
            items,
            f"```python\n{code}```",
            f"| name | value |\n|------|------:|\n{rows}",
        ]
    return "\n\n".join([*parts, prose(chance, 3)])


def conforming(schema: Any, chance: random.Random, root: Any = None) -> Any:  # noqa: ANN401  # Reason: any JSON  # Reason: any JSON
    """
    Make a value that a JSON schema accepts.

    Args:
        schema: The schema; keywords beyond types, ``enum``, ``const``, ``anyOf`` and ``$ref`` are ignored.
        chance: Where the values come from.
        root: Where references point into; ``None`` is the schema itself.

    Returns:
        A JSON value.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict):
        return chance.choice(_WORDS)
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        return conforming(root.get("$defs", {}).get(name), chance, root)
    options = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if options:
        return chance.choice(options)
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return conforming(schema[name][0], chance, root)
    return _of_type(schema, chance, root)


def _of_type(schema: Json, chance: random.Random, root: object) -> Any:  # noqa: ANN401  # Reason: any JSON  # Reason: any JSON
    kind = schema.get("type")
    if kind == "object":
        return {name: conforming(part, chance, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [conforming(schema.get("items"), chance, root) for _ in range(chance.randint(2, 4))]
    plain: Json = {
        "integer": chance.randint(0, 1000),
        "number": chance.randint(0, 1000) / 4,
        "boolean": chance.choice((True, False)),
        "null": None,
    }
    return plain.get(str(kind), " ".join(chance.choices(_WORDS, k=4)))


def _text(conversation: Conversation) -> Reply:
    return Reply([Text(prose(conversation.chance()))])


def _markdown(conversation: Conversation) -> Reply:
    return Reply([Text(markdown(conversation.chance()))])


def _unicode(conversation: Conversation) -> Reply:
    chance = conversation.chance()
    parts = [f"{chance.choice(_WORDS)} {part}" for part in chance.sample(_UNICODE, len(_UNICODE))]
    return Reply([Text(" ".join([*parts, chance.choice(_WORDS)]))])


def _thinking(conversation: Conversation, *, omitted: bool = False) -> Reply:
    chance = conversation.chance()
    return Reply([Thinking(prose(chance, 3), omitted=omitted), Text(prose(chance))])


def _thinking_omitted(conversation: Conversation) -> Reply:
    return _thinking(conversation, omitted=True)


def _calls(conversation: Conversation, count: int) -> list[Block]:
    chance = conversation.chance()
    tools = [tool for tool in conversation.body.get("tools") or () if "input_schema" in tool]
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    named = tools or [{"name": "get_weather", "input_schema": schema}]
    chosen = [named[number % len(named)] for number in range(count)]
    return [ToolUse(str(tool["name"]), conforming(tool["input_schema"], chance)) for tool in chosen]


def _tools(conversation: Conversation, *, count: int = 1, thinks: bool = False) -> Reply:
    chance = conversation.chance()
    if conversation.answers_tools:
        return Reply([Text(prose(chance))])
    before: list[Block] = [Thinking(prose(chance, 2))] if thinks else []
    return Reply([*before, Text(prose(chance, 2)), *_calls(conversation, count)])


def _parallel_tools(conversation: Conversation) -> Reply:
    return _tools(conversation, count=3)


def _thinking_tools(conversation: Conversation) -> Reply:
    return _tools(conversation, thinks=True)


def _results(chance: random.Random) -> list[Json]:
    words = chance.sample(_WORDS, 4)
    return [
        {
            "type": "web_search_result",
            "url": f"https://example.com/{first}",
            "title": f"{first} {second}",
            "encrypted_content": f"{first}{chance.randint(0, 10**9)}",
            "page_age": None,
        }
        for first, second in (words[:2], words[2:])
    ]


def _server_tools(conversation: Conversation) -> Reply:
    chance = conversation.chance()
    search = ServerToolUse("web_search", {"query": " ".join(chance.choices(_WORDS, k=4))})
    lead, answer = prose(chance, 2), "\n\n" + prose(chance, 4)
    return Reply([Text(lead), search, ServerToolResult(_results(chance)), Text(answer)])


def _parallel_server_tools(conversation: Conversation) -> Reply:
    chance = conversation.chance()
    calls = [ServerToolUse("web_search", {"query": " ".join(chance.choices(_WORDS, k=3))}) for _ in range(2)]
    results = [ServerToolResult(_results(chance), call=number) for number in range(2)]
    return Reply([Text(prose(chance, 2)), *calls, *results, Text("\n\n" + prose(chance, 4))])


def _citations(conversation: Conversation) -> Reply:
    chance = conversation.chance()
    blocks: list[Block] = [Text(prose(chance, 1) + " ")]
    for number in range(3):
        cited = sentence(chance)
        location: Json = {
            "type": "char_location",
            "cited_text": cited,
            "document_index": 0,
            "document_title": "notes",
            "start_char_index": 100 * number,
            "end_char_index": 100 * number + len(cited),
            "file_id": None,
        }
        blocks += [Text(cited, citations=(location,)), Text(f" {sentence(chance)} ")]
    return Reply([*blocks, Text(sentence(chance))])


def _json(conversation: Conversation) -> Reply:
    chance = conversation.chance()
    shape = (conversation.body.get("output_config") or {}).get("format") or conversation.body.get("output_format") or {}
    properties = {
        "title": {"type": "string"},
        "pages": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    }
    schema = shape.get("schema") or {"type": "object", "properties": properties}
    return Reply([Text(msgspec.json.encode(conforming(schema, chance)).decode())])


def _refusal(conversation: Conversation) -> Reply:
    details = {"type": "refusal", "category": None, "explanation": "This request was declined."}
    return Reply([Text(sentence(conversation.chance()))], stop_reason="refusal", stop_details=details)


def _pause_turn(conversation: Conversation) -> Reply:
    if conversation.messages[-1]["role"] == "assistant":
        return _text(conversation)
    chance = conversation.chance()
    search = ServerToolUse("web_search", {"query": " ".join(chance.choices(_WORDS, k=4))})
    blocks: list[Block] = [Text(prose(chance, 2)), search, ServerToolResult(_results(chance))]
    return Reply(blocks, stop_reason="pause_turn")


def _max_tokens(conversation: Conversation) -> Reply:
    return Reply([Text(prose(conversation.chance()))], stop_reason="max_tokens")


def _stop_sequence(conversation: Conversation) -> Reply:
    asked = conversation.body.get("stop_sequences") or ["END"]
    return Reply([Text(f"{prose(conversation.chance(), 3)} {asked[0]} and more.")], stop_reason="end_turn")


def _redacted(conversation: Conversation) -> Reply:
    chance = conversation.chance()
    block = {"type": "redacted_thinking", "data": f"redacted{chance.randint(0, 10**9)}"}
    return Reply([Raw(block), Text(prose(chance))])


def _auto(conversation: Conversation) -> Reply:
    """Answer as the request suggests: structured output, a tool call, thinking before text, or text."""
    body = conversation.body
    if (body.get("output_config") or {}).get("format") or body.get("output_format"):
        return _json(conversation)
    thinks = (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}
    if any("input_schema" in tool for tool in body.get("tools") or ()):
        return _tools(conversation, thinks=thinks)
    if thinks:
        return _thinking(conversation, omitted=body["thinking"].get("display") == "omitted")
    return _text(conversation)


SCRIPTS: Mapping[str, Script] = {
    "auto": _auto,
    "text": _text,
    "markdown": _markdown,
    "unicode": _unicode,
    "thinking": _thinking,
    "thinking_omitted": _thinking_omitted,
    "redacted_thinking": _redacted,
    "tools": _tools,
    "parallel_tools": _parallel_tools,
    "thinking_tools": _thinking_tools,
    "server_tools": _server_tools,
    "parallel_server_tools": _parallel_server_tools,
    "citations": _citations,
    "json": _json,
    "refusal": _refusal,
    "pause_turn": _pause_turn,
    "max_tokens": _max_tokens,
    "stop_sequence": _stop_sequence,
}


def as_script(reply: str | Reply | Script | Sequence[Reply]) -> Script:
    """
    Make a script of whatever a user gave.

    Args:
        reply: The name of a ready-made script, a script, a reply, or a reply for each plain retry in turn.

    Returns:
        A script.

    Raises:
        ValueError: No ready-made script has that name.
    """
    if isinstance(reply, str):
        if reply not in SCRIPTS:
            known = ", ".join(SCRIPTS)
            message = f"{reply!r} is not a ready-made script: {known}"
            raise ValueError(message)
        return SCRIPTS[reply]
    if isinstance(reply, Reply):
        return lambda conversation: reply.varied(conversation.variant)
    if callable(reply):
        return reply
    return lambda conversation: reply[conversation.variant % len(reply)]
