"""
`python -m tests.chaos [storms] [first seed] [ground]` lets storms happen, one by one, and prints what came of them.

Ways, servers and `appendfsync` take turns by the seed, so that a ground and a seed name a storm.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.chaos.fleets import Fleets
from tests.chaos.plan import Ground, Plan, Way, draw
from tests.chaos.scene import weather
from tests.chaos.zygote import Zygote

WAYS = (Way.STORE, Way.JOURNAL, Way.STORE, Way.AJOURNAL)
PROGRAMS = ("valkey", "redis")
SHOWN = 10
FORGETFUL = 60  # first seed of the storms in which a crash takes some of what was acknowledged with it


def storm_of(seed: int, ground: Ground = Ground.SERVER) -> tuple[Plan, str]:
    """
    Draw the storm of a seed, and the program it breaks over.

    Where the clock steps that is Valkey: Debian's Redis, whose allocator asks for the time before `libfaketime` is
    ready, does not come up under it.
    """
    forgets = 60_000 if seed >= FORGETFUL and ground is Ground.SERVER else 0
    appendfsync = "everysec" if forgets or seed % 3 == 2 else "always"
    plan = draw(seed, WAYS[seed % len(WAYS)], appendfsync, forgets=forgets, ground=ground)
    program = PROGRAMS[0] if ground is Ground.CLOCK else PROGRAMS[seed // len(WAYS) % len(PROGRAMS)]
    return plan, program


def campaign(storms: int, first: int = 0, ground: Ground = Ground.SERVER) -> tuple[Counter[str], list[str]]:
    """Let storms happen; give what happened in all of them, and what broke a law."""
    counts: Counter[str] = Counter()
    flaws: list[str] = []
    with Zygote() as zygote, Fleets() as fleets:
        for seed in range(first, first + storms):
            plan, program = storm_of(seed, ground)
            began = time.monotonic()
            verdict = weather(plan, zygote, program, fleets=fleets)
            counts += verdict.counts
            counts["storms"] += 1
            flaws += [f"{ground.value}, seed {seed}: {flaw}" for flaw in verdict.flaws]
            told = f"{plan.way.value}, {program}, {plan.appendfsync}, {time.monotonic() - began:.1f} s"
            sys.stderr.write(f"seed {seed} ({told}): {len(verdict.flaws)} flaws\n")
            sys.stderr.writelines(f"    {flaw}\n" for flaw in verdict.flaws[:SHOWN])
    return counts, flaws


def main() -> int:
    """Run, print, and say whether every law held."""
    storms, first, ground = [*sys.argv[1:4], *("100", "0", Ground.SERVER.value)[len(sys.argv) - 1 :]]
    counts, flaws = campaign(int(storms), int(first), Ground(ground))
    for name, count in sorted(counts.items()):
        sys.stdout.write(f"| {name} | {count:,} |\n")
    sys.stdout.write("\n".join([f"{len(flaws)} flaws", *flaws[:50]]) + "\n")
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(main())
