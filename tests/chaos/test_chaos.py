"""Laws L5 and L6 where everything breaks: processes, servers, connections, answers; judged from the log itself."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import campaign, storm_of
from tests.chaos.plan import Way, draw
from tests.chaos.scene import weather
from tests.chaos.teeth import RULES
from tests.chaos.zygote import Zygote

STORMS = 60


@pytest.fixture(scope="module")
def zygote():
    """Forks the processes of all storms here."""
    with Zygote() as zygote:
        yield zygote


@pytest.mark.parametrize(
    ("seed", "way", "appendfsync", "program", "length"),
    [
        (1, Way.STORE, "always", "valkey", 7),
        (2, Way.STORE, "everysec", "redis", 7),
        (4, Way.JOURNAL, "always", "redis", 4),
        (7, Way.AJOURNAL, "everysec", "valkey", 4),
    ],
)
def test_laws_hold_in_a_storm(zygote, seed, way, appendfsync, program, length):
    """One writer at a time, nothing lost or repeated, readers see the log, and everything comes to its end."""
    forgets = 60_000 if appendfsync == "everysec" else 0
    verdict = weather(draw(seed, way, appendfsync, sessions=40, length=length, forgets=forgets), zygote, program)
    assert verdict.flaws == []
    assert verdict.counts["takeovers"] > 10
    assert verdict.counts["entries read"] > verdict.counts["events"]
    assert verdict.counts["fate: lose_reply"] > 10


# What a storm says without a rule; that some session was not over in time would not be enough.
SIGNS = {
    "fence": "holds the event",
    "send again": "stopped by StoreUnavailableError",
    "takeover marker": "stands behind marker",
}


@pytest.mark.parametrize("rule", RULES)
def test_a_storm_misses_every_rule(zygote, rule):
    """With a rule taken out of the scripts, a law is broken, and it is the one that the rule is for."""
    verdict = weather(draw(4, Way.STORE, sessions=32, length=5, mutation=rule), zygote, "valkey", calm=2.0)
    assert any(SIGNS[rule] in flaw for flaw in verdict.flaws)


def test_a_seed_is_a_storm():
    """The same seed draws the same storm, and another one another."""
    assert storm_of(7) == storm_of(7)
    assert storm_of(7) != storm_of(8)


@pytest.mark.campaign
def test_thousands_of_sessions():
    """The campaign of docs/explanation/chaos.md: no law is broken."""
    counts, flaws = campaign(STORMS)
    assert flaws == []
    assert counts["runs"] > 5000
