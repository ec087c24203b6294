"""
What one middleware tells other workers, and hears from them, about upstreams, models and credentials.

No credential is stored or told: it only keys the hash by which a note is called, so that who reads the store
learns neither the credential nor which notes belong to one.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import re
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from resumable._core.continuation import Memory
from resumable._core.fleet import OVERLOADED, RATE_LIMITED, held_back, hint_of, read_hint
from resumable._drive import Teller
from resumable._recording._board import AsyncBoard, Board

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resumable._core.report import Notice
    from resumable._core.session import Session
    from resumable.store._notes import Note

_log = logging.getLogger("resumable")

_PREFILL: Final = "prefill"
_REFUSED: Final = b"refused"
#: [s] How long a refusal of prefills is remembered, and believed.
_LEARNED: Final = 3600.0
#: Amazon's signature is new for each request; who signs is not.
_SIGNER: Final = re.compile(r"AWS4-\S+ Credential=([^/,\s]+)")


class Identity(NamedTuple):
    """
    Where requests go, and in whose name.

    Attributes:
        upstream: `scheme://host:port`.
        key: Hash of the credential; never the credential.
    """

    upstream: str
    key: bytes

    @classmethod
    def of(cls, url: Any, headers: Mapping[str, Any]) -> Identity:  # noqa: ANN401  # Reason: either httpx's
        """Read it from a request, or from what a client puts into each."""
        port = f":{url.port}" if url.port else ""
        return cls(f"{url.scheme}://{url.host}{port}", credential_key(headers))


def credential_key(headers: Mapping[str, Any]) -> bytes:
    """Hash the credential in headers; empty where there is none."""
    words = {name.lower(): str(value) for name, value in headers.items() if isinstance(value, str)}
    found = words.get("x-api-key") or words.get("authorization", "")
    signer = _SIGNER.match(found)
    secret = signer[1] if signer else found.removeprefix("Bearer ")
    return hashlib.blake2b(secret.encode(), person=b"resumable.fleet").digest() if secret else b""


def name_of(kind: str, model: str, identity: Identity) -> str:
    """
    Name a note.

    A 429 is of a model and a credential; a 529, and what a model refuses, of a model and an upstream.
    """
    key = identity.key if kind == RATE_LIMITED else b""
    words = f"{kind}\0{model}\0{identity.upstream}"
    return f"{kind}:{hashlib.blake2b(words.encode(), key=key, digest_size=16, person=b'resumable.fleet').hexdigest()}"


class Fleet:
    """What the calls of one middleware share; one board for each store."""

    def __init__(self, now: Callable[[], float], memory: Memory, chance: Callable[[], float], *, is_on: bool) -> None:
        """
        Know nothing yet.

        Args:
            now: [s] The middleware's clock.
            memory: What models refused here.
            chance: Draws from [0, 1).
            is_on: Whether anything is told and heard.
        """
        self.now = now
        self.memory = memory
        self.chance = chance
        self._is_on = is_on
        self._boards: WeakKeyDictionary[Any, Board | AsyncBoard] = WeakKeyDictionary()
        self._met: WeakKeyDictionary[Any, Identity] = WeakKeyDictionary()
        self._first: Identity | None = None
        self._has_one = True

    def introduce(self, client: Any) -> None:  # noqa: ANN401  # Reason: any of the SDK's clients
        """Learn where a client's requests go and in whose name, before it sends any."""
        token = getattr(client, "auth_token", None)
        headers = {"x-api-key": getattr(client, "api_key", None), "authorization": token and f"Bearer {token}"}
        self._first = Identity.of(client.base_url, headers)

    def identity(self, chain: object, headers: Mapping[str, Any]) -> Identity | None:
        """Say where a call goes and in whose name, as far as it is known before it is sent."""
        met = self._met.get(chain) or (self._first if self._has_one else None)
        own = credential_key(headers)
        return met if met is None or not own else Identity(met.upstream, own)

    def meet(self, chain: object, request: Any) -> Identity:  # noqa: ANN401  # Reason: either httpx's
        """Learn it from a request that was sent."""
        self._met[chain] = identity = Identity.of(request.url, request.headers)
        self._has_one = self._has_one and self._first in {None, identity}
        self._first = identity
        return identity

    def has_met(self, chain: object) -> bool:
        """Whether a request of this chain was seen."""
        return chain in self._met

    def member(self, store: Any, asked: Mapping[str, Any], headers: Mapping[str, Any], chain: object) -> Member:  # noqa: ANN401  # Reason: either colour's
        """Begin a call; it goes alone where nothing is to be told, or where the store keeps no notes."""
        board: Board | AsyncBoard | None = None
        if self._is_on and callable(getattr(store, "notes", None)):
            board = self._boards.get(store)
            if board is None:
                kind = AsyncBoard if inspect.iscoroutinefunction(store.notes) else Board
                board = self._boards[store] = kind(store, self.now)
        return Member(self, board, str(asked.get("model", "")), headers, chain)


