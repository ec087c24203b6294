"""
Whether the laws held, judged from the log as the server has it, and from what every process wrote down.

Nothing of the library is asked: the log is read by a bare client.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.chaos.diary import read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Protocol

    from tests.chaos.plan import Plan

if TYPE_CHECKING:

    class Bare(Protocol):
        """What logs are read by: a client of redis-py, or something that finds the server of a key and asks it."""

        def xrange(self, name: str) -> Any:
            """Give a stream."""
            ...

        def hgetall(self, name: str) -> Any:
            """Give a hash."""
            ...


OVER = {"complete", "failed", "cancelled"}
# What a writer may meet in a storm; a store that is away is told apart by whether it heals.
EXPECTED = {"FencedError", "DivergedError", "SessionEndedError", "LeaseHeldError"}
SHOWN = 10  # flaws of one log
# What a server that lost something may bring besides.
EXPECTED_OF_A_LOSS = {"LogRewoundError", "SessionNotFoundError", "LogLostError", "CursorError"}


class Line(NamedTuple):
    """
    One entry of a log.

    Attributes:
        token: First half of its id.
        seq: Second half; 0 is a marker.
        fields: As they stand there.
    """

    token: int
    seq: int
    fields: dict[str, str]

    @property
    def name(self) -> str:
        """Its id."""
        return f"{self.token}-{self.seq}"

    @property
    def event(self) -> str | None:
        """The event; `None` for a marker."""
        return self.fields.get("d")


class Log(NamedTuple):
    """
    One session, as the server has it.

    Attributes:
        session_id: Whose.
        lines: Its log.
        meta: Its checkpoint.
    """

    session_id: str
    lines: list[Line]
    meta: dict[str, str]

    @classmethod
    def read(cls, client: Bare, session_id: str) -> Log:
        """Ask the server."""
        raw: Any = client.xrange(f"resumable:{{{session_id}}}:log")
        found: Any = client.hgetall(f"resumable:{{{session_id}}}:meta")
        lines = []
        for name, fields in raw:
            token, _, seq = name.decode().partition("-")
            lines.append(Line(int(token), int(seq), _plain(fields)))
        return cls(session_id, lines, _plain(found))

    def flaws(self) -> Iterator[str]:
        """List what is wrong with the log in itself, and between it and the checkpoint."""
        if not self.lines:
            yield "no log"
            return
        base, holder, marker, writer = 0, "", 0, 0
        before: Line | None = None
        for line in self.lines:
            if line.event is None:
                yield from self._flaws_of_marker(line, before, base, marker)
                holder, marker = line.fields.get("holder", ""), line.token
                writer = line.token if holder else writer
            else:
                if line.seq != base + 1:
                    yield f"{line.name} follows seq {base}"
                yield from self._flaws_of_event(line, holder, marker)
                base = line.seq
            before = line
        yield from self._flaws_of_meta(base, marker, writer)

    def _flaws_of_marker(self, line: Line, before: Line | None, base: int, marker: int) -> Iterator[str]:
        if line.seq != 0:
            yield f"{line.name} is neither marker nor event"
        if line.token <= marker:
            yield f"marker {line.name} does not grow"
        if line.fields.get("base") != str(base):
            yield f"marker {line.name} has base {line.fields.get('base')}, the log {base}"
        if line.fields.get("after") != (before.name if before else None):
            yield f"marker {line.name} follows {line.fields.get('after')}, and not {before and before.name}"
        if line.fields["status"] in OVER and line is not self.lines[-1]:
            yield f"something follows the end {line.name}"

    def _flaws_of_event(self, line: Line, holder: str, marker: int) -> Iterator[str]:
        said = json.loads(line.event or "{}")
        if line.token != marker:
            yield f"{line.name} stands behind marker {marker}"
        if (said["session"], said["seq"], said["token"]) != (self.session_id, line.seq, line.token):
            yield f"{line.name} holds the event {said['session']} {said['token']}-{said['seq']}"
        if said["holder"] != holder:
            yield f"{line.name} was written by {said['holder']}, the marker names {holder!r}"

    def _flaws_of_meta(self, last_seq: int, marker: int, writer: int) -> Iterator[str]:
        markers = [line for line in self.lines if line.event is None]
        written = [line for line in markers if line.fields["holder"]]
        if not written:
            yield "no marker names a holder"
            return
        expected = {
            "status": markers[-1].fields["status"],
            "last_seq": str(last_seq),
            "upto": str(last_seq),
            "words": f"up to {last_seq}",
            "marker": str(marker),
            "token": str(writer),
            "holder": written[-1].fields["holder"],
            "base": written[-1].fields["base"],
            "takeovers": str(len(written) - 1),
        }
        for name, value in expected.items():
            if self.meta.get(name) != value:
                yield f"the checkpoint says {name}={self.meta.get(name)}, the log {value}"
        if markers[-1].fields["status"] not in OVER:
            yield f"not over: {markers[-1].fields['status']}"


def _plain(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}


class Verdict:
    """
    What came of a storm.

    Attributes:
        flaws: What broke a law; empty when nothing did.
        counts: What happened, by name.
    """

    def __init__(self, plan: Plan, client: Bare, folder: Path) -> None:
        self.flaws: list[str] = []
        self.counts: Counter[str] = Counter()
        self._may_lose, self._may_rewind = plan.may_lose, plan.may_rewind
        self._logs = {one: Log.read(client, one) for one in plan.ids()}
        for one, log in self._logs.items():
            self._add(one, *itertools.islice(log.flaws(), SHOWN))
            self.counts["events"] += sum(line.event is not None for line in log.lines)
            self.counts["takeovers"] += int(log.meta.get("takeovers", 0))
            self.counts[f"ended {log.meta.get('status')}"] += 1
        self._judge_writers(folder)
        self._judge_readers(folder)

    def _add(self, session_id: str, *flaws: str) -> None:
        self.flaws += [f"{session_id}: {flaw}" for flaw in flaws]

    def _judge_writers(self, folder: Path) -> None:
        holders: dict[tuple[str, int], set[str]] = defaultdict(set)
        for _, entry in read_all(folder, "writer-"):
            session_id, what = entry["session"], entry["what"]
            self.counts[what] += 1
            if what in {"refused", "stopped"}:
                self.counts[" ".join(filter(None, (f"{what}: {entry['error']}", entry["reason"])))] += 1
                self._judge_error(entry)
            if what == "refused":
                continue
            holders[session_id, entry["token"]].add(entry["holder"])
            self._judge_acked(entry)
        if not self._may_lose:
            for (session_id, token), names in holders.items():
                if len(names) > 1:
                    self._add(session_id, f"token {token} was given to {sorted(names)}")

    def _judge_error(self, entry: dict[str, Any]) -> None:
        name = entry["error"]
        is_away = name == "StoreUnavailableError" and entry["retryable"] and entry["what"] == "refused"
        if not (is_away or name in EXPECTED or (self._may_rewind and name in EXPECTED_OF_A_LOSS)):
            self._add(entry["session"], f"a writer was {entry['what']} by {name}: {entry['text']}")

    def _judge_acked(self, entry: dict[str, Any]) -> None:
        """What was acknowledged to a holder is there, and his; so is what he delivered, or he was told otherwise."""
        own = self._own(entry["session"], entry["token"], entry["holder"])
        highest = max(own, default=0)
        if entry["acked"] > highest and self._own_base(entry) < entry["acked"]:
            self._lost(entry, f"{entry['holder']} was told that the log holds {entry['acked']}, it holds {highest}")
        if entry["what"] != "stopped" or entry["error"] == "StoreUnavailableError":
            return
        if entry["error"] == "DivergedError":
            if entry["delivered"] <= highest:
                self._lost(entry, f"{entry['holder']} diverged, and the log holds {highest}, all he delivered")
            if entry["last_seq"] not in own and entry["last_seq"] > self._own_base(entry):
                self._lost(entry, f"{entry['holder']} was told to diverge from {entry['last_seq']}")
        elif entry["delivered"] > max(highest, self._own_base(entry)):
            self._lost(entry, f"{entry['holder']} delivered {entry['delivered']}, and was not told: {entry['error']}")

    def _own(self, session_id: str, token: int, holder: str) -> set[int]:
        log = self._logs[session_id]
        return {
            line.seq
            for line in log.lines
            if line.event is not None and line.token == token and json.loads(line.event)["holder"] == holder
        }

    def _own_base(self, entry: dict[str, Any]) -> int:
        for line in self._logs[entry["session"]].lines:
            if line.event is None and (line.token, line.fields["holder"]) == (entry["token"], entry["holder"]):
                return int(line.fields["base"])
        return 0

    def _lost(self, entry: dict[str, Any], flaw: str) -> None:
        if self._may_lose:
            self.counts["losses by the server"] += 1
        else:
            self._add(entry["session"], flaw)

    def _judge_readers(self, folder: Path) -> None:
        stretches: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
        for name, entry in read_all(folder, "reader-"):
            stretches[entry["session"], f"{name} {entry['reader']}", entry["stretch"]].append(entry)
        for (session_id, _, _), entries in stretches.items():
            self.counts["stretches read"] += 1
            self._judge_stretch(session_id, entries)

    def _judge_stretch(self, session_id: str, entries: list[dict[str, Any]]) -> None:
        last = entries[-1]
        seen = [entry for entry in entries if entry["what"] == "saw"]
        self.counts["entries read"] += len(seen)
        is_told = last["what"] == "rewound" or (last["what"] == "error" and last["error"] in EXPECTED_OF_A_LOSS)
        if is_told and self._may_rewind:
            self.counts["readers told of a loss"] += 1
        elif last["what"] in {"error", "rewound"}:
            self._add(session_id, f"a reader met {last.get('error', last['what'])}: {last}")
        else:
            self._compare(session_id, seen, is_whole=last["what"] == "end")

    def _compare(self, session_id: str, seen: list[dict[str, Any]], *, is_whole: bool) -> None:
        """Hold what a reader saw against the log."""
        lines = self._logs[session_id].lines
        pairs = zip(seen, lines, strict=False)
        same = itertools.takewhile(
            lambda pair: (pair[0]["id"], pair[0]["event"]) == (pair[1].name, pair[1].event), pairs
        )
        common = sum(1 for _ in same)
        if common < len(seen):
            names = {(line.name, line.event) for line in lines}
            went_on = any((entry["id"], entry["event"]) in names for entry in seen[common:])
            if went_on or not self._may_rewind:
                self._add(session_id, f"a reader saw {seen[common]['id']} as entry {common}: not in the log there")
            else:  # it was at its end, or killed, before the server was
                self.counts["readers gone before a loss"] += 1
        elif is_whole:
            self.counts["read to the end"] += 1
            if common < len(lines):
                self._add(session_id, f"a reader ended behind {common} of {len(lines)} entries")
