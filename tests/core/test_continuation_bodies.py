"""The requests that continue a message: what they carry, what they leave out, what they may spend."""

from __future__ import annotations

import copy

import pytest

from resumable._core.continuation import DEFAULT_INSTRUCTION, Plan, Strategy, plan, without_unsigned_thinking
from tests.core.streams import block, citation, ending, start, stop, text, thought, tool_input, transcript_of

ASK = {"role": "user", "content": "Tell me."}
BODY = {
    "model": "m",
    "max_tokens": 50_000,
    "messages": [ASK],
    "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
    "tools": [{"name": "f"}],
    "metadata": {"user_id": "u"},
    "stream": True,
}
HELLO = "Hello, world"
WRITTEN = start() + block(0) + text(0, "Hello,", " world")


def made(strategy, written=WRITTEN, anchor="world", **fields):
    """Build a plan and see that the caller's own request did not change by it."""
    body = BODY | fields
    before = copy.deepcopy(body)
    found = plan(strategy, body, transcript_of(written), anchor, DEFAULT_INSTRUCTION)
    assert body == before
    return found


def said(*blocks):
    """Make an assistant turn."""
    return {"role": "assistant", "content": list(blocks)}


def words(said_text, **fields):
    """Make a text block."""
    return {"type": "text", "text": said_text, **fields}


def test_user_turn_goes_strictly_at_the_end():
    """The conversation, what was delivered, and the instruction that quotes the anchor; all else is carried over."""
    found = made(Strategy.USER_TURN)
    instruction = words(DEFAULT_INSTRUCTION.format(anchor="world"))
    assert found.body["messages"] == [ASK, said(words(HELLO)), {"role": "user", "content": [instruction]}]
    assert {**found.body, "messages": 0, "max_tokens": 0} == {**BODY, "messages": 0, "max_tokens": 0}
    assert (found.anchor, found.limit, found.is_ours) == ("world", None, True)


def test_instruction_is_in_the_user_s_voice_and_quotes_the_anchor():
    """The words to repeat stand in the instruction once, with nothing around them that is not text."""
    assert DEFAULT_INSTRUCTION.count("{anchor}") == 1
    assert DEFAULT_INSTRUCTION.startswith("My connection dropped")


def test_caller_s_own_instruction_is_used():
    """The template is the policy's to choose."""
    found = plan(Strategy.USER_TURN, BODY, transcript_of(WRITTEN), "world", "Go on after {anchor}!")
    assert found is not None
    assert found.body["messages"][-1]["content"] == [words("Go on after world!")]


def test_after_a_block_nothing_is_to_be_repeated():
    """Without last words the instruction asks for what comes next, and there is no seam to find."""
    result = block(0, "web_search_tool_result", tool_use_id="s", content=[]) + stop(0)
    found = made(Strategy.USER_TURN, start() + result, anchor="")
    [asked] = found.body["messages"][-1]["content"]
    assert "last words" not in asked["text"]
    assert found.anchor == ""


def test_prefill_ends_the_conversation_with_what_was_delivered():
    """The assistant's turn is the last one, and its anchor is its own end."""
    found = made(Strategy.PREFILL)
    assert found.body["messages"] == [ASK, said(words(HELLO))]
    assert (found.anchor, found.limit, found.is_ours) == ("", None, True)


@pytest.mark.parametrize("strategy", [Strategy.ORIGINAL, Strategy.RESTART, Strategy.RESTART_AND_VERIFY])
def test_restart_is_the_caller_s_request_unchanged(strategy):
    """What starts afresh sends the very same body, which is then not ours."""
    found = plan(strategy, BODY, transcript_of(WRITTEN), "world", DEFAULT_INSTRUCTION)
    assert found == Plan(strategy, BODY)
    assert found.body is BODY
    assert not found.is_ours


@pytest.mark.parametrize(
    ("own", "merged"),
    [
        ("The answer: ", [words("The answer: " + HELLO)]),
        ([words("The answer: ", cache_control={"type": "ephemeral"})], "cached"),
        ("", [words(HELLO)]),
        ([], [words(HELLO)]),
        (None, [words(HELLO)]),
        ([words("a"), {"type": "tool_use", "id": "t"}], [words("a"), {"type": "tool_use", "id": "t"}, words(HELLO)]),
    ],
)
@pytest.mark.parametrize("strategy", [Strategy.PREFILL, Strategy.USER_TURN])
def test_caller_s_own_prefill_is_merged(strategy, own, merged):
    """An assistant turn that the caller ended with goes on; a second one beside it would be refused."""
    if merged == "cached":
        merged = [words("The answer: " + HELLO, cache_control={"type": "ephemeral"})]
    found = made(strategy, messages=[ASK, {"role": "assistant", "content": own}])
    assert found.body["messages"][1] == {"role": "assistant", "content": merged}
    assert found.body["messages"][0] == ASK