class Member:
    """
    One call's part in the fleet.

    Attributes:
        memory: What models refused, here or elsewhere.
    """

    def __init__(
        self,
        fleet: Fleet,
        board: Any,  # noqa: ANN401  # Reason: either colour's
        model: str,
        headers: Mapping[str, Any],
        chain: object,
    ) -> None:
        self._fleet = fleet
        self._board = board
        self._model = model
        self._chain = chain
        self._place: float | None = None
        self._is_deferred = False
        self._names: dict[str, str] = {}
        if board is not None:
            self._call(fleet.identity(chain, headers))
        self.memory: Memory = fleet.memory if board is None else Learned(fleet.memory, self)

    def _call(self, identity: Identity | None) -> None:
        if identity is not None:
            kinds = (RATE_LIMITED, OVERLOADED, _PREFILL)
            self._names = {kind: name_of(kind, self._model, identity) for kind in kinds}

    def look(self) -> None:
        """Read what others wrote, unless that was done a moment ago."""
        if self._names:
            self._board.look(list(self._names.values()))

    async def alook(self) -> None:
        """As `look`."""
        if self._names:
            await self._board.look(list(self._names.values()))

    def ask(self) -> float:
        """Say how long [s] to hold back, as of now."""
        if not self._names:
            return 0.0
        kind, wait = max(((kind, self._held_back(kind)) for kind in (RATE_LIMITED, OVERLOADED)), key=itemgetter(1))
        if wait:
            self._board.refresh(list(self._names.values()))
            if not self._is_deferred:
                _log.info("resumable.fleet_hint model=%s kind=%s hold=%.3fs", self._model, kind, wait)
        self._is_deferred = wait > 0
        return wait

    def _held_back(self, kind: str) -> float:
        note: Note | None = self._board.seen(self._names[kind])
        if note is None or (hint := read_hint(note.value)) is None:
            return 0.0
        if self._place is None:
            self._place = self._fleet.chance()
        return held_back(hint, note.left, self._place)

    def meet(self, answer: Any) -> None:  # noqa: ANN401  # Reason: either colour's
        """Learn from the first answer of a client where its requests go."""
        if self._board is not None and answer is not None and not self._fleet.has_met(self._chain):
            self._fleet.meet(self._chain, answer.http_response.request)

    def teller(self, session: Session, wire: Any, on_recovery: Callable[[Notice], None] | None) -> Teller:  # noqa: ANN401  # Reason: either colour's
        """Tell others of each failure that concerns them, then the caller."""
        return Teller(session, on_recovery if self._board is None else partial(self._told, wire, on_recovery))

    def _told(self, wire: Any, on_recovery: Callable[[Notice], None] | None, notice: Notice) -> None:  # noqa: ANN401  # Reason: either colour's
        found = hint_of(notice.failure)
        if found is not None and wire.answer is not None:
            kind, hint = found
            self._call(self._fleet.meet(self._chain, wire.answer.http_response.request))
            self._board.post(self._names[kind], hint.encode(), hint.life)
        if on_recovery is not None:
            on_recovery(notice)

    def is_refused(self) -> bool:
        """Whether the model refused a prefill elsewhere."""
        note = self._board.seen(self._names[_PREFILL]) if self._names else None
        return note is not None and note.value == _REFUSED

    def refuse(self) -> None:
        """Tell that the model refused a prefill."""
        if self._names:
            self._board.post(self._names[_PREFILL], _REFUSED, _LEARNED)


class Learned(Memory):
    """What models refused here or elsewhere; for one call."""

    def __init__(self, own: Memory, member: Member) -> None:
        super().__init__()
        self._own = own
        self._member = member

    def takes_prefill(self, model: str, now: float) -> bool:
        """As `Memory.takes_prefill`."""
        return self._own.takes_prefill(model, now) and not self._member.is_refused()

    def refuse_prefill(self, model: str, now: float) -> None:
        """As `Memory.refuse_prefill`; the others hear of it."""
        self._own.refuse_prefill(model, now)
        self._member.refuse()

    def held_back(self) -> float:
        """As `Memory.held_back`."""
        return self._member.ask()
