"""
A transcript and its request into the request that continues it, or the reason why none can.

Which strategies there are, which model and request allows which, and what each one's body is.
"""

from __future__ import annotations

import math
import re
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from resumable._core.budget import ESTIMATE_ERROR, estimate_tokens, remaining_tokens, surfaced_tokens
from resumable._core.errors import Obstacle
from resumable._core.hold import is_structured, split_blank_end
from resumable._core.threads import previous_id
from resumable._core.transcript import SERVER_CALLS, THINKING, is_result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resumable._core.transcript import Block, Transcript


class Strategy(StrEnum):
    """How an attempt relates to what was delivered."""

    ORIGINAL = "original"
    RESTART = "restart"
    PREFILL = "prefill"
    USER_TURN = "user_turn"
    RESTART_AND_VERIFY = "restart_and_verify"


#: In the user's voice: a notice in the system's name reads like an injection, and makes models stop.
DEFAULT_INSTRUCTION: Final = (
    "My connection dropped while your answer was arriving. The last words that reached me are:\n\n"
    "<received>{anchor}</received>\n\n"
    "Please carry on from exactly there. Begin by repeating those last words once, character for character and "
    "without the tags, then go straight on with what comes next, as if there had been no interruption: no comment, "
    "no heading, no new code fence, nothing from before them. If your answer was already complete at that point, "
    "repeat the last words and stop."
)
#: After a block that is complete in itself there are no last words to repeat.
_INSTRUCTION_AFTER_BLOCK: Final = (
    "My connection dropped while your answer was arriving; everything up to here reached me. "
    "Please carry on with what comes next, as if there had been no interruption, without a comment on it."
)

#: [tokens] What a continuation may spend on thinking that the caller will not see, where the request sets no budget.
_THINKING_ALLOWANCE: Final = 4096
#: [tokens] Limits up to here can be exceeded by the anchor's echo without touching any model's maximum.
_SAFE_MAX_TOKENS: Final = 4096
_SHORTEST_THINKING: Final = 1024

#: Blocks that may be closed where they were cut: text and thinking are handled, the others arrive whole in their start.
_CLOSABLE: Final = THINKING | {"text", "container_upload", "fallback"}

# Source: the API's error reference, "prefill not supported": the 4.5 family is the last that accepts it.
_PREFILL_MODELS: Final = re.compile(r"(?:.*[./])?claude-(?:haiku|sonnet|opus)-4-5(?:[-@]\d{8})?(?:-v\d+(?::\d+)?)?")


class Situation(Enum):
    """What the delivered transcript calls for; the rows of the table in their order."""

    FINISHED = "finished"  # it has a stop_reason
    TOOL_USE = "tool_use"  # it holds a complete tool call: a continuation would be refused
    STUCK = "stuck"  # an open block was delivered that nothing can continue
    RESTART = "restart"  # nothing, only whitespace, or only thinking
    ANCHORED = "anchored"  # it ends in text
    AFTER_BLOCK = "after_block"  # it ends in another complete block