def test_prefill_is_merged_before_blocks_that_follow():
    """Only the first delivered block can go on where the caller's prefill ended."""
    written = start() + block(0) + text(0, "a") + stop(0) + block(1) + text(1, "b")
    found = made(Strategy.PREFILL, written, messages=[ASK, said(words("> "))])
    assert found.body["messages"][1:] == [said(words("> a"), words("b"))]


def test_prefill_is_kept_beside_a_block_of_another_kind():
    """Text and a thinking block do not merge."""
    written = start() + block(0, "thinking") + thought(0, signature="s") + stop(0) + block(1) + text(1, "b")
    found = made(Strategy.USER_TURN, written, messages=[ASK, said(words("> "))])
    assert [part["type"] for part in found.body["messages"][1]["content"]] == ["text", "thinking", "text"]


@pytest.mark.parametrize("messages", [None, [], ["not a message"]])
def test_odd_messages_are_upstream_s_to_judge(messages):
    """What is no list of messages does not stop us from asking."""
    found = made(Strategy.PREFILL, messages=messages)
    assert found.body["messages"] == [*(messages or []), said(words(HELLO))]


def test_system_turn_at_the_end_stays_where_it_is():
    """A last message of role system is followed, not replaced."""
    notice = {"role": "system", "content": "Be brief."}
    found = made(Strategy.USER_TURN, messages=[ASK, notice])
    assert [message["role"] for message in found.body["messages"]] == ["user", "system", "assistant", "user"]


def test_assistant_turn_is_one_the_api_takes():
    """No blank block, no blank end, no unsigned or trailing thinking; signed and redacted thinking stay."""
    written = (
        start()
        + (block(0, "thinking") + thought(0, "lost") + stop(0))
        + (block(1, "thinking") + thought(1, "kept", signature="s") + stop(1))
        + (block(2, "redacted_thinking", data="r") + stop(2))
        + (block(3) + text(3, " ") + stop(3))
        + (block(4) + text(4, "Hello,", " world", " \n") + stop(4))
        + (block(5, "thinking") + thought(5, "trailing", signature="s") + stop(5))
        + block(6)
    )
    found = made(Strategy.USER_TURN, written)
    assert found.body["messages"][1] == said(
        {"type": "thinking", "thinking": "kept", "signature": "s"},
        {"type": "redacted_thinking", "data": "r"},
        words(HELLO),
    )


def test_thinking_whose_start_carried_the_signature_stays():
    """A signature counts wherever it came."""
    written = start() + block(0, "thinking", thinking="t", signature="s") + stop(0) + block(1) + text(1, "a")
    assert made(Strategy.USER_TURN, written).body["messages"][1]["content"][0]["signature"] == "s"


def test_blank_inside_stays():
    """Only the end of the turn loses its whitespace: a text block before a result keeps it."""
    written = (
        (start() + block(0) + text(0, "Look: ") + stop(0))
        + (block(1, "server_tool_use", id="s", name="web_search", input={}) + tool_input(1, '{"q": 1}') + stop(1))
        + (block(2, "web_search_tool_result", tool_use_id="s", content=[]) + stop(2))
    )
    content = made(Strategy.USER_TURN, written, anchor="").body["messages"][1]["content"]
    assert [part["type"] for part in content] == ["text", "server_tool_use", "web_search_tool_result"]
    assert content[0]["text"] == "Look: "
    assert content[1]["input"] == {"q": 1}


def test_citations_stay_in_the_assistant_s_turn_only():
    """The instruction is plain text: a cited block in a user turn is refused."""
    messages = made(Strategy.USER_TURN, WRITTEN + citation(0, "w")).body["messages"]
    assert "citations" in messages[1]["content"][0]
    assert set(messages[2]["content"][0]) == {"type", "text"}


LONG = start() + block(0) + text(0, "x" * 4000)  # 1000 tokens
ENABLED = {"type": "enabled", "budget_tokens": 10_000}


@pytest.mark.parametrize(
    ("strategy", "fields", "max_tokens", "limit"),
    [
        (Strategy.PREFILL, {"max_tokens": 8000}, 7000, None),
        (Strategy.USER_TURN, {"max_tokens": 8000}, 7000 + 2, None),
        (Strategy.USER_TURN, {"max_tokens": 1001}, 1 + 2, None),
        (Strategy.PREFILL, {"max_tokens": 1000}, 350, None),
        (Strategy.USER_TURN, {"max_tokens": 651}, 1 + 2, None),
        # an allowance for thinking that nobody will see, and a cut beyond the error of what is an estimate
        (Strategy.USER_TURN, {"max_tokens": 4000, "thinking": {"type": "adaptive"}}, 3000 + 2 + 4096, 4051),
        (Strategy.USER_TURN, {"max_tokens": 50_000, "thinking": ENABLED}, 50_000, 66_150),
        (Strategy.USER_TURN, {"max_tokens": 12_000, "thinking": ENABLED}, 12_000, 14_851),
        (Strategy.USER_TURN, {"max_tokens": 4000, "thinking": ENABLED | {"budget_tokens": 2000}}, 5002, 4051),
        (Strategy.USER_TURN, {"max_tokens": 8000, "thinking": {"type": "disabled"}}, 7002, None),
    ],
)
def test_what_remains_is_what_may_be_spent(strategy, fields, max_tokens, limit):
    """The echo and unseen thinking come on top of what remains, within what the model may be asked for."""
    found = made(strategy, LONG, anchor="12345678", **fields)
    assert (found.body["max_tokens"], found.limit) == (max_tokens, limit)


