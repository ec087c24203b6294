"""The page on choosing a store says what the code does."""

from __future__ import annotations

import re

import pytest
import redis

from resumable.store._url import SCHEMES, VARIABLES, parse_url
from resumable.store.embedded._server import open_embedded
from tests.pages import names, read, section, tables

PAGE = read("docs/how-to/store.md")


def test_urls():
    """The page lists every kind of URL, each of its examples is taken, and the variables are in their order."""
    text = section(PAGE, "## Which store applies")
    [table] = tables(text)
    listed = [name for row in table[1:] for cell in row for name in names(cell) if "://" in name]
    assert {parse_url(url, "store").scheme for url in listed} == set(SCHEMES)
    assert [name for name in names(text) if name in VARIABLES] == list(VARIABLES)


def test_settings(each, home):
    """What the page says about the embedded server's settings is what a running one says."""
    del each, home
    line = next(line for line in PAGE.splitlines() if line.startswith("Its settings:"))
    told = {name: value.strip('"') for name, _, value in (setting.partition(" ") for setting in names(line))}
    assert len(told) > 5
    with open_embedded() as server, redis.Redis.from_url(server.url) as client:
        found = {name: client.config_get(name)[name] for name in told}
    assert found == told


@pytest.mark.parametrize("name", ["maxmemory_policy", "aof_enabled", "role", "redis_version"])
def test_what_to_ask(server, name):
    """What the page tells to look for is in the server's answers."""
    assert re.search(rf"`{name}`", PAGE)
    with server.client as client:
        assert name in client.info("all")