class Plan(msgspec.Struct, frozen=True):
    """
    One attempt that is to be made.

    Attributes:
        strategy: How it relates to what was delivered.
        body: The request's JSON.
        anchor: Last words delivered, as quoted; empty where none are.
        limit: [tokens] Most that may surface where the body allows more than that, or `None`.
    """

    strategy: Strategy
    body: dict[str, Any]
    anchor: str = ""
    limit: int | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the body is one that the caller did not write."""
        return self.strategy in {Strategy.PREFILL, Strategy.USER_TURN}


class Memory:
    """What models accepted or refused, for as long as that can be trusted; shared by sessions."""

    def __init__(self, ttl: float = 3600.0) -> None:
        """
        Start with nothing refused.

        Args:
            ttl: [s] How long a refusal is remembered.
        """
        self._ttl = ttl
        self._refused: dict[str, float] = {}

    def takes_prefill(self, model: str, now: float) -> bool:
        """Whether *model* is worth a prefill: of the 4.5 family, and not known to have refused."""
        until = self._refused.get(model)
        return _PREFILL_MODELS.fullmatch(model) is not None and (until is None or now >= until)

    def refuse_prefill(self, model: str, now: float) -> None:
        """Remember that *model* refused a prefill."""
        self._refused[model] = now + self._ttl

    def held_back(self) -> float:
        """Say how long [s] other workers ask to hold requests back, as of now; here nobody does."""
        return 0.0


def survey(transcript: Transcript) -> Situation:
    """Find the first row of the table that matches what was delivered."""
    blocks = transcript.blocks
    if transcript.stop_reason is not None:
        return Situation.FINISHED
    whole = [block.closed and block.tool_input is not None for block in blocks if block.type == "tool_use"]
    if any(whole):
        # One that was delivered torn must not look complete: a client would run it.
        return Situation.TOOL_USE if all(whole) else Situation.STUCK
    if obstacle(blocks) is not None:
        return Situation.STUCK
    kept = _without_trailing_thinking(blocks)
    if not kept:
        return Situation.RESTART
    return Situation.ANCHORED if kept[-1].type == "text" else Situation.AFTER_BLOCK


def request_obstacle(body: dict[str, Any]) -> Obstacle | None:
    """Why no continuation of this request can be made, whatever was delivered, or `None`."""
    if previous_id(body) is not None:
        return Obstacle.THREAD
    return Obstacle.CREDIT if body.get("fallback_credit_token") else None


def obstacle(blocks: Sequence[Block]) -> str | None:
    """Type of a delivered block that stands in the way of every continuation, or `None`."""
    answered = {block.start.get("tool_use_id") for block in blocks if is_result(block.type)}
    for block in blocks:
        if not block.closed and not (block.type in _CLOSABLE or is_result(block.type)):
            return block.type
        if block.type in SERVER_CALLS and block.start.get("id") not in answered:
            return block.type
        if block.type == "tool_use" and block.tool_input is None:
            return block.type
    return None


def _is_blank(block: Block) -> bool:
    return block.type == "text" and not split_blank_end(block.text)[0]


def _without_trailing_thinking(blocks: Sequence[Block]) -> list[Block]:
    """List the blocks up to the last that is neither thinking nor blank."""
    kept = list(blocks)
    while kept and (kept[-1].type in THINKING or _is_blank(kept[-1])):
        kept.pop()
    return kept


def tail_text(transcript: Transcript) -> tuple[str, str]:
    """Text of the block a continuation joins on to, and the whitespace it ends in."""
    return split_blank_end(_without_trailing_thinking(transcript.blocks)[-1].text)


def strategies(
    situation: Situation, body: dict[str, Any], allowed: frozenset[str], memory: Memory, now: float
) -> list[Strategy]:
    """
    List the strategies worth trying, best first.

    Args:
        situation: What the transcript calls for.
        body: The caller's request.
        allowed: Names out of `Strategy` that the policy allows.
        memory: What models refused before.
        now: [s] The driver's clock.
    """
    if situation is Situation.RESTART:
        ordered = [Strategy.RESTART]
    elif is_structured(body) and situation is Situation.ANCHORED:
        # Its text is held until it is whole, so it got here only by the caller's choice to have it live.
        ordered = [Strategy.RESTART_AND_VERIFY]
    else:
        ordered = [Strategy.USER_TURN]
        if situation is Situation.ANCHORED and takes_prefill(body, memory, now):
            ordered.insert(0, Strategy.PREFILL)
    return [strategy for strategy in ordered if strategy.value in allowed]


def takes_prefill(body: dict[str, Any], memory: Memory, now: float) -> bool:
    """Whether model and request allow the answer to be prefilled."""
    choice = body.get("tool_choice")
    return (
        memory.takes_prefill(str(body.get("model", "")), now)
        and not is_thinking(body)
        and not is_structured(body)
        and not is_citing(body)
        and not (isinstance(choice, dict) and choice.get("type") in {"any", "tool"})
    )


def is_thinking(body: dict[str, Any]) -> bool:
    """Whether the request turns thinking on."""
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") != "disabled"


def is_citing(body: dict[str, Any]) -> bool:
    """Whether the answer may carry citations: documents with citations on, or tools that cite by themselves."""
    return _any_dict(body.get("messages"), _turns_citations_on) or any(
        isinstance(tool, dict) and str(tool.get("type", "")).startswith(("web_search", "web_fetch"))
        for tool in body.get("tools") or ()
    )


def _turns_citations_on(block: dict[str, Any]) -> bool:
    citations = block.get("citations")
    return isinstance(citations, dict) and bool(citations.get("enabled"))


def _any_dict(value: object, matches: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether any dict among *value* and what it holds matches."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if matches(item):
                return True
            stack += item.values()
        elif isinstance(item, list):
            stack += item
    return False


def plan(
    strategy: Strategy, body: dict[str, Any], transcript: Transcript, anchor: str, instruction: str
) -> Plan | None:
    """
    Build the request of an attempt.

    Args:
        strategy: One of those `strategies` listed.
        body: The caller's request; it is not changed.
        transcript: What was delivered.
        anchor: Last words delivered, or empty after a block that is no text.
        instruction: Template with one `{anchor}`.

    Returns:
        The plan; `None` when the caller's `max_tokens` are used up beyond doubt.
    """
    if strategy not in {Strategy.PREFILL, Strategy.USER_TURN}:
        return Plan(strategy, body)
    limit = body.get("max_tokens")
    remaining = None
    if isinstance(limit, int):
        remaining = remaining_tokens(limit, surfaced_tokens(transcript.blocks))
        if remaining is None:
            return None
    assistant = _assistant_turn(transcript)
    changed = {**body, "messages": _with_assistant(body.get("messages") or [], assistant)}
    if strategy is Strategy.PREFILL:
        if remaining is not None:
            changed["max_tokens"] = remaining
    else:
        text = instruction.format(anchor=anchor) if anchor else _INSTRUCTION_AFTER_BLOCK
        changed["messages"].append({"role": "user", "content": [{"type": "text", "text": text}]})
        if remaining is not None:
            _allow(changed, remaining, estimate_tokens(anchor), int(limit or 0))
    _carry_container(changed, transcript)
    surplus = None
    if remaining is not None and strategy is Strategy.USER_TURN and is_thinking(body):
        # The body allows more than remains; what is cut on an estimate is cut only beyond its error.
        surplus = math.ceil(remaining * (1 + ESTIMATE_ERROR))
    return Plan(strategy, changed, anchor if strategy is Strategy.USER_TURN else "", surplus)


def _assistant_turn(transcript: Transcript) -> list[dict[str, Any]]:
    """Write what was delivered as a turn the API takes: no unsigned thinking, no blank text, no blank end."""
    kept = [
        block.content()
        for block in _without_trailing_thinking(transcript.blocks)
        if not _is_blank(block) and (block.type != "thinking" or block.signature or block.start.get("signature"))
    ]
    if kept[-1].get("type") == "text":
        kept[-1]["text"] = split_blank_end(kept[-1]["text"])[0]
    return kept


def _with_assistant(messages: list[Any], content: list[dict[str, Any]]) -> list[Any]:
    """Append an assistant turn, or merge it into the prefill of the caller's own that is there already."""
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return [*messages, {"role": "assistant", "content": content}]
    own = last.get("content") or []
    blocks = [{"type": "text", "text": own}] if isinstance(own, str) else list(own)
    if blocks and content and blocks[-1].get("type") == content[0].get("type") == "text":
        first = {**blocks.pop(), **content[0], "text": blocks_text(last) + content[0]["text"]}
        content = [first, *content[1:]]
    return [*messages[:-1], {**last, "content": [*blocks, *content]}]


