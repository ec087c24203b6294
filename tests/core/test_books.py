"""The books of one message: sums, estimates kept apart, what is unknown, what was saved."""

from __future__ import annotations

from typing import Any

import pytest

from resumable._core.books import Books, Spared, line_of
from resumable._core.prices import PRICES, Price, Tokens

MODEL = "claude-sonnet-5"
PRICE = PRICES[MODEL]
MILLION = 1_000_000


def line(number: int = 1, usage: dict[str, Any] | None = None, output: int = 0, **facts: Any):
    """Write a line of an attempt that told its usage."""
    given: dict[str, Any] = {"model": MODEL, "is_estimated": False, "is_told": True, "prices": PRICES} | facts
    usage = {"input_tokens": 100, "output_tokens": output} if usage is None else usage
    return line_of(number, usage=usage, output_tokens=output, **given)


def lost(number: int, output: int, prompt: int = 100):
    """Write a line of an attempt that was cut: upstream's count of its output is a placeholder."""
    return line(number, {"input_tokens": prompt, "output_tokens": 1}, output, is_estimated=True)


def test_a_message_without_faults_has_one_measured_line():
    """Nothing is estimated, nothing was saved, and the total is the line's."""
    books = Books((line(output=50),))
    assert (books.measured, books.estimated, books.is_estimated) == (Tokens(100, 50), Tokens(), False)
    assert books.cost == books.measured_cost == PRICE.cost(Tokens(100, 50))
    assert (books.estimated_cost, books.saved_tokens, books.saved_cost) == (0.0, 0, 0.0)
    assert (books.untold, books.excluded) == ((), ())


def test_measured_and_estimated_are_kept_apart():
    """Of a lost attempt the prompt is measured and the output estimated; the placeholder counts for nothing."""
    books = Books((lost(1, 40), line(2, {"input_tokens": 150, "output_tokens": 60}, 60)))
    assert books.measured == Tokens(250, 60)
    assert books.estimated == Tokens(output=40)
    assert books.tokens == Tokens(250, 100)
    assert books.is_estimated
    assert books.measured_cost == pytest.approx(PRICE.cost(Tokens(250, 60)))
    assert books.estimated_cost == pytest.approx(PRICE.cost(Tokens(output=40)))
    assert books.cost == pytest.approx(PRICE.cost(Tokens(250, 100)))


def test_the_cache_is_in_the_cost():
    """Reads and both writes have prices of their own."""
    usage = {
        "input_tokens": 10,
        "output_tokens": 1,
        "cache_read_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 300},
    }
    assert Books((line(usage=usage),)).cost == pytest.approx(
        (10 * 2 + 1 * 10 + 1000 * 0.2 + 200 * 2.5 + 300 * 4) / MILLION
    )


def test_an_unknown_price_makes_the_sum_unknown():
    """One attempt of a model without a price leaves tokens, but no total in USD, of any kind."""
    books = Books((line(), line(2, output=5, model="claude-sonnet-6")), (Spared(2, 0),), 10)
    assert books.tokens == Tokens(200, 5)
    assert books.lines[0].cost is not None
    assert (books.lines[1].cost, books.cost, books.measured_cost, books.saved_cost) == (None,) * 4
    assert Books((books.lines[1],)).batch_cost is None


def test_an_attempt_that_used_nothing_costs_nothing():
    """An attempt that was refused has no model, and still the sum is known."""
    refused = line(1, {}, model=None)
    assert refused.cost == 0.0
    books = Books((refused, line(2, output=5)))
    assert books.cost == books.lines[1].cost
    assert not books.is_estimated
    assert books.batch_cost == pytest.approx(PRICE.cost(Tokens(100, 5)) / 2)


def test_an_attempt_that_told_nothing_is_named():
    """What reached upstream and ended before it told anything is in no sum, and the total says so."""
    books = Books((line(1, {}, model=None, is_told=False), line(2, output=5)))
    assert books.untold == (1,)
    assert books.is_estimated


def test_a_batch_has_one_prompt_at_half_price():
    """The same work as a batch is the first prompt once and all output."""
    books = Books((lost(1, 40), line(2, {"input_tokens": 150, "output_tokens": 60}, 60)))
    assert books.batch_cost == pytest.approx(PRICE.cost(Tokens(100, 100)) / 2)
    assert Books(()).batch_cost is None


def test_what_is_saved_is_net():
    """Saved is the output not produced again, less the longer prompt and the words that were repeated."""
    lines = (lost(1, 1000), line(2, {"input_tokens": 1200, "output_tokens": 60}, 60))
    books = Books(lines, (Spared(2, 80),), 1000)
    assert books.saved_cost == pytest.approx((1000 * 10 - 1100 * 2 - 20 * 10) / MILLION)


def test_going_on_can_cost_more_than_starting_over():
    """A short answer to which much was added in the prompt is booked as a loss, not as 0."""
    lines = (lost(1, 3), line(2, {"input_tokens": 400, "output_tokens": 60}, 60))
    saved = Books(lines, (Spared(2, 80),), 3).saved_cost
    assert saved is not None
    assert saved < 0


def test_seams_of_two_models_have_no_common_price():
    """Where the attempts that went on have different prices, what they saved is unknown."""
    other = line(3, output=5, model="claude-opus-5")
    books = Books((lost(1, 40), line(2, output=5), other), (Spared(2, 0), Spared(3, 0)), 80)
    assert books.saved_cost is None


def test_a_table_of_one_s_own_replaces_the_list():
    """Prices are looked up in the given table alone."""
    mine = {"my-model": Price.from_base(1, 1)}
    assert line(model="my-model", prices=mine).cost == pytest.approx(100 / MILLION)
    assert line(prices=mine).cost is None


def test_what_no_price_covers_is_named_once():
    """Fees of server tools are named over all attempts, each once."""
    usage = {"input_tokens": 1, "server_tool_use": {"web_search_requests": 1}}
    assert Books((line(1, usage), line(2, usage))).excluded == ("web_search_requests",)
