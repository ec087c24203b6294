"""
How often a continuation joins byte for byte, and whether it is ever silently wrong.

Documents are cut at random characters and at token-like boundaries; each continuer answers; the
answer is fed in pieces of random size. Deterministic. Everything runs on two seeds: one that the
seam was tuned on, and one for documents and phrases on which nothing was tuned; targets are
judged on the second. The best public stitching rule stands in the same table.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from benchmarks import _baseline
from benchmarks._continuers import CONTINUERS, Answer, Situation
from benchmarks._documents import KINDS
from benchmarks._report import Figure, Report, parse_options
from resumable._core.seam import Join, Missed, SeamFinder, choose_anchor

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS: Final = {"tuned": 1, "held out": 20_261_122}
DOCUMENTS_PER_KIND: Final = 6
CUTS: Final = 200
QUICK: Final = 10
_TOKEN: Final = re.compile(r"\s?[^\W\d_]{1,7}|\s?\d{1,3}|\s?[^\w\s]{1,3}|_|\s+")


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a document broke: what had arrived, and by which rule it was cut."""

    kind: str
    document: str
    other: str
    at: int
    is_token: bool


@dataclass(slots=True)
class Tally:
    """What became of the answers of one continuer."""

    answers: int = 0
    right: int = 0
    exact: int = 0
    certain: int = 0
    corrupt: int = 0
    right_if_joined: int = 0
    theirs: int = 0
    theirs_corrupt: int = 0


def main() -> int:
    """Run, print, and return the exit code."""
    options = parse_options(__doc__)
    report = Report("seam", options)
    for name, seed in SEEDS.items():
        tallies = run(seed, phrases=int(name != "tuned"), cuts=QUICK if options.quick else CUTS)
        _tabulate(report, name, tallies)
        _judge(report, name, tallies, is_judged=name != "tuned")
    return report.conclude()


def run(seed: int, *, phrases: int, cuts: int) -> dict[tuple[str, str, bool], Tally]:
    """Return a tally for each kind of document, continuer and rule of cutting."""
    tallies: dict[tuple[str, str, bool], Tally] = {}
    for cut in make_cuts(seed, cuts):
        for name in CONTINUERS:
            tally = tallies.setdefault((cut.kind, name, cut.is_token), Tally())
            _try(cut, name, phrases, tally)
    return tallies


def make_cuts(seed: int, count: int) -> Iterator[Cut]:
    """Generate the documents and cut each *count* times, half at characters, half at tokens."""
    for kind, generate in KINDS.items():
        chance = Random(f"{seed}/{kind}")
        documents = [generate(chance) for _ in range(DOCUMENTS_PER_KIND)]
        for index, document in enumerate(documents):
            last = len(document.rstrip())
            tokens = [m.end() for m in _TOKEN.finditer(document) if m.end() < last]
            for number in range(count):
                is_token = number % 2 == 1
                at = 0
                while not document[:at].strip():
                    at = chance.choice(tokens) if is_token else chance.randrange(1, last)
                yield Cut(kind, document, documents[index - 1], at, is_token)


def _try(cut: Cut, name: str, phrases: int, tally: Tally) -> None:
    delivered = cut.document[: cut.at].rstrip()
    anchor = choose_anchor(delivered)
    answer, chance = _answer(cut, name, phrases, anchor)
    decision = find(delivered, anchor, answer.text, chance)
    wanted = None if answer.own is None else delivered + answer.own
    tally.answers += 1
    join = decision.best if isinstance(decision, Missed) else decision
    is_right = delivered + join.insert + answer.text[join.cut :] == wanted
    tally.right_if_joined += is_right
    if isinstance(decision, Join):
        tally.certain += 1
        tally.exact += decision.quality == "exact"
        tally.right += is_right
        tally.corrupt += not is_right
    received = cut.document[: cut.at]
    answer, _ = _answer(cut, name, phrases, _baseline.choose_anchor(received))
    joined, is_found = _baseline.join(received, answer.text)
    is_right = answer.own is not None and joined == delivered + answer.own
    tally.theirs += is_right
    tally.theirs_corrupt += is_found and not is_right