def blocks_text(message: dict[str, Any]) -> str:
    """Text a message ends in: of its last block, or its content where that is a string."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return str(content[-1].get("text", ""))


def _allow(body: dict[str, Any], remaining: int, echo: int, limit: int) -> None:
    """Set `max_tokens` so that the anchor's echo and thinking nobody will see come on top of what remains."""
    thinking = body.get("thinking")
    allowance = 0
    if is_thinking(body):
        budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
        allowance = budget if isinstance(budget, int) else _THINKING_ALLOWANCE
    sent = remaining + echo + allowance
    if limit > _SAFE_MAX_TOKENS:  # It may already be the model's maximum.
        sent = min(sent, limit)
    body["max_tokens"] = sent
    if isinstance(thinking, dict) and isinstance(thinking.get("budget_tokens"), int):
        budget = min(thinking["budget_tokens"], max(_SHORTEST_THINKING, sent - 1))
        body["thinking"] = {**thinking, "budget_tokens": budget}


def _carry_container(body: dict[str, Any], transcript: Transcript) -> None:
    """Let server tools go on in the container they ran in."""
    container = transcript.ending.get("container") or (transcript.message or {}).get("container")
    if isinstance(container, dict) and container.get("id") and not body.get("container"):
        body["container"] = container["id"]


def without_unsigned_thinking(body: dict[str, Any]) -> dict[str, Any]:
    """
    Remove thinking without a signature from a request's history.

    In every history that passes through us such a block is one we closed when an attempt died
    inside it; upstream would refuse the turn. The request itself is returned where there is none.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not _any_dict(messages, _is_unsigned):
        return body
    signed = (_signed(message) for message in messages)
    return {**body, "messages": [message for message in signed if message is not None]}


def _is_unsigned(block: dict[str, Any]) -> bool:
    return block.get("type") == "thinking" and not block.get("signature")


def _signed(message: object) -> object:
    """Give a message without unsigned thinking; `None` where nothing is left of it."""
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return message
    content = message.get("content")
    if not isinstance(content, list):
        return message
    kept = [block for block in content if not (isinstance(block, dict) and _is_unsigned(block))]
    return {**message, "content": kept} if kept or not content else None
