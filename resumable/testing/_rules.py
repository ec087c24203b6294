"""
What the API refuses, and in which words.

Pure: a request goes in, the first broken rule comes out. The order is that of the checks here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ._conversation import Messages, blocks_of, normalised, prefix_mark
from ._signatures import signature_flaw

if TYPE_CHECKING:
    from ._replies import Json

NEW_VERSION = "2026-10-21"
THREADS_BETA = "message-threads-2026-08-12"

_PREFILL = re.compile(r"claude-(?:sonnet|haiku|opus)-4-5(?:-\d{8})?$")
_BOUND = re.compile(r"claude-(?:(?:fable|mythos)-5-[12]|(?:opus|sonnet|haiku)-5-5)(?:-\d{8})?$")
_NO_FORCED_TOOL = frozenset({"claude-opus-5-5", "claude-fable-5-1", "claude-mythos-5-1", "claude-sonnet-5-5"})
_SYSTEM_TURNS = re.compile(r"claude-\w+-5")
_THINKING = frozenset({"thinking", "redacted_thinking"})
_LEAST_BUDGET = 1024


class Refusal(NamedTuple):
    """
    Why a request is refused.

    Attributes:
        status: HTTP status.
        type: The error's type.
        message: The API's sentence.
        error_code: For ``error.details``.
    """

    status: int
    type: str
    message: str
    error_code: str | None = None


def accepts_prefill(model: str) -> bool:
    """
    Tell whether a model continues a trailing assistant message.

    Args:
        model: A model id; an unknown one does not.

    Returns:
        True for the Claude 4.5 family.
    """
    return _PREFILL.match(model) is not None


def binds_thinking(model: str) -> bool:
    """
    Tell whether a model checks that thinking stands where it was thought.

    Args:
        model: A model id.

    Returns:
        True for the models with preserved thinking.
    """
    return _BOUND.match(model) is not None


class Asked(NamedTuple):
    """
    A request as the rules see it.

    Attributes:
        body: As sent.
        messages: As sent, blocks in their long form, turns not merged.
        model: The model asked.
        version: Of the API.
        takes_prefill: Which models continue a trailing assistant message.
        paused: Whether the last message is a paused turn sent back, which is no prefill.
    """

    body: Json
    messages: Messages
    model: str
    version: str
    takes_prefill: Callable[[str], bool]
    paused: bool

    @property
    def thinks(self) -> bool:
        """Whether thinking is on."""
        return (self.body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}

    @property
    def forces_tool(self) -> bool:
        """Whether the caller insists on a tool call."""
        return (self.body.get("tool_choice") or {}).get("type") in {"any", "tool"}

    @property
    def prefill(self) -> Json | None:
        """The trailing assistant message, if there is one."""
        if self.paused or not self.messages or self.messages[-1].get("role") != "assistant":
            return None
        return self.messages[-1]


Rule: TypeAlias = Callable[[Asked], Iterator[str]]


def first_flaw(
    body: Json, *, version: str, prefill: Callable[[str], bool] = accepts_prefill, paused: bool = False
) -> Refusal | None:
    """
    Find the first rule that a request for a message breaks.

    Args:
        body: The parsed body.
        version: The request's ``anthropic-version``.
        prefill: Which models continue a trailing assistant message.
        paused: Whether the last message is a paused turn sent back unchanged.

    Returns:
        ``None`` when the request is accepted.
    """
    for name in ("model", "messages", "max_tokens"):
        if name not in body:
            return Refusal(400, "invalid_request_error", f"{name}: Field required")
    messages = body["messages"]
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return Refusal(400, "invalid_request_error", "messages: Input should be a valid list")
    long_form = [{**message, "content": blocks_of(message.get("content"))} for message in messages]
    asked = Asked(body, long_form, str(body["model"]), version, prefill, paused)
    for rule in _RULES:
        for message in rule(asked):
            return Refusal(400, "invalid_request_error", message)
    return None


def unreadable(messages: object) -> Refusal | None:  # Reason: whatever a client sent
    """
    Find the first role or type that is no string: nothing else can be asked about such a message.

    Args:
        messages: As sent.

    Returns:
        ``None`` when every message can be read; whether it is accepted is for `first_flaw` to say.
    """
    sent: list[Any] = messages if isinstance(messages, list) else []
    for number, message in enumerate(sent):
        if not isinstance(message, dict):
            continue
        where = f"messages.{number}"
        blocks = blocks_of(message.get("content"))
        names = [(f"{where}.role", message.get("role"))]
        names += [(f"{where}.content.{at}.type", block.get("type")) for at, block in enumerate(blocks)]
        for name, value in names:
            if not isinstance(value, str):
                problem = "Field required" if value is None else "Input should be a valid string"
                return Refusal(400, "invalid_request_error", f"{name}: {problem}")
    return None


def _shape(asked: Asked) -> Iterator[str]:
    if not asked.messages:
        yield "messages: at least one message is required"
        return
    if asked.messages[0].get("role") != "user":
        yield 'messages: first message must use the "user" role'
    roles = {"user", "assistant"} | ({"system"} if _SYSTEM_TURNS.match(asked.model) else set[str]())
    for number, message in enumerate(asked.messages):
        if message.get("role") not in roles:
            yield f"messages.{number}.role: Input should be 'user' or 'assistant'"
    if not isinstance(asked.body["max_tokens"], int) or asked.body["max_tokens"] < 1:
        yield "max_tokens: Input should be greater than or equal to 1"
    if any(not str(stop).strip() for stop in asked.body.get("stop_sequences") or ()):
        yield "stop_sequences: each stop sequence must contain non-whitespace"


def _version(asked: Asked) -> Iterator[str]:
    if asked.version < NEW_VERSION:
        return
    for name in ("temperature", "top_p", "top_k"):
        if asked.body.get(name) is not None:
            yield f"{name}: Extra inputs are not permitted"
    for number, message in enumerate(asked.messages):
        for at, block in enumerate(message["content"]):
            if message["role"] == "assistant" and block.get("type") == "document":
                yield f"messages.{number}.content.{at}: `document` blocks are not permitted in assistant messages"
            if message["role"] == "user" and block.get("type") == "text" and block.get("citations"):
                yield f"messages.{number}.content.{at}.citations: text blocks in user messages cannot have citations"


def _texts(asked: Asked) -> Iterator[str]:
    last = len(asked.messages) - 1
    for number, message in enumerate(asked.messages):
        if not message["content"] and not (number == last and message["role"] == "assistant"):
            yield (
                f"messages.{number}: all messages must have non-empty content except for the optional final"
                " assistant message"
            )
        for block in message["content"]:
            if block.get("type") != "text":
                continue
            text = str(block.get("text", ""))
            if not text:
                yield "messages: text content blocks must be non-empty"
            elif not text.strip():
                yield "messages: text content blocks must contain non-whitespace text"


def _thinking_budget(asked: Asked) -> Iterator[str]:
    budget = (asked.body.get("thinking") or {}).get("budget_tokens")
    if budget is None:
        return
    if budget < _LEAST_BUDGET:
        yield f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_LEAST_BUDGET}"
    if asked.body["max_tokens"] <= budget:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`."


def _forced_tool(asked: Asked) -> Iterator[str]:
    if not asked.forces_tool:
        return
    if asked.thinks:
        yield "Thinking may not be enabled when tool_choice forces tool use."
    if asked.model in _NO_FORCED_TOOL:
        yield f"tool_choice: forcing tool use is not supported for {asked.model}"


def _prefill(asked: Asked) -> Iterator[str]:
    prefill = asked.prefill
    if prefill is None:
        return
    if not asked.takes_prefill(asked.model):
        yield ("This model does not support assistant message prefill. The conversation must end with a user message.")
    content = prefill["content"]
    kinds = [block.get("type") for block in content]
    if asked.thinks and (not kinds or kinds[0] not in _THINKING):
        number = len(asked.messages) - 1
        yield (
            f"messages.{number}.content.0.type: Expected `thinking` or `redacted_thinking`, but found"
            f" `{kinds[0] if kinds else 'nothing'}`. When `thinking` is enabled, a final `assistant` message must start"
            " with a thinking block."
        )
    if asked.thinks:
        yield "Prefilling the assistant message is not supported when `thinking` is enabled."
    if any(kind in _THINKING for kind in kinds):
        yield "When thinking is disabled, an `assistant` message in the final position cannot contain `thinking`"
    if kinds and kinds[-1] == "text" and content[-1].get("text", "") != content[-1].get("text", "").rstrip():
        yield "messages: final assistant content cannot end with trailing whitespace"
    yield from _prefill_features(asked)


def _prefill_features(asked: Asked) -> Iterator[str]:
    if asked.forces_tool:
        yield "tool_choice: `any` and `tool` cannot be combined with a final assistant message"
    if (asked.body.get("output_config") or {}).get("format") or asked.body.get("output_format"):
        yield "output_config.format: structured outputs cannot be combined with a final assistant message"
    if any(_cites(block) for message in asked.messages for block in message["content"]):
        yield "citations: cannot be combined with a final assistant message"


def _cites(block: Mapping[str, Any]) -> bool:
    return block.get("type") in {"document", "search_result"} and bool((block.get("citations") or {}).get("enabled"))


def _thinking_blocks(asked: Asked) -> Iterator[str]:
    for number, message in enumerate(asked.messages):
        if message["role"] != "assistant" or not message["content"]:
            continue
        if message["content"][-1].get("type") in _THINKING:
            yield f"messages.{number}: The final block in an assistant message cannot be `thinking`."
        prefix = prefix_mark(asked.body, normalised(asked.messages[:number])) if binds_thinking(asked.model) else None
        yield from _signatures(asked, number, message["content"], prefix)


def _signatures(asked: Asked, number: int, content: list[Json], prefix: str | None) -> Iterator[str]:
    earlier: str | None = None
    for at, block in enumerate(content):
        if block.get("type") != "thinking":
            earlier = None
            continue
        signed = block.get("signature")
        if signed is None:
            yield f"messages.{number}.content.{at}.thinking.signature: Field required"
            continue
        flaw = signature_flaw(str(signed), asked.model, prefix, str(block.get("thinking", "")))
        if flaw is not None:
            yield f"messages.{number}.content.{at}: {flaw}"
        ordinal = str(signed).split(".")[-3] if not flaw else None
        # A block missing inside a run of thinking breaks it; one missing at its ends does not.
        if prefix is not None and earlier and ordinal and int(ordinal) != int(earlier) + 1:
            yield f"messages.{number}.content.{at}: Invalid `signature` in `thinking` block"
        earlier = ordinal


def _tool_pairs(asked: Asked) -> Iterator[str]:
    seen: set[str] = set()
    for number, message in enumerate(asked.messages):
        if message["role"] != "assistant":
            continue
        calls = [str(block.get("id")) for block in message["content"] if block.get("type") == "tool_use"]
        if seen & set(calls) or len(set(calls)) < len(calls):
            yield "messages: `tool_use` ids must be unique"
        seen.update(calls)
        following = asked.messages[number + 1]["content"] if number + 1 < len(asked.messages) else []
        answered = {str(block.get("tool_use_id")) for block in _leading_results(following)}
        missing = [call for call in calls if call not in answered]
        if missing:
            yield (
                f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after:"
                f" {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the"
                " next message."
            )


def _leading_results(content: list[Json]) -> Iterator[Json]:
    for block in content:
        if block.get("type") != "tool_result":
            return
        yield block


def _tool_results(asked: Asked) -> Iterator[str]:
    for number, message in enumerate(asked.messages):
        if message["role"] != "user":
            continue
        before = asked.messages[number - 1]["content"] if number else []
        calls = {str(block.get("id")) for block in before if block.get("type") == "tool_use"}
        for at, block in enumerate(message["content"]):
            if block.get("type") == "tool_result" and str(block.get("tool_use_id")) not in calls:
                yield (
                    f"messages.{number}.content.{at}: unexpected `tool_use_id` found in `tool_result` blocks:"
                    f" {block.get('tool_use_id')}. Each `tool_result` block must have a corresponding `tool_use` block"
                    " in the previous message."
                )


def _server_pairs(asked: Asked) -> Iterator[str]:
    for number, message in enumerate(asked.messages):
        if message["role"] != "assistant" or (asked.paused and number == len(asked.messages) - 1):
            continue
        results = {str(block.get("tool_use_id")) for block in message["content"] if "tool_use_id" in block}
        calls = [block for block in message["content"] if block.get("type") in {"server_tool_use", "mcp_tool_use"}]
        for call in calls:
            if str(call.get("id")) not in results:
                name = call.get("name")
                yield (
                    f"messages.{number}: `{name}` tool use with id `{call.get('id')}` was found without a corresponding"
                    f" `{name}_tool_result` block"
                )
        known = {str(call.get("id")) for call in calls}
        for orphan in results - known:
            yield f"messages.{number}: unexpected `tool_use_id` found in a server tool's result: {orphan}"


_RULES: tuple[Rule, ...] = (
    _shape,
    _version,
    _texts,
    _thinking_budget,
    _forced_tool,
    _prefill,
    _thinking_blocks,
    _tool_pairs,
    _tool_results,
    _server_pairs,
)
