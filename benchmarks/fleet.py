"""
What it spares that workers tell each other what upstream refuses: 200 workers with and without.

A simulation in virtual time, deterministic; the decisions are the library's own. A rate limit that never
lets all through, an overload that ends, and, for information, an overload that does not really end:
what upstream takes afterwards is less than what is asked.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from benchmarks._fleet_world import Outage, RateLimit, simulate
from benchmarks._report import Figure, Report, parse_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._fleet_world import Outcome

WORKERS: Final = 200
UNTIL: Final = 400.0  # [s]
START, END = 60.0, 180.0  # [s]
SEEDS: Final = range(1, 6)
WORLDS: Final[dict[str, Callable[[], RateLimit | Outage]]] = {
    "rate limit": lambda: RateLimit(600, 20),
    "overload": lambda: Outage(START, END, 40),
    "overload, then too little": lambda: Outage(START, END, 20),
}


def recovery(outcome: Outcome) -> float:
    """[s] From the end of the overload until as many requests were served as there are workers."""
    after = sorted(at for at in outcome.served if at >= END)
    return after[WORKERS - 1] - END


def in_time(outcome: Outcome) -> int:
    """Count the requests that were served while workers wanted any."""
    return sum(at <= UNTIL for at in outcome.served)


def main() -> int:
    """Run all worlds, both ways."""
    options = parse_options(__doc__)
    report = Report("fleet", options)
    seeds = SEEDS[:1] if options.quick else SEEDS
    found: dict[tuple[str, bool], list[Outcome]] = {}
    rows: list[list[str | float | int]] = []
    for name, make in WORLDS.items():
        for has_fleet in (False, True):
            report.note(f"{name}, {'with' if has_fleet else 'without'} fleet memory")
            outcomes = [simulate(make, workers=WORKERS, until=UNTIL, has_fleet=has_fleet, seed=seed) for seed in seeds]
            found[name, has_fleet] = outcomes
            rows.append(
                [
                    name,
                    "with" if has_fleet else "without",
                    round(mean(map(in_time, outcomes))),
                    round(mean(len(one.refused) for one in outcomes)),
                    round(mean(one.gave_up for one in outcomes)),
                    mean(map(recovery, outcomes)) if name != "rate limit" else "–",
                ]
            )
    header = ("upstream", "fleet memory", "served", "refused", "given up", "recovery [s]")
    report.add_table(f"{WORKERS} workers, {UNTIL:.0f} s", header, rows)

    def ratio(name: str, what: Callable[[Outcome], float]) -> float:
        without, with_it = (mean(map(what, found[name, has_fleet])) for has_fleet in (False, True))
        return without / with_it

    report.add(Figure("rate limit: refused, without / with", ratio("rate limit", lambda o: len(o.refused)), "x", 3))
    report.add(Figure("rate limit: given up, without / with", ratio("rate limit", lambda o: o.gave_up), "x", 3))
    report.add(Figure("rate limit: served, without / with", ratio("rate limit", in_time), "x", at_most=1.02))
    report.add(Figure("overload: refused, without / with", ratio("overload", lambda o: len(o.refused)), "x", 4))
    report.add(Figure("overload: recovery, without / with", ratio("overload", recovery), "x", 1.5))
    report.add(Figure("overload: served, without / with", ratio("overload", in_time), "x", at_most=1.0))
    report.add(
        Figure("too little: refused, without / with", ratio("overload, then too little", lambda o: len(o.refused)), "x")
    )
    report.add(Figure("too little: served, without / with", ratio("overload, then too little", in_time), "x"))
    return report.conclude()


if __name__ == "__main__":
    raise SystemExit(main())
