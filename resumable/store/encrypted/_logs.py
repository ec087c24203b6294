"""The content of a log, decrypted: an event where it stands, or a whole pack."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from resumable.store._packs import Pack, Piece, events_in
from resumable.store._records import Entry, Recorded

from ._envelopes import MARK, AlteredError, DataKey

if TYPE_CHECKING:
    from collections.abc import Sequence


class Plain:
    """Stands for the key of a session that is not encrypted: it was opened before there were keys."""

    request_hash = None

    @staticmethod
    def seal(place: str, plain: bytes) -> bytes:
        """As `DataKey.seal`: nothing is done."""
        del place
        return plain

    @staticmethod
    def open(place: str, sealed: bytes) -> bytes:
        """
        As `DataKey.open`: nothing is done.

        Raises:
            AlteredError: It is an envelope.
        """
        del place
        if sealed.startswith(MARK):
            raise AlteredError
        return sealed


PLAIN = Plain()
Key: TypeAlias = DataKey | Plain


def open_entries(key: Key, found: Sequence[Entry]) -> Sequence[Entry]:
    """
    Decrypt what a log holds.

    Raises:
        AlteredError: It does not belong there.
    """
    if key is PLAIN:
        for entry in found:
            if isinstance(entry, Recorded):
                key.open("", entry.event)
        return found
    clear: list[Entry] = []
    pack: Pack | None = None
    events: list[bytes] = []
    for entry in found:
        if not isinstance(entry, Recorded):
            clear.append(entry)
        elif not isinstance(entry.event, Piece):
            event = key.open(f"log {entry.token}-{entry.seq}", entry.event)
            clear.append(Recorded(entry.token, entry.seq, event))
        else:
            its = entry.event.pack
            if its is not pack:
                pack, events = its, _unpacked(key, its)
            clear.append(Recorded(entry.token, entry.seq, events[entry.seq - its.first]))
    return clear


def _unpacked(key: Key, pack: Pack) -> list[bytes]:
    try:
        return events_in(pack, key.open(place_of(pack), pack.blob))
    except ValueError as exc:
        raise AlteredError from exc


def place_of(pack: Pack) -> str:
    """Say what a pack is bound to."""
    return f"pack {pack.token}-{pack.first}-{pack.last}"
