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
        (1, Way.STORE, "always", "valkey", 10),
        (2, Way.STORE, "everysec", "redis", 10),
        (4, Way.JOURNAL, "always", "redis", 6),
        (7, Way.AJOURNAL, "everysec", "valkey", 6),
    ],
)
def test_laws_hold_in_a_storm(zygote, seed, way, appendfsync, program, length):
    """One writer at a time, nothing lost or repeated, readers see the log, and everything comes to its end."""
    verdict = weather(draw(seed, way, appendfsync, sessions=48, length=length), zygote, program)
    assert verdict.flaws == []
    assert verdict.counts["takeovers"] > 10
    assert verdict.counts["read to the end"] >= 48
    assert verdict.counts["fate: lose_reply"] > 10


@pytest.mark.parametrize("rule", RULES)
def test_a_storm_misses_every_rule(zygote, rule):
    """With a rule taken out of the scripts, a law is broken."""
    verdict = weather(draw(4, Way.STORE, sessions=32, length=6, mutation=rule), zygote, "valkey", calm=2.0)
    assert verdict.flaws


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
