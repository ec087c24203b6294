"""
What is encrypted of a session and with what, what may be believed of what comes back; for both colours, without I/O.

Strategy: whoever needs the data key of a session finds it here, or looks at the checkpoint. Such a question is a plan,
a generator that yields session IDs and is sent what `Store.look` says of them. A writer's key is kept by its lease:
while a session is deleted and opened anew, a reader may still come with the key of its former life.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import msgspec

from resumable._core.errors import ConfigurationError
from resumable._core.store_errors import SealedError, StoreError
from resumable.store._packs import Pack
from resumable.store._records import Acquired, Append, Checkpoint, Entry, Opening, Recorded

from ._envelopes import MARK, AlteredError, DataKey
from ._logs import PLAIN, Key, Plain, open_entries, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resumable.store._packs import Stored
    from resumable.store._records import Lease

    from ._keyring import Keyring

T = TypeVar("T")
Look: TypeAlias = Generator[Sequence[str], "Sequence[Checkpoint | StoreError]", T]

#: Fields of the checkpoint that say how the rest is encrypted, and those that stay readable.
KEY_NAME, DATA_KEY, TROUBLE = "kid", "dek", "sealed"
RESERVED = frozenset({KEY_NAME, DATA_KEY, TROUBLE})
CLEAR = frozenset(
    {
        "attempt",
        "gap",
        "lease_ms",
        "model",
        "snapshot_seq",
        "stop_reason",
        "strategy",
        "text_chars",
        "usage",
        "usage_estimated",
    }
)
_KEPT = 4096  # sessions whose data keys are remembered; some 200 bytes each


class _Recent(Generic[T]):
    """What was used last, by name; threads may share it."""

    def __init__(self) -> None:
        self._found: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: Hashable) -> T | None:
        with self._lock:
            if name in self._found:
                self._found.move_to_end(name)
            return self._found.get(name)

    def put(self, name: Hashable, value: T) -> None:
        with self._lock:
            self._found[name] = value
            self._found.move_to_end(name)
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)

    def drop(self, name: Hashable) -> None:
        with self._lock:
            self._found.pop(name, None)


class Seals:
    """
    The data keys that a store is used with.

    Args:
        keyring: Wraps and unwraps them; empty to open only what is not encrypted.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._writers: _Recent[Key] = _Recent()
        self._readers: _Recent[Key] = _Recent()

    def opening(self, session_id: str, opening: Opening | None) -> tuple[Opening | None, DataKey | None]:
        """
        Encrypt what a session is to be created with, under a key of its own.

        Raises:
            ConfigurationError: A field's name is reserved.
        """
        if opening is None:
            return None, None
        _check_fields(opening.fields)
        named = self._keyring.current
        if named is None:
            return opening, None
        key = DataKey.fresh(session_id, opening.request_hash)
        fields = {**_sealed(key, opening.fields), KEY_NAME: named.name, DATA_KEY: key.wrapped(named)}
        sealed = Opening(
            key.seal("request", opening.request),
            named.mark(session_id, opening.request_hash),
            opening.principal,
            fields,
        )
        return sealed, key

    def conflict(self, session_id: str, opening: Opening | None, sealed: Opening | None) -> Look[Opening | None]:
        """
        Tell whether a conflict is none: the same request has another fingerprint under another key, or under none.

        Returns:
            What agrees with the session that is there; `None` where its request is another.

        Raises:
            SealedError: It cannot be told.
        """
        [there] = yield [session_id]
        if opening is None or sealed is None or isinstance(there, StoreError):
            return None
        key = self._key(there)
        if opening.request_hash != (key.request_hash or there.request_hash):
            return None
        return msgspec.structs.replace(sealed, request_hash=there.request_hash)

    def acquired(self, acquired: Acquired, fresh: DataKey | None) -> Acquired:
        """
        Note the key of a lease.

        Args:
            acquired: As the store gave it.
            fresh: The key that a new session was made with.

        Raises:
            SealedError: There is a key to it, and not here.
        """
        before = acquired.checkpoint
        key: Key = fresh or PLAIN if before is None else self._key(before)
        self._readers.put(acquired.lease.session_id, key)
        self._writers.put(_name(acquired.lease), key)
        return acquired if before is None else msgspec.structs.replace(acquired, checkpoint=self.checkpoint(before))

    def appends(self, appends: Sequence[Append]) -> Look[Sequence[Append | StoreError]]:
        """
        Encrypt appends; one whose session cannot be written is its own refusal.

        Raises:
            ConfigurationError: A field's name is reserved.
        """
        for one in appends:
            _check_fields(one.fields)
        if not self._keyring:  # Then only what is not encrypted was given out for writing.
            return appends
        keys = {_name(one.lease): self._writers.get(_name(one.lease)) for one in appends}
        strange = list({one.lease.session_id for one in appends if keys[_name(one.lease)] is None})
        there = dict(zip(strange, (yield strange), strict=True)) if strange else {}
        return [
            self._append(one, keys[_name(one.lease)] or self._writer(one.lease, there[one.lease.session_id]))
            for one in appends
        ]

    def _writer(self, lease: Lease, there: Checkpoint | StoreError) -> Key | StoreError:
        """Find the key of a lease that was not acquired here, or long ago."""
        if isinstance(there, StoreError):
            return there
        try:
            key = self._key(there)
        except SealedError as refused:
            return refused
        if (there.token, there.holder) == (lease.token, lease.holder):
            self._writers.put(_name(lease), key)
        return key  # Else the store fences it, whatever it is encrypted with.

    @staticmethod
    def _append(one: Append, key: Key | StoreError) -> Append | StoreError:
        if isinstance(key, StoreError):
            return key
        token = one.lease.token
        events = [key.seal(f"log {token}-{seq}", event) for seq, event in enumerate(one.events, one.first_seq)]
        return msgspec.structs.replace(one, events=events, fields=_sealed(key, one.fields))

    def entries(self, session_id: str, found: Sequence[Entry]) -> Look[Sequence[Entry]]:
        """
        Decrypt what a log holds.

        Raises:
            SealedError: It cannot be.
            StoreError: The session has gone meanwhile.
        """
        opened = self._quickly(session_id, found)
        if opened is None:
            [there] = yield [session_id]
            return self._thoroughly(session_id, found, there)
        return opened

    def arrived(
        self, found: Mapping[str, Sequence[Entry] | StoreError]
    ) -> Look[Mapping[str, Sequence[Entry] | StoreError]]:
        """Decrypt what a wait brought; what cannot be is the refusal of its own session."""
        opened: dict[str, Sequence[Entry] | StoreError] = {}
        closed: dict[str, Sequence[Entry]] = {}
        for session_id, following in found.items():
            its = following if isinstance(following, StoreError) else self._quickly(session_id, following)
            if its is None and not isinstance(following, StoreError):
                closed[session_id] = following
            elif its is not None:
                opened[session_id] = its
        if closed:
            looks = yield list(closed)
            for (session_id, following), there in zip(closed.items(), looks, strict=True):
                try:
                    opened[session_id] = self._thoroughly(session_id, following, there)
                except StoreError as refused:
                    opened[session_id] = refused
        return opened

    def request(self, session_id: str, found: bytes) -> Look[bytes]:
        """
        Decrypt a request.

        Raises:
            SealedError: It cannot be.
            StoreError: The session has gone meanwhile.
        """
        [there] = yield [session_id]
        if isinstance(there, StoreError):
            raise there
        key = self._key(there)
        try:
            return key.open("request", found)
        except AlteredError as exc:
            raise _altered(there, key) from exc

    def checkpoint(self, found: Checkpoint) -> Checkpoint:
        """Decrypt a checkpoint; where that cannot be, its field `sealed` says why in place of what is encrypted."""
        if not (RESERVED & found.fields.keys() or _envelopes(found.fields)):
            return found
        clear = {name: value for name, value in found.fields.items() if name in CLEAR and not value.startswith(MARK)}
        key: Key = PLAIN
        try:
            key = self._key(found)
            opened = {name: key.open(f"meta {name}", value) for name, value in _envelopes(found.fields).items()}
        except SealedError as refused:
            return msgspec.structs.replace(found, fields={**clear, TROUBLE: refused.reason.encode()})
        except AlteredError:
            reason = _altered(found, key).reason.encode()
            return msgspec.structs.replace(found, fields={**clear, TROUBLE: reason})
        # What is neither is a newer version's, or nobody's: it was not written by a holder of the key.
        return msgspec.structs.replace(
            found, request_hash=key.request_hash or found.request_hash, fields={**clear, **opened}
        )

    def checkpoints(self, found: Iterable[Checkpoint | StoreError]) -> list[Checkpoint | StoreError]:
        """As `checkpoint`, of several."""
        return [one if isinstance(one, StoreError) else self.checkpoint(one) for one in found]

    def packs(self, session_id: str, log: Sequence[Stored]) -> Look[Sequence[Stored]]:
        """
        Encrypt packs.

        Raises:
            SealedError: They cannot be.
            StoreError: The session has gone meanwhile.
        """
        [there] = yield [session_id]
        if isinstance(there, StoreError):
            raise there
        key = self._key(there)
        return [one._replace(blob=key.seal(place_of(one), one.blob)) if isinstance(one, Pack) else one for one in log]

    def forget(self, session_id: str) -> None:
        """Drop the key of a session that is deleted."""
        self._readers.drop(session_id)

    def _quickly(self, session_id: str, found: Sequence[Entry]) -> Sequence[Entry] | None:
        """Decrypt with what is known of the session; `None` where that is nothing, or no longer right."""
        events = [entry for entry in found if isinstance(entry, Recorded)]
        key = self._readers.get(session_id) if self._keyring else PLAIN
        if not events:
            return found
        if key is None:
            return None
        try:
            return open_entries(key, found)
        except AlteredError:
            return None

    def _thoroughly(self, session_id: str, found: Sequence[Entry], there: Checkpoint | StoreError) -> Sequence[Entry]:
        """Decrypt with what the checkpoint says, or raise what it says."""
        if isinstance(there, StoreError):
            raise there
        key = self._key(there)
        self._readers.put(session_id, key)
        try:
            return open_entries(key, found)
        except AlteredError as exc:
            raise _altered(there, key) from exc

    def _key(self, there: Checkpoint) -> Key:
        """
        Find the key of a session.

        Raises:
            SealedError: There is one, and not here.
        """
        name, wrapped = there.text(KEY_NAME), there.fields.get(DATA_KEY, b"")
        if not name and not wrapped:
            return PLAIN
        if not wrapped:
            raise SealedError(there.session_id, "shredded", name)
        named = self._keyring.find(name)
        if named is None:
            raise SealedError(there.session_id, "no_key", name)
        key = DataKey.unwrapped(there.session_id, wrapped, named)
        if key is None:
            raise SealedError(there.session_id, "wrong_key", name)
        return key


def _name(lease: Lease) -> tuple[str, int, str]:
    return lease.session_id, lease.token, lease.holder


def _check_fields(fields: Mapping[str, object]) -> None:
    if not RESERVED.isdisjoint(fields):
        problem = f"{min(RESERVED.intersection(fields))} is the store's own"
        raise ConfigurationError(argument="fields", problem=problem, remedy="choose another name")


def _sealed(key: Key, fields: Mapping[str, str | int | bytes]) -> dict[str, str | int | bytes]:
    """Encrypt fields, but for those that stay readable."""
    return {name: value if name in CLEAR else key.seal(f"meta {name}", _raw(value)) for name, value in fields.items()}


def _raw(value: str | int | bytes) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _envelopes(fields: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: value for name, value in fields.items() if name not in RESERVED and value.startswith(MARK)}


def _altered(there: Checkpoint, key: Key) -> SealedError:
    # An envelope in a session that names no key: both of the fields that open it were deleted.
    reason = "shredded" if isinstance(key, Plain) else "altered"
    return SealedError(there.session_id, reason, there.text(KEY_NAME))