def _answer(cut: Cut, name: str, phrases: int, anchor: str) -> tuple[Answer, Random]:
    """What the continuer says; the own text begins with the whitespace after the cut."""
    chance = Random(f"{cut.at}/{name}/{len(cut.document)}")
    delivered = cut.document[: cut.at].rstrip()
    situation = Situation(delivered, cut.document[len(delivered) :], anchor, cut.other, phrases, chance)
    return CONTINUERS[name](situation), chance


def find(delivered: str, anchor: str, text: str, chance: Random) -> Join | Missed:
    """Feed *text* in pieces of random size until the seam is decided."""
    finder = SeamFinder(delivered, anchor)
    start = 0
    while start < len(text):
        size = chance.randint(1, 12)
        decision = finder.feed(text[start : start + size])
        if decision is not None:
            return decision
        start += size
    return finder.finish()


def _tabulate(report: Report, seed: str, tallies: dict[tuple[str, str, bool], Tally]) -> None:
    header = ["continuer", "answers", "exact bytes %", "labelled exact %", "asked again %", "silently wrong"]
    header += ["right if joined %", "baseline exact bytes %", "baseline silently wrong"]
    rows = []
    for name in CONTINUERS:
        t = _sum(tallies, {name})
        rows.append([name, t.answers, *_cells(t)])
    report.add_table(f"{seed} seed, by continuer", header, rows)
    header = ["kind", *(f"{rule} cuts %" for rule in ("character", "token"))]
    rows = []
    for kind in KINDS:
        parts = [[t for (k, n, token), t in tallies.items() if k == kind and n in _ANCHOR and token is rule] for rule in (False, True)]
        rows.append([kind, *(100 * sum(t.right for t in part) / sum(t.answers for t in part) for part in parts)])
    report.add_table(f"{seed} seed, exact bytes by kind of document when the anchor is repeated", header, rows)


def _cells(t: Tally) -> list[float | int]:
    n = t.answers / 100
    return [t.right / n, t.exact / n, (t.answers - t.certain) / n, t.corrupt, t.right_if_joined / n, t.theirs / n, t.theirs_corrupt]


def _sum(tallies: dict[tuple[str, str, bool], Tally], names: set[str], kinds: set[str] | None = None) -> Tally:
    total = Tally()
    for (kind, name, _), t in tallies.items():
        if name in names and (kinds is None or kind in kinds):
            for field in Tally.__slots__:
                setattr(total, field, getattr(total, field) + getattr(t, field))
    return total


_ANCHOR: Final = {name for name in CONTINUERS if name.startswith(("repeats the anchor", "… with"))} - {
    "repeats the anchor's lines",
    "repeats the anchor's sentences",
}


def _judge(report: Report, seed: str, tallies: dict[tuple[str, str, bool], Tally], *, is_judged: bool) -> None:
    def add(name: str, value: float, at_least: float | None = None, at_most: float | None = None) -> None:
        unit = "" if at_most is not None else "%"
        if not is_judged:
            at_least = at_most = None
        report.add(Figure(f"{seed}: {name}", value, unit, at_least, at_most))

    for name in sorted(_ANCHOR):
        t = _sum(tallies, {name})
        add(f"exact bytes, {name}", 100 * t.right / t.answers, 99.5)
        t = _sum(tallies, {name}, {"periodic"})
        add(f"exact bytes on periodic text, {name}", 100 * t.right / t.answers, 100)
    for names in (("repeats the line", "repeats the anchor's lines"), ("repeats the sentence", "repeats the anchor's sentences")):
        for name in names:
            t = _sum(tallies, {name})
            add(f"exact bytes, {name}", 100 * t.right / t.answers, 95)
    t = _sum(tallies, {"repeats the anchor", "repeats the anchor's lines", "repeats the anchor's sentences", "preamble, then the anchor"})
    add("labelled exact, of the joins of compliant answers", 100 * t.exact / max(t.certain, 1), 99)
    add("silently wrong", _sum(tallies, set(CONTINUERS)).corrupt, at_most=0)


if __name__ == "__main__":
    raise SystemExit(main())