@pytest.mark.parametrize("max_tokens", [1, 600, 650])
def test_used_up_beyond_doubt_is_no_request(max_tokens):
    """Where even a wrong estimate leaves nothing, there is nothing to ask for."""
    assert made(Strategy.USER_TURN, LONG, max_tokens=max_tokens) is None
    assert made(Strategy.PREFILL, LONG, max_tokens=max_tokens) is None


@pytest.mark.parametrize(
    ("max_tokens", "budget", "sent_budget"), [(50_000, 10_000, 10_000), (4200, 4200, 4199), (6000, 3000, 3000)]
)
def test_thinking_budget_stays_below_what_is_sent(max_tokens, budget, sent_budget):
    """The API refuses a budget that is not less than max_tokens."""
    body = made(Strategy.USER_TURN, LONG, max_tokens=max_tokens, thinking={**ENABLED, "budget_tokens": budget}).body
    assert body["thinking"] == {"type": "enabled", "budget_tokens": sent_budget}
    assert body["thinking"]["budget_tokens"] < body["max_tokens"]


@pytest.mark.parametrize("strategy", [Strategy.USER_TURN, Strategy.PREFILL])
@pytest.mark.parametrize("limit", [None, "many"])
def test_no_limit_is_no_limit(strategy, limit):
    """What is no number is upstream's to judge."""
    found = made(strategy, max_tokens=limit, thinking={"type": "adaptive"})
    assert (found.body["max_tokens"], found.limit) == (limit, None)


@pytest.mark.parametrize(
    ("written", "fields", "container"),
    [
        (start(container={"id": "c1"}) + block(0) + text(0, "a"), {}, "c1"),
        (WRITTEN + ending(None, container={"id": "c2"}), {}, "c2"),
        (start(container={"id": "c1"}) + block(0) + text(0, "a") + ending(None, container={"id": "c2"}), {}, "c2"),
        (start(container={"id": "c1"}) + block(0) + text(0, "a"), {"container": "own"}, "own"),
        (start(container=None) + block(0) + text(0, "a"), {}, None),
        (start(container={}) + block(0) + text(0, "a"), {}, None),
        (block(0) + text(0, "a"), {}, None),
    ],
)
def test_container_is_carried_over(written, fields, container):
    """Server tools go on where they ran, unless the caller named a container."""
    assert made(Strategy.USER_TURN, written, **fields).body.get("container") == container


UNSIGNED = {"type": "thinking", "thinking": "cut", "signature": ""}
SIGNED = {"type": "thinking", "thinking": "whole", "signature": "s"}


def test_unsigned_thinking_leaves_the_history():
    """Where an attempt died inside thinking, the next turn must not send what was left of it."""
    body = {
        "model": "m",
        "messages": [ASK, said(UNSIGNED, SIGNED, words("a")), ASK, said({"type": "thinking"}, SIGNED)],
    }
    before = copy.deepcopy(body)
    assert without_unsigned_thinking(body) == {
        "model": "m",
        "messages": [ASK, said(SIGNED, words("a")), ASK, said(SIGNED)],
    }
    assert body == before


@pytest.mark.parametrize(
    "messages",
    [
        [ASK, said(SIGNED, words("a"))],
        [ASK, said({"type": "redacted_thinking", "data": "r"})],
        "no list",
        None,
        [],
    ],
)
def test_request_without_unsigned_thinking_is_the_same_object(messages):
    """Where there is nothing to remove, nothing is copied."""
    body = {"messages": messages}
    assert without_unsigned_thinking(body) is body


@pytest.mark.parametrize(
    "message",
    ["text", {"role": "user", "content": [UNSIGNED]}, {"role": "assistant", "content": "plain"}, said()],
)
def test_other_messages_stay_as_they_are(message):
    """Only assistant turns are rewritten; upstream judges the rest."""
    body = {"messages": [message, said(UNSIGNED, words("a"))]}
    assert without_unsigned_thinking(body)["messages"] == [message, said(words("a"))]


def test_turn_of_nothing_but_unsigned_thinking_leaves_with_it():
    """A turn cut in its thinking has nothing left to say, and upstream refuses an empty one."""
    question = {"role": "user", "content": "Why?"}
    assert without_unsigned_thinking({"messages": [question, said(UNSIGNED), question]})["messages"] == [
        question,
        question,
    ]
