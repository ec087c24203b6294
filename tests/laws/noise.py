"""Bytes that no upstream should send: bodies of noise, and valid streams spoiled byte by byte or field by field."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from resumable.testing import SCRIPTS, Answer
from resumable.testing._frames import Frame
from tests.laws.calls import call
from tests.laws.schedules import Schedule

_CONTENT = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"\n\n", b"\xff", b"\x00", b":", b"data: ", b"event: ", b"\xe2\x80", b'"', b"{"]
    ),
)
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from(
        [10**30, -(10**30), 1.5, "", "text", "tool_use", "\ud800", [], {}, [[]], {"type": "text"}, "é\u2028"]
    ),
)
_NAMES = (b"ping", b"error", b"message_start", b"message_stop", b"content_block_delta", b"message_delta", b"new", b"")


@functools.cache
def body_of(reply: str) -> bytes:
    """Give the bytes of a script's answer when nothing goes wrong."""
    return call(Schedule(reply, "claude-haiku-4-5"), way="bytes", wraps=False).body


@dataclass(frozen=True)
class Edit:
    """
    Replace some bytes.

    Attributes:
        at: [0..1) Share of the body before the place.
        length: [bytes] How many go.
        content: What comes instead.
    """

    at: float
    length: int
    content: bytes

    def apply(self, body: bytes) -> bytes:
        """Spoil a body."""
        place = int(self.at * len(body))
        return body[:place] + self.content + body[place + self.length :]


@dataclass(frozen=True)
class Move:
    """
    Repeat one record somewhere else, or leave it out.

    Attributes:
        source: [0..1) Share of the records before the one.
        target: [0..1) Share of the records before its new place; `None` leaves it out.
    """

    source: float
    target: float | None

    def apply(self, body: bytes) -> bytes:
        """Spoil a body."""
        records = body.split(b"\n\n")[:-1]
        if not records:
            return body
        record = records[int(self.source * len(records))]
        if self.target is None:
            records.remove(record)
        else:
            records.insert(int(self.target * len(records)), record)
        return b"".join(part + b"\n\n" for part in records)


@dataclass(frozen=True)
class Twist:
    """
    Give one field of one record another value, or the record another name.

    Attributes:
        at: [0..1) Share of the records before the one.
        turn: Which of the record's fields, nested ones among them.
        value: Its new value; bytes rename the record instead.
        drops: Whether the field goes altogether.
    """

    at: float
    turn: int
    value: Any
    drops: bool = False

    def apply(self, body: bytes) -> bytes:
        """Spoil a body."""
        records = body.split(b"\n\n")[:-1]
        if not records:
            return body
        number = int(self.at * len(records))
        records[number] = self._twisted(records[number])
        return b"".join(part + b"\n\n" for part in records)

    def _twisted(self, record: bytes) -> bytes:
        name, found, data = record.partition(b"\ndata: ")
        if isinstance(self.value, bytes):
            return b"event: " + self.value + found + data
        try:
            fields = json.loads(data)
        except ValueError:
            return record
        places = list(_places(fields))
        if places:
            holder, key = places[self.turn % len(places)]
            if self.drops:
                del holder[key]
            else:
                holder[key] = self.value
        return name + found + json.dumps(fields).encode()


def _places(value: Any) -> Any:
    """Walk over every field, the outer ones first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, _ in inner:
        yield value, key
    for _, held in inner:
        yield from _places(held)


@dataclass(frozen=True)
class Noise:
    """
    A fault that spoils an answer's bytes; it cannot be told from what an upstream gone mad would send.

    Attributes:
        changes: Suffered in turn.
        instead: Sent in place of the answer, if it is not `None`.
    """

    changes: tuple[Any, ...] = ()
    instead: bytes | None = None

    @property
    def reaches_model(self) -> bool:
        """What is spoiled is the model's answer."""
        return True

    def spoil(self, body: bytes) -> bytes:
        """Spoil a body."""
        body = body if self.instead is None else self.instead
        for change in self.changes:
            body = change.apply(body)
        return body

    def apply(self, answer: Answer) -> Answer:
        """Spoil an answer; only a stream has one."""
        if not answer.is_stream:
            return answer
        body = self.spoil(answer.body)
        parts = tuple(Frame(record) for record in body.splitlines(keepends=True))
        return replace(answer, frames=parts, whole=False)


_share = st.floats(0, 1, exclude_max=True, allow_subnormal=False)
_edits = st.builds(Edit, _share, st.integers(0, 12), _CONTENT)
_moves = st.builds(Move, _share, st.one_of(st.none(), _share))
_twists = st.builds(
    Twist, _share, st.integers(0, 30), st.one_of(_VALUES, _VALUES, st.sampled_from(_NAMES)), st.booleans()
)
_spoiled = st.lists(st.one_of(_edits, _moves, _twists, _twists), min_size=1, max_size=4).map(tuple)
noise = st.one_of(
    st.builds(Noise, _spoiled),
    st.builds(Noise, _spoiled),
    st.builds(Noise, st.just(()), st.binary(max_size=200)),
    st.builds(Noise, _spoiled, st.sampled_from(tuple(SCRIPTS)).map(body_of)),
)
