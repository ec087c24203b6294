"""Workers who tell each other what upstream refuses, against workers who do not: the simulation of the benchmark."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks._fleet_world import Outage, RateLimit, simulate

WORKERS, UNTIL = 30, 60.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([60.0, 90.0, 120.0]))
def test_a_rate_limit_refuses_fewer_and_takes_no_fewer(seed, per_minute):
    """Whatever the draws: fewer refusals, none of the limit left unused for long, and nobody held back for ever."""
    alone, together = (
        simulate(lambda: RateLimit(per_minute, 5), workers=WORKERS, until=UNTIL, has_fleet=has_fleet, seed=seed)
        for has_fleet in (False, True)
    )
    assert len(together.refused) < len(alone.refused)
    assert together.gave_up <= alone.gave_up
    served = [sum(at <= UNTIL for at in one.served) for one in (alone, together)]
    assert served[1] >= 0.9 * served[0] - 3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_an_overload_refuses_fewer_and_is_over_for_everybody(seed):
    """Whatever the draws: an overload that ends refuses fewer, and soon after it everybody is served."""
    alone, together = (
        simulate(lambda: Outage(10.0, 40.0, 20), workers=WORKERS, until=UNTIL, has_fleet=has_fleet, seed=seed)
        for has_fleet in (False, True)
    )
    assert len(together.refused) < len(alone.refused)
    assert together.gave_up == 0
    assert max(together.latencies) < 150.0
