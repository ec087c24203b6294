"""
What a log is when nothing is added any more: runs of its events in packs, each one compressed, markers as they were.

Pure. A pack stands where its last event stood, so a log of packs is read from any cursor by the commands that read any
other: what they find begins with the pack that the cursor is in.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from resumable._core.store_errors import LogLostError

from ._records import Cursor, Entry, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SMALLEST = 8  # events; fewer cost no less in a pack
_MOST = 1000  # events; more gain little, and a reader that begins inside unpacks all
_LARGEST = 1 << 18  # [bytes] Of events in one pack, likewise.
_ZLIB = b"\x78"  # How every stream of zlib begins that has its usual window; no envelope does.

_EVENTS = msgspec.msgpack.Decoder(list[bytes])


class Pack(NamedTuple):
    """
    Events of one lease that follow each other, as one entry of a log.

    Attributes:
        token: Of the lease they were written under.
        first: Seq of the first.
        last: Seq of the last.
        blob: [bytes] The events as a MessagePack array, compressed by zlib; or an envelope with that in it.
    """

    token: int
    first: int
    last: int
    blob: bytes

    @property
    def cursor(self) -> Cursor:
        """Where a reader is that has seen its last event."""
        return Cursor(self.token, self.last)


Stored: TypeAlias = Entry | Pack


class Piece(bytes):
    """
    Stands for an event that is in an encrypted pack: the whole envelope, for who can open it.

    Attributes:
        pack: The pack.
    """

    pack: Pack

    @classmethod
    def of(cls, pack: Pack) -> Piece:
        """Make what stands for each of its events."""
        piece = cls(pack.blob)
        piece.pack = pack
        return piece


def pack_log(log: Iterable[Entry]) -> list[Stored]:
    """Put a whole log into packs; what would gain nothing stays as it is."""
    packed: list[Stored] = []
    run: list[Recorded] = []
    size = 0
    for entry in log:
        if not isinstance(entry, Recorded):
            packed += [*_packed(run), entry]
            run, size = [], 0
            continue
        size += len(entry.event)
        if len(run) >= _MOST or (run and size > _LARGEST):
            packed += _packed(run)
            run, size = [], len(entry.event)
        run.append(entry)
    return [*packed, *_packed(run)]


def _packed(run: Sequence[Recorded]) -> Sequence[Stored]:
    if len(run) < _SMALLEST:
        return run
    blob = zlib.compress(msgspec.msgpack.encode([entry.event for entry in run]))
    return [Pack(run[0].token, run[0].seq, run[-1].seq, blob)]


def events_in(pack: Pack, blob: bytes) -> list[bytes]:
    """
    Take the events out of a pack.

    Args:
        pack: The pack.
        blob: [bytes] What it holds, decrypted.

    Raises:
        ValueError: It does not hold what it should.
    """
    try:
        events = _EVENTS.decode(zlib.decompress(blob))
    except (zlib.error, msgspec.MsgspecError) as exc:
        raise ValueError(pack.cursor) from exc
    if len(events) != pack.last - pack.first + 1:
        raise ValueError(pack.cursor)
    return events


def entries_in(session_id: str, pack: Pack, since: Cursor) -> list[Entry]:
    """
    Give the entries that a pack stands for, beginning with a cursor.

    Args:
        session_id: Whose.
        pack: The pack; for one that is encrypted, each event is a `Piece`.
        since: The first that is wanted.

    Raises:
        LogLostError: It does not hold what it should.
    """
    skip = max(since.seq - pack.first, 0) if since.token == pack.token else 0
    seqs = range(pack.first + skip, pack.last + 1)
    if not pack.blob.startswith(_ZLIB):
        piece = Piece.of(pack)
        return [Recorded(pack.token, seq, piece) for seq in seqs]
    try:
        events = events_in(pack, pack.blob)
    except ValueError as exc:
        raise LogLostError(session_id, "log") from exc
    return [Recorded(pack.token, seq, event) for seq, event in zip(seqs, events[skip:], strict=True)]


def spread(session_id: str, stored: Iterable[Stored], since: Cursor, limit: int) -> list[Entry]:
    """
    Give the entries that a log stands for, beginning with a cursor.

    Args:
        session_id: Whose.
        stored: What the log holds, beginning with what the cursor is in.
        since: The first that is wanted.
        limit: [entries] At most this many.
    """
    found: list[Entry] = []
    for one in stored:
        if len(found) >= limit:
            break
        found += entries_in(session_id, one, since) if isinstance(one, Pack) else [one]
    return found[:limit]


def size_of(log: Iterable[Stored]) -> int:
    """Count the entries that a log stands for."""
    return sum(one.last - one.first + 1 if isinstance(one, Pack) else 1 for one in log)
