"""
Which cells are swept, and the count of what came of them.

`python -m tests.sweep` sweeps everything and prints the table that stands in `docs/explanation/sweep.md`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.sweep.recordings import MODELS, RECORDINGS
from tests.sweep.runner import FAULTS, Cell, run
from tests.sweep.table import TABLE, Outcome, Recorded, State, state_of
from tests.sweep.verdict import Judge
from tests.sweep.ways import AUDIBLE, IN_PROCESS, OVER_HTTP, call

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.sweep.recordings import Recording

# [bytes] Distance between the cuts that go through the SDK; primes, so that they fall on every part of a frame.
SDK_STRIDE = 11
HTTP_STRIDE = 101
# A list of flaws beyond this says nothing new.
_MOST_SHOWN = 20


@dataclass
class Tally:
    """
    What came of many cells.

    Attributes:
        cells: How many there were.
        outputs: Different streams among what the callers received.
        flaws: What was not as the table has it, in words.
    """

    cells: int = 0
    outputs: int = 0
    flaws: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another count."""
        self.cells += other.cells
        self.outputs += other.outputs
        self.flaws += other.flaws

    def check(self) -> None:
        """Fail with the first flaws, if there are any."""
        assert not self.flaws, "\n".join([f"{len(self.flaws)} flaws", *self.flaws[:_MOST_SHOWN]])


def every_byte(recording: Recording, model: str) -> Iterator[Cell]:
    """List the cells of a recording and a model: every cut, with every fault."""
    size = len(recording.stream(model))
    return (Cell(recording, model, cut, fault) for cut in range(size + 1) for fault in FAULTS)


def at_edges(recording: Recording, model: str) -> Iterator[Cell]:
    """List the cells right before and at the end of each event, the faults in turn."""
    ends = Recorded.from_bytes(recording.stream(model)).ends
    cuts = [0, *(cut for end in ends for cut in (end - 1, end)), len(recording.stream(model))]
    faults = list(FAULTS)
    return (Cell(recording, model, cut, faults[number % len(faults)]) for number, cut in enumerate(cuts))


def at_stride(recording: Recording, model: str, stride: int, faults: Iterable[str] = tuple(FAULTS)) -> Iterator[Cell]:
    """List a cell for every so many bytes, the faults in turn."""
    size, named = len(recording.stream(model)), list(faults)
    return (Cell(recording, model, cut, named[cut // stride % len(named)]) for cut in range(0, size + 1, stride))


def sweep(cells: Iterable[Cell], ways: tuple[str, ...] = ()) -> Tally:
    """
    Drive cells of one recording and model, and compare them with the table.

    Args:
        cells: In any order.
        ways: Through the SDK, taken in turn; none drives the session itself.
    """
    tally = Tally()
    judge: Judge | None = None
    for number, cell in enumerate(cells):
        judge = judge or Judge(cell.recording, cell.model)
        result = call(cell, ways[number % len(ways)]) if ways else run(cell)
        tally.flaws += judge.flaws(cell, result)
        tally.cells += 1
    if judge is not None:
        tally.outputs = judge.outputs
        judge.close()
    return tally


def states_of(recording: Recording, model: str) -> Iterator[State]:
    """Give the state at every cut; it changes only where an event is complete."""
    recorded = Recorded.from_bytes(recording.stream(model))
    edges = [0, *recorded.ends, recorded.size + 1]
    for edge, following in itertools.pairwise(edges):
        yield from itertools.repeat(state_of(recorded, edge, recording), following - edge)


def counted(recording: Recording) -> Counter[Outcome]:
    """Count the cells of a recording by what the table expects of them; the code under test is not asked."""
    found: Counter[Outcome] = Counter()
    for model in MODELS:
        for state in states_of(recording, model):
            found[TABLE[state].outcome] += len(FAULTS)
    return found


def rows() -> list[str]:
    """Write the counts as a table, a row for each recording and one for all."""
    total: Counter[Outcome] = Counter()
    table = ["| recording | bytes | cells | " + " | ".join(outcome.value for outcome in Outcome) + " |"]
    table.append("|---|--:|--:|" + "--:|" * len(Outcome))
    for recording in RECORDINGS:
        found = counted(recording)
        total += found
        sizes = "/".join(str(size) for size in sorted({len(recording.stream(model)) for model in MODELS}))
        table.append(_row(recording.name, sizes, found))
    return [*table, _row("all", "", total)]


def _row(name: str, sizes: str, found: Counter[Outcome]) -> str:
    counts = [found.total(), *(found[outcome] for outcome in Outcome)]
    return f"| {name} | {sizes} | " + " | ".join(f"{count:,}" for count in counts) + " |"


def through_sdk(recording: Recording, model: str, stride: int) -> Tally:
    """Sweep a sample in process, sync and async in turn."""
    return sweep(at_stride(recording, model, stride), IN_PROCESS)


def over_http(recording: Recording, model: str, stride: int) -> Tally:
    """Sweep a sample over HTTP, sync and async in turn."""
    return sweep(at_stride(recording, model, stride, AUDIBLE), OVER_HTTP)
