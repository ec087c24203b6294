"""The upstream knows a continuation by its content, and goes on in the very reply that was interrupted."""

from __future__ import annotations

import json
import re

import anthropic
import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable.testing import (
    CONTINUERS,
    Drop,
    Interrupted,
    Opening,
    Reply,
    ScriptedUpstream,
    ServerToolResult,
    ServerToolUse,
    Text,
    Thinking,
    Truncate,
)
from tests.testing.conftest import calling
from tests.testing.turns import ASK, joined, plain, said, text

PREFILL = "claude-haiku-4-5"
TEMPLATES = (
    "Your answer was cut off. Its last words were:\n\n{anchor}\n\nBegin by repeating exactly these words, then go on.",
    "Your previous response was interrupted and ended with [{anchor}]. Continue from where you left off.",
    "<end>{anchor}</end> Please repeat that and continue.",
)


def go_on(body, partial, template=TEMPLATES[0], length=60):
    """Ask for the rest as models without prefill are asked."""
    words = partial if isinstance(partial, str) else "".join(block.get("text", "") for block in partial)
    content = [text(partial)] if isinstance(partial, str) else partial
    request = {"role": "user", "content": template.format(anchor=words[-length:])}
    return body | {"messages": [*body["messages"], said(*content), request]}


def prefill(body, partial):
    """Ask for the rest by prefill."""
    content = [text(partial)] if isinstance(partial, str) else partial
    return body | {"model": PREFILL, "messages": [*body["messages"], said(*content)]}


@given(cut=st.integers(1, 10**6), script=st.sampled_from(["text", "markdown", "unicode", "thinking", "json"]))
def test_a_prefill_gets_the_exact_rest(cut, script):
    """Wherever the text was cut, the prefilled part and the answer are the reply."""
    body = {"model": PREFILL, "max_tokens": 20_000, "messages": [ASK]}
    upstream = ScriptedUpstream(script)
    with calling("process-sync") as caller:
        full = joined(caller.create(upstream, body).content)
        partial = full[: cut % len(full) + 1].rstrip()
        rest = joined(caller.create(upstream, prefill(body, partial)).content)
    assert partial + rest == full == upstream.expected_text(body)
    assert upstream.log.strategies == ["original", "prefill"]


@given(
    cut=st.integers(1, 10**6),
    script=st.sampled_from(["text", "markdown", "unicode", "thinking"]),
    template=st.sampled_from(TEMPLATES),
    length=st.integers(20, 200),
)
def test_a_compliant_model_repeats_the_anchor_and_goes_on(cut, script, template, length):
    """Whatever the template, the answer begins with the quoted words and goes on behind them."""
    body = {"model": "claude-haiku-5-5", "max_tokens": 20_000, "messages": [ASK]}
    upstream = ScriptedUpstream(script)
    with calling("process-sync") as caller:
        full = joined(caller.create(upstream, body).content)
        partial = full[: cut % len(full) + 1].rstrip()
        more = joined(caller.create(upstream, go_on(body, partial, template, length)).content)
    anchor = partial[-length:]
    # The template's own words may happen to stand before the anchor in the text as well.
    assert more.endswith(anchor + full[len(partial) :])
    assert partial.endswith(more[: len(more) - len(full) + len(partial)])
    assert upstream.log.strategies == ["original", "user_turn"]


def test_an_upstream_that_gave_no_answer_yet_knows_a_continuation(process, body):
    """Recognition needs no memory: another upstream with the same script goes on as well."""
    full = ScriptedUpstream("text").expected_text(body, 2)
    upstream = ScriptedUpstream("text")
    assert full[:100].rstrip() + joined(process.create(upstream, prefill(body, full[:100].rstrip())).content) == full
    assert (upstream.log[0].strategy, upstream.log[0].variant) == ("prefill", 2)


def test_the_variant_that_was_interrupted_goes_on(process, body):
    """After plain retries the rest is that of the wording that was begun."""
    upstream = ScriptedUpstream("text")
    for variant in range(3):
        process.create(upstream, body)
        partial = upstream.expected_text(body, variant)[:80].rstrip()
        rest = joined(process.create(upstream, prefill(body, partial)).content)
        assert partial + rest == upstream.expected_text(body, variant)


