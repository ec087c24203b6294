"""The books that come with a stream through a wrapped client, against an upstream that counts."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

import resumable
from resumable.prices import PRICES, Price, Tokens
from resumable.testing import Drop, Garbage, Refuse, Reject, ScriptedUpstream

MODEL = "claude-sonnet-5"


def streamed(*faults: Any, system: Any = (), model: str = MODEL, policy: Any = None) -> resumable.Report:
    """Stream an answer through faults and give its report, whatever became of it."""
    upstream = ScriptedUpstream("text", faults, vary=False)
    recovery = resumable.Resumable(clock=upstream.clock, chance=lambda: 0.5, policy=policy)
    http_client = anthropic.DefaultHttpxClient(transport=upstream.transport())
    question = {"role": "user", "content": "Tell me a long story."}
    body: Any = {"model": model, "max_tokens": 4096, "messages": [question], "system": list(system)}
    with anthropic.Anthropic(api_key="any", http_client=http_client, middleware=[recovery]) as client:
        try:
            with client.messages.stream(**body) as stream:
                stream.until_done()
        except Exception as error:  # noqa: BLE001  # Reason: the books of a failure are tested too
            return resumable.report(error)
    return resumable.report(stream)


def test_without_faults_they_are_the_message_s():
    """One line, measured, and the cost is that of the message's own usage."""
    report = streamed()
    books = report.books()
    usage = report.attempts[0].usage
    assert books.tokens == Tokens(usage["input_tokens"], usage["output_tokens"])
    assert books.cost == pytest.approx((usage["input_tokens"] * 2 + usage["output_tokens"] * 10) / 1e6)
    assert not books.is_estimated
    assert books.cost is not None
    assert books.batch_cost == pytest.approx(books.cost / 2)


def test_every_attempt_has_its_line():
    """A refused attempt cost nothing, a lost one its prompt and an estimate, and the sums are the report's."""
    report = streamed(Reject(529), Drop(after=30))
    books = report.books()
    refused, cut, last = books.lines
    assert (refused.cost, refused.tokens) == (0.0, Tokens())
    assert cut.estimated.output == report.attempts[1].output_tokens > 0
    assert cut.measured.output == 0 < cut.measured.input
    assert last.estimated == Tokens()
    assert last.measured.output == report.attempts[2].usage["output_tokens"]
    assert books.tokens.output == report.output_tokens
    assert books.is_estimated is report.has_estimates is True
    assert books.untold == ()
    assert books.saved_tokens == report.saved_tokens > 0
    assert books.saved_cost is not None


def test_a_recovery_reads_the_cache():
    """Where the caller marked the prompt, the continuation is a cache read, at its own price."""
    cached = {"type": "text", "text": "You know everything. " * 400, "cache_control": {"type": "ephemeral"}}
    first, second = streamed(Drop(after=30), system=[cached]).books().lines
    assert first.measured.cache_write_5m == second.measured.cache_read > 0
    assert second.measured.cache_write_5m == first.measured.cache_read == 0
    assert first.cost is not None
    assert second.cost is not None
    assert second.cost < first.cost


@pytest.mark.parametrize(
    ("fault", "untold"),
    [(Reject(500), ()), (Refuse(), ()), (Refuse("fin"), (1,)), (Garbage("html200"), (1,)), (Drop(after=0), (1,))],
    ids=["status", "refused", "no response", "a page", "cut before the message"],
)
def test_what_may_have_been_billed_is_not_passed_over(fault, untold):
    """An attempt that reached upstream and told nothing is named; one that was refused is known to be free."""
    books = streamed(fault).books()
    assert books.untold == untold
    assert books.is_estimated is bool(untold)


def test_an_error_has_books_too():
    """What a stream that could not be saved has cost is known from its error."""
    books = streamed(Drop(after=30), Reject(401)).books()
    assert len(books.lines) == 2
    assert books.cost == books.lines[0].cost
    assert books.saved_tokens == 0


def test_an_unknown_model_has_tokens_and_no_cost():
    """Its price is not guessed; a table of one's own gives it one."""
    report = streamed(Drop(after=30), model="claude-sonnet-9")
    assert report.books().cost is None
    assert report.books().tokens.output > 0
    own = report.books({**PRICES, "claude-sonnet-9": Price.from_base(2, 10)})
    assert own.cost == pytest.approx(PRICES[MODEL].cost(own.tokens))
