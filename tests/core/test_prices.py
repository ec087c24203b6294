"""What a request costs: the table, what changes a price, and what is never priced."""

from __future__ import annotations

import re

import pytest

from resumable._core.prices import PRICES, PRICES_AS_OF, Price, Tokens, excluded_from, price_for

MILLION = 1_000_000
EACH = Tokens(MILLION, MILLION, MILLION, MILLION, MILLION)


@pytest.mark.parametrize(
    ("model", "listed"),
    [
        ("claude-fable-5-2", (8, 40, 10, 16, 0.2)),
        ("claude-mythos-5-1", (10, 50, 12.5, 20, 0.25)),
        ("claude-fable-5-1", (10, 50, 12.5, 20, 0.25)),
        ("claude-fable-5", (10, 50, 12.5, 20, 1)),
        ("claude-opus-5-5", (4, 20, 5, 8, 0.2)),
        ("claude-opus-5", (5, 25, 6.25, 10, 0.5)),
        ("claude-opus-4-5-20251101", (5, 25, 6.25, 10, 0.5)),
        ("claude-sonnet-5-5", (2, 10, 2.5, 4, 0.1)),
        ("claude-sonnet-5", (2, 10, 2.5, 4, 0.2)),
        ("claude-sonnet-4-5-20250929", (3, 15, 3.75, 6, 0.3)),
        ("claude-haiku-5-5", (0.1, 0.5, 0.125, 0.2, 0.01)),
        ("claude-haiku-4-5-20251001", (1, 5, 1.25, 2, 0.1)),
    ],
)
def test_a_list_price_is_the_page_s(model, listed):
    """Prompt, output, both cache writes and the cache read of a model cost what the price page says, to the cent."""
    price = PRICES[model]
    assert (price.input, price.output, price.cache_write_5m, price.cache_write_1h, price.cache_read) == listed


def test_the_table_has_a_date():
    """The prices say when they were taken down."""
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", PRICES_AS_OF)


@pytest.mark.parametrize(
    "model",
    [
        None,
        "claude-mythos-5-2",
        "claude-mythos-preview",
        "claude-sonnet-4-5-20991231",
        "claude-sonnet-6",
        "claude-sonnet",
        "anthropic.claude-sonnet-5-v1:0",
        "claude-sonnet-5@20260101",
        "CLAUDE-SONNET-5",
        "",
    ],
)
def test_an_unknown_model_has_no_price(model):
    """An id that is not in the table is never priced as one that looks like it."""
    assert price_for(model, {}, PRICES) is None


@pytest.mark.parametrize(
    ("model", "usage", "factor"),
    [
        ("claude-sonnet-5", {}, 1),
        ("claude-sonnet-5", {"service_tier": "standard", "inference_geo": "global", "speed": "standard"}, 1),
        ("claude-sonnet-5", {"service_tier": "batch"}, 0.5),
        ("claude-sonnet-5", {"inference_geo": "us"}, 1.1),
        ("claude-sonnet-5", {"inference_geo": "us", "service_tier": "batch"}, 0.55),
        ("claude-opus-4-8", {"speed": "fast"}, 2),
        ("claude-haiku-5-5", {"inference_geo": "us"}, 1.1),
    ],
)
def test_a_request_s_circumstances_change_its_price(model, usage, factor):
    """Region, batch and speed multiply every rate."""
    price = price_for(model, usage, PRICES)
    assert price is not None
    assert price.cost(EACH, 1) == pytest.approx(PRICES[model].cost(EACH, 1) * factor)


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("claude-sonnet-5", {"service_tier": "priority"}),
        ("claude-sonnet-5", {"speed": "fast"}),
        ("claude-sonnet-5", {"inference_geo": "mars"}),
        ("claude-sonnet-4-5", {"inference_geo": "us"}),
        ("claude-sonnet-5", {"iterations": [{"type": "advisor_message", "model": "claude-opus-5"}]}),
        ("claude-sonnet-5", {"iterations": [{"type": "fallback_message", "model": "claude-opus-5"}]}),
    ],
)
def test_circumstances_without_a_known_price_have_none(model, usage):
    """A tier, a speed, a region or a second model whose price is not known makes the cost unknown."""
    assert price_for(model, usage, PRICES) is None


@pytest.mark.parametrize(("prompt", "rate"), [(100_000, 0.1), (100_001, 0.5)])
def test_a_large_prompt_costs_more_as_a_whole(prompt, rate):
    """Beyond the step every token of the request has the higher price, counted with the cached ones."""
    price = PRICES["claude-haiku-5-5"]
    tokens = Tokens(input=50_000, output=1000, cache_read=prompt - 50_000)
    expected = 50_000 * rate + 1000 * rate * 5 + (prompt - 50_000) * rate / 10
    assert price.cost(tokens) == pytest.approx(expected / MILLION)
    assert price.cost(Tokens(output=1000), prompt) == pytest.approx(1000 * rate * 5 / MILLION)


def test_usage_is_read_by_what_it_costs():
    """Cache writes are told apart by how long they last; what has no length lasts five minutes."""
    usage = {
        "input_tokens": 5,
        "output_tokens": 7,
        "cache_read_input_tokens": 11,
        "cache_creation_input_tokens": 40,
        "cache_creation": {"ephemeral_5m_input_tokens": 13, "ephemeral_1h_input_tokens": 17},
    }
    tokens = Tokens.from_usage(usage)
    assert tokens == Tokens(input=5, output=7, cache_write_5m=23, cache_write_1h=17, cache_read=11)
    assert tokens.prompt == 5 + 40 + 11


def test_a_compaction_is_added():
    """Its tokens are billed, but missing from the API's totals; those of other iterations are in them."""
    iterations = [
        {"type": "message", "input_tokens": 5, "output_tokens": 7},
        {"type": "compaction", "input_tokens": 100, "output_tokens": 50},
        "nonsense",
    ]
    assert Tokens.from_usage({"input_tokens": 5, "output_tokens": 7, "iterations": iterations}) == Tokens(105, 57)


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": "5", "output_tokens": None, "cache_creation": 3, "iterations": 4},
        {"input_tokens": True, "output_tokens": -2, "cache_creation": {"ephemeral_5m_input_tokens": 1.5}},
        {"server_tool_use": 3, "fallback_credit": None},
    ],
)
def test_nonsense_counts_nothing(usage):
    """What is no count is 0, whatever upstream sends (law L7)."""
    assert Tokens.from_usage(usage) == Tokens()
    assert excluded_from(usage) == ()


def test_what_is_not_tokens_is_named():
    """Fees of server tools and a credit are in no cost, so they are named."""
    usage = {
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "fallback_credit": {"type": "redeemed"},
    }
    assert excluded_from(usage) == ("web_search_requests", "fallback_credit")


def test_a_price_of_one_s_own():
    """A price made from its base has the API's ratios, and its other fields as given."""
    price = Price.from_base(4, 8, us_factor=1.5)
    expected = Price(input=4, output=8, cache_write_5m=5, cache_write_1h=8, cache_read=0.4, us_factor=1.5)
    assert price == expected