def test_an_upstream_that_does_not_vary_goes_on_as_well(process, body):
    """With vary off there is one wording, and a continuation is the rest of it."""
    upstream = ScriptedUpstream("text", vary=False)
    for _ in range(2):
        process.create(upstream, body)
    partial = upstream.expected_text(body)[:80].rstrip()
    assert partial + joined(process.create(upstream, prefill(body, partial)).content) == upstream.expected_text(body)


@pytest.mark.parametrize(
    "partial",
    [
        lambda full: [full[0], full[1], text("Other words.")],
        lambda full: [full[1], full[2], full[0]],
        lambda full: [text(full[0]["text"] + full[3]["text"])],
        lambda full: [full[0], {**full[1], "id": "other"}, {**full[2], "tool_use_id": "other"}],
        lambda full: [text(full[0]["text"][:5]), full[1], full[2]],
        lambda full: [*full, text("And more.")],
        lambda full: [text(full[0]["text"][:20]), {"type": "container_upload", "file_id": "x"}],
    ],
    ids=[
        "other words",
        "other order",
        "result left out",
        "other ids",
        "text cut short",
        "more than all",
        "other block",
    ],
)
def test_a_wrong_transcript_is_not_gone_on_with(partial, body):
    """Only the beginning of a reply, word for word and block by block, is recognised."""
    upstream = ScriptedUpstream("server_tools", vary=False)
    content = partial(upstream.expected_message(body)["content"])
    request = json.dumps(prefill(body, content)).encode()
    recorded = upstream.exchange("POST", "/v1/messages", {"x-api-key": "k"}, request).recorded
    assert recorded.strategy == "original"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_transport_runs_anywhere(body, backend):
    """In process an async client works on either event loop."""
    upstream = ScriptedUpstream("text", [Drop(after=9)])

    async def main():
        http_client = anthropic.DefaultAsyncHttpxClient(transport=upstream.async_transport())
        async with anthropic.AsyncAnthropic(base_url="http://x", api_key="k", http_client=http_client) as client:
            with pytest.raises(httpx2.ReadError):
                _ = [event async for event in await client.messages.create(**body, stream=True)]
            await upstream.clock.asleep(9.0)
            return await client.messages.create(**body)

    assert joined(anyio.run(main, backend=backend).content) == upstream.expected_text(body, 1)
    assert upstream.clock.waits == [9.0]


def test_a_second_interruption_goes_on_from_the_whole(process, body):
    """A transcript made of several answers is still the beginning of the reply."""
    upstream = ScriptedUpstream("markdown", [Truncate(after=40)] * 3)
    asked, partial = body, ""
    for _ in range(3):
        heard = joined(process.final(upstream, asked).content)
        anchor = partial[-60:]
        assert heard.startswith(anchor)
        partial = (partial + heard[len(anchor) :]).rstrip()
        asked = go_on(body, partial)
    rest = joined(process.final(upstream, asked).content)
    assert partial[:-60] + rest == upstream.expected_text(body)
    assert upstream.log.strategies == ["original", "user_turn", "user_turn", "user_turn"]


def test_a_continuation_carries_its_own_limits(process, body):
    """max_tokens counts what the continuation says, the anchor included."""
    upstream = ScriptedUpstream("text")
    partial = upstream.expected_text(body)[:80].rstrip()
    answer = process.create(upstream, go_on(body, partial) | {"max_tokens": 3})
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 3)


def test_a_complete_text_whose_end_is_quoted_has_only_its_anchor_left(process, body):
    """When nothing is left, a model without prefill repeats the anchor, and a prefill gets nothing."""
    upstream = ScriptedUpstream("text")
    full = upstream.expected_text(body)
    assert joined(process.create(upstream, go_on(body, full)).content) == full[-60:]
    assert process.create(upstream, prefill(body, full)).content == []


def test_the_next_question_is_a_conversation_of_its_own(process, body):
    """A whole reply followed by another question is not a continuation."""
    upstream = ScriptedUpstream("text")
    full = joined(process.create(upstream, body).content)
    asked = body | {"messages": [*body["messages"], said(text(full)), {"role": "user", "content": "And then?"}]}
    assert joined(process.create(upstream, asked).content) == upstream.expected_text(asked)
    assert upstream.log.strategies == ["original", "original"]


