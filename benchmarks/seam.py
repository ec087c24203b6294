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
from dataclasses import dataclass, fields
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
    from collections.abc import Iterable, Iterator

SEEDS: Final = {"tuned": 1, "held out": 16_180_339}
DOCUMENTS_PER_KIND: Final = 6
CUTS: Final = 200
QUICK: Final = 60
_ANCHOR: Final = ("repeats the anchor", "… with its whitespace normalised", "… with its quotes changed")
_NATURAL: Final = ("repeats the line", "repeats the sentence")
# Less than was asked for: the line or sentence that was cut, as far as it came, be it three letters.
_LESS_THAN_ASKED: Final = ("repeats only the broken line", "repeats only the broken sentence")
# The own text of these two and of those above does not stand behind the anchor. Where the document
# repeats itself, an answer of theirs can be, letter for letter, that of a model which did repeat:
# what is silently wrong there is reported, without a target.
_UNREPEATED: Final = ("goes on without repeating", "… leading space stripped")
# These have no own text: whatever they say, it is another text. Where that begins just as the broken
# line does, it joins; reported, without a target.
_OTHER_TEXT: Final = ("diverges", "diverges, from the beginning of a line")
_FOR_INFORMATION: Final = (*_UNREPEATED, *_LESS_THAN_ASKED, *_OTHER_TEXT)
_COMPLIANT: Final = (
    "repeats the anchor",
    *_NATURAL,
    "preamble, then the anchor",
    "opens its fence again",
    "starts over",
)
_ORDINARY: Final = tuple(kind for kind in KINDS if kind != "periodic")
# Cut where byte-pair tokenisers cut: words carry the space before them, newlines follow punctuation.
_TOKEN: Final = re.compile(r"[^\S\r\n]?[^\W\d_]{1,8}|\d{1,3}| ?[^\s\w]{1,4}[\r\n]*|_|\s*[\r\n]+|\s+(?!\S)|\s+")


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

    def add(self, other: Tally) -> None:
        """Add the counts of *other*."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


Tallies = dict[tuple[str, str, bool], Tally]
"""Kind of document, continuer, whether cut at tokens; to what became of the answers."""


def main() -> int:
    """Run, print, and return the exit code."""
    options = parse_options(__doc__)
    report = Report("seam", options)
    for name, seed in SEEDS.items():
        if options.quick and name == "tuned":
            continue
        tallies = run(seed, phrases=int(name != "tuned"), cuts=QUICK if options.quick else CUTS)
        _tabulate(report, name, tallies)
        _judge(report, name, tallies, is_judged=name != "tuned")
    return report.conclude()


def run(seed: int, *, phrases: int, cuts: int) -> Tallies:
    """Return a tally for each kind of document, continuer and rule of cutting."""
    tallies: Tallies = {}
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
    chance = Random(f"{cut.at}/{name}/{len(cut.document)}")
    anchor = choose_anchor(delivered)
    answer = _answer(cut, name, phrases, anchor)
    if answer is None:
        return
    decision = find(delivered, anchor, answer.text, chance)
    join = decision.best if isinstance(decision, Missed) else decision
    is_right = join.insert + answer.text[join.cut :] == answer.own
    tally.answers += 1
    tally.right_if_joined += is_right
    if isinstance(decision, Join):
        tally.certain += 1
        tally.exact += decision.quality == "exact"
        tally.right += is_right
        tally.corrupt += not is_right
    received = cut.document[: cut.at]
    answer = _answer(cut, name, phrases, _baseline.choose_anchor(received))
    if answer is not None:
        joined, is_found = _baseline.join(received, answer.text)
        is_right = answer.own is not None and joined == delivered + answer.own
        tally.theirs += is_right
        tally.theirs_corrupt += is_found and not is_right


def _answer(cut: Cut, name: str, phrases: int, anchor: str) -> Answer | None:
    """Return what the continuer says; its own text begins with the whitespace after the cut."""
    delivered = cut.document[: cut.at].rstrip()
    chance = Random(f"{cut.at}/{name}")
    return CONTINUERS[name](Situation(delivered, cut.document[len(delivered) :], anchor, cut.other, phrases, chance))


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


def _tabulate(report: Report, seed: str, tallies: Tallies) -> None:
    header = ["continuer", "answers", "exact bytes %", "labelled exact %", "asked again %", "silently wrong"]
    header += ["right if joined %", "baseline exact bytes %", "baseline silently wrong"]
    rows = [[name, *_cells(_sum(tallies, [name], _ORDINARY))] for name in CONTINUERS]
    report.add_table(f"{seed} seed", header, rows)
    rows = [
        [name, *_cells(_sum(tallies, [name], ["periodic"]))]
        for name in CONTINUERS
        if _sum(tallies, [name], ["periodic"]).answers
    ]
    report.add_table(f"{seed} seed, periodic text", header, rows)
    header = ["kind of document", "at characters %", "at tokens %", "baseline at characters %", "baseline at tokens %"]
    rows = []
    for kind in KINDS:
        at_characters, at_tokens = (
            _sum(tallies, ["repeats the anchor"], [kind], is_token=is_token) for is_token in (False, True)
        )
        theirs = [100 * t.theirs / t.answers for t in (at_characters, at_tokens)]
        rows.append([kind, _share(at_characters), _share(at_tokens), *theirs])
    report.add_table(f"{seed} seed, exact bytes when the anchor is repeated", header, rows)


def _cells(t: Tally) -> list[float | int]:
    n = t.answers / 100
    shares = [t.right / n, t.exact / n, (t.answers - t.certain) / n]
    return [t.answers, *shares, t.corrupt, t.right_if_joined / n, t.theirs / n, t.theirs_corrupt]


def _share(t: Tally) -> float:
    return 100 * t.right / t.answers


def _sum(
    tallies: Tallies, names: Iterable[str], kinds: Iterable[str] = KINDS, *, is_token: bool | None = None
) -> Tally:
    total = Tally()
    for (kind, name, rule), tally in tallies.items():
        if name in names and kind in kinds and is_token in {None, rule}:
            total.add(tally)
    return total


def _judge(report: Report, seed: str, tallies: Tallies, *, is_judged: bool) -> None:
    """Add the figures; those of the tuned seed are for information."""

    def add(name: str, value: float, unit: str, *, at_least: float | None = None, at_most: float | None = None) -> None:
        at_least, at_most = (at_least, at_most) if is_judged else (None, None)
        report.add(Figure(f"{seed}: {name}", value, unit, at_least, at_most))

    for name in _ANCHOR:
        add(f"exact bytes, {name}", _share(_sum(tallies, [name])), "%", at_least=99.5)
        add(f"exact bytes on periodic text, {name}", _share(_sum(tallies, [name], ["periodic"])), "%", at_least=100)
    for name in (*_NATURAL, *_LESS_THAN_ASKED):
        add(f"exact bytes, {name}", _share(_sum(tallies, [name], _ORDINARY)), "%", at_least=95)
    for name in (*_NATURAL, *_LESS_THAN_ASKED):
        add(f"exact bytes on periodic text, {name}", _share(_sum(tallies, [name], ["periodic"])), "%")
    compliant = _sum(tallies, _COMPLIANT)
    add("labelled exact, of compliant joins", 100 * compliant.exact / max(compliant.certain, 1), "%", at_least=99)
    anchored = [name for name in CONTINUERS if name not in _FOR_INFORMATION]
    add("silently wrong, own text behind the anchor", _sum(tallies, anchored).corrupt, "", at_most=0)
    for name in _FOR_INFORMATION:
        add(f"silently wrong, {name}", _sum(tallies, [name]).corrupt, "")
    theirs = _sum(tallies, ["repeats the anchor"])
    add("public baseline: exact bytes, repeats the anchor", 100 * theirs.theirs / theirs.answers, "%")


if __name__ == "__main__":
    raise SystemExit(main())