def test_words_that_are_not_ours_are_the_callers_prefill(process, body):
    """An assistant turn that no reply begins with is a prefill of the caller's own, and is answered afresh."""
    upstream = ScriptedUpstream("text")
    own = body | {"model": PREFILL, "messages": [*body["messages"], said(text("The answer is ("))]}
    answer = joined(process.create(upstream, own).content)
    assert answer == upstream.expected_text(own)
    assert upstream.log.strategies == ["original"]


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("turn", [True, False])
def test_a_callers_prefill_is_followed_by_our_partial_answer(process, body, merged, turn):
    """The caller's own words and the interrupted answer arrive in one message, as one text or as two."""
    upstream = ScriptedUpstream("text")
    own = body | {"model": PREFILL, "messages": [*body["messages"], said(text("The answer is"))]}
    full = joined(process.create(upstream, own).content)
    partial = full[:90].rstrip()
    content = [text("The answer is" + partial)] if merged else [text("The answer is"), text(partial)]
    asked = go_on(body, content) | {"model": PREFILL} if turn else prefill(body, content)
    rest = joined(process.create(upstream, asked).content)
    assert partial + (rest.removeprefix(partial[-60:]) if turn else rest) == full
    assert upstream.log.strategies == ["original", "user_turn" if turn else "prefill"]


def test_thinking_is_not_thought_again(process, body):
    """A continuation after thinking goes on with the text."""
    upstream = ScriptedUpstream("thinking")
    full = plain(process.create(upstream, body).content)
    for content in (full, full[1:]):
        partial = [*content[:-1], text(content[-1]["text"][:50].rstrip())]
        answer = process.create(upstream, go_on(body, partial))
        assert [block.type for block in answer.content] == ["text"]
        assert partial[-1]["text"][:-50] + answer.content[0].text == full[-1]["text"]


def test_a_continuation_after_a_server_result_is_a_new_block(process, body):
    """Without an anchor the next block simply follows, by either strategy."""
    upstream = ScriptedUpstream("server_tools")
    full = plain(process.create(upstream, body).content)
    for asked in (
        prefill(body, full[:3]),
        body | {"messages": [*body["messages"], said(*full[:3]), {"role": "user", "content": "Please go on."}]},
    ):
        assert plain(process.create(upstream, asked).content) == full[3:]


def test_a_dropped_call_is_made_again(process, body):
    """An unpaired call that was left out comes back with its result, under the same id."""
    upstream = ScriptedUpstream("parallel_server_tools")
    lead, first, second, one, two, end = plain(process.create(upstream, body).content)
    answer = plain(process.create(upstream, go_on(body, [lead])).content)
    assert answer[1:] == [first, second, one, two, end]
    answer = plain(process.create(upstream, prefill(body, [lead, first, one])).content)
    assert answer == [second, two, end]


def test_cited_texts_may_come_back_merged(process, body):
    """Several text blocks sent back as one are followed all the same."""
    upstream = ScriptedUpstream("citations")
    full = joined(process.create(upstream, body).content)
    for cut in range(5, len(full), 17):
        partial = full[:cut].rstrip()
        assert partial + joined(process.create(upstream, prefill(body, partial)).content) == full


def test_a_tool_call_finished_early_is_not_gone_on_with(process, body):
    """Some of the calls and their results are the next turn, not a continuation."""
    upstream = ScriptedUpstream("parallel_tools")
    content = plain(process.create(upstream, body).content)[:2]
    answered = {"type": "tool_result", "tool_use_id": content[1]["id"], "content": "4"}
    asked = body | {"messages": [*body["messages"], said(*content), {"role": "user", "content": [answered]}]}
    assert process.create(upstream, asked).stop_reason == "end_turn"
    assert upstream.log.strategies == ["original", "original"]


def test_trailing_whitespace_may_have_been_dropped_before_a_block(process, body):
    """A text whose last spaces were left out is still ours, also before a block that follows it."""
    reply = Reply([Text("Searching. \n"), ServerToolUse("web_search", {}), ServerToolResult([]), Text("Found it all.")])
    upstream = ScriptedUpstream(reply)
    content = plain(process.create(upstream, body).content)
    content[0] = text("Searching.")
    assert joined(process.create(upstream, prefill(body, [*content[:3], text("Found")])).content) == " it all."


PARTIAL = 'It said: "yes".\n\n```python\nx = 1\ny  =  2\nfor one'
REST = " in x:\n    pass\n```\n\nDone."
OPENINGS = {
    "anchor": PARTIAL[-30:],
    "normalised": re.sub(r"\s+", " ", PARTIAL[-30:]),
    "quotes": PARTIAL[-30:],
    "line": "for one",
    "sentence": PARTIAL[PARTIAL.index("\n\n") + 2 :],
    "preamble": "Continuing from where I left off:\n\n" + PARTIAL[-30:],
    "fence": "```python\n" + PARTIAL[-30:],
    "newline": "\n" + PARTIAL[-30:],
    "starts_over": PARTIAL,
    "bare": "",
}


@pytest.mark.parametrize("continuer", OPENINGS)
def test_a_continuer_opens_in_its_way(process, body, continuer):
    """Each continuer says its opening and then the rest of the reply."""
    upstream = ScriptedUpstream(Reply([Text(PARTIAL + REST)]), continuer=continuer)
    process.create(upstream, body)
    answer = process.create(upstream, go_on(body, PARTIAL, length=30))
    assert joined(answer.content) == OPENINGS[continuer] + REST


def test_the_other_continuers(process, body):
    """Those that lose a space, think first, stop, or refuse."""
    answers = {}
    for continuer in sorted(CONTINUERS.keys() - OPENINGS):
        upstream = ScriptedUpstream(Reply([Text(PARTIAL + REST)]), continuer=continuer)
        process.create(upstream, body)
        answers[continuer] = process.create(upstream, go_on(body, PARTIAL, length=30))
    assert joined(answers["strips_space"].content) == REST.lstrip()
    assert [block.type for block in answers["thinks"].content] == ["thinking", "text"]
    assert joined(answers["thinks"].content) == PARTIAL[-30:] + REST
    assert answers["finished"].stop_reason == answers["diverges"].stop_reason == "end_turn"
    assert REST not in joined(answers["finished"].content) + joined(answers["diverges"].content)
    assert (answers["refuses"].stop_reason, answers["refuses"].stop_details.type) == ("refusal", "refusal")


def test_quotes_are_curled():
    """The continuer of quotes turns straight ones into curly ones."""
    assert CONTINUERS["quotes"](Interrupted("", '"it\'s"', "", "")).text == "”it’s”"


def test_a_continuer_of_ones_own_sees_what_was_interrupted(process, body):
    """A function gets the partial text, the anchor, the rest and the request."""
    seen = []

    def continuer(interrupted):
        seen.append(interrupted)
        return Opening("…", before=(Thinking("Hm."),))

    upstream = ScriptedUpstream(Reply([Text("one two three four five six seven")]), continuer=continuer)
    process.create(upstream, body)
    answer = process.create(upstream, go_on(body, "one two three four", length=10))
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[1].text == "… five six seven"
    assert (seen[0].partial, seen[0].anchor, seen[0].rest) == ("one two three four", "three four", " five six seven")
    assert "three four" in seen[0].asked


def test_a_continuation_that_quotes_nothing_is_gone_on_with_bare(process, body):
    """Asked to go on without a quotation, the model just goes on."""
    upstream = ScriptedUpstream("text")
    full = joined(process.create(upstream, body).content)
    asked = body | {
        "messages": [*body["messages"], said(text(full[:70].rstrip())), {"role": "user", "content": "GO ON"}]
    }
    assert joined(process.create(upstream, asked).content) == full[len(full[:70].rstrip()) :]


def test_continuation_thinking_is_bound_to_its_own_request(process, body):
    """A thought of a continuation is refused in the caller's history, where it was never thought."""
    upstream = ScriptedUpstream("text", continuer="thinks")
    partial = upstream.expected_text(body)[:80].rstrip()
    answer = plain(process.create(upstream, go_on(body, partial)).content)
    spliced = said(answer[0], text(upstream.expected_text(body)))
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        process.create(upstream, body | {"messages": [*body["messages"], spliced, ASK]})


def test_a_continuation_can_suffer_too(caller, body):
    """Faults follow the attempts, whatever they are."""
    upstream = ScriptedUpstream("text", [None, Drop(after=5, how="eof")])
    partial = upstream.expected_text(body)[:80].rstrip()
    caller.events(upstream, body)
    assert caller.events(upstream, go_on(body, partial))[-1].type != "message_stop"
    assert [recorded.whole for recorded in upstream.log] == [True, False]
