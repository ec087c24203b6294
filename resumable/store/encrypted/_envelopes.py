"""
Content of one session, encrypted and decrypted: every piece is bound to the place where it stands.

An envelope is a mark, a random nonce, and AES-256-GCM's ciphertext and tag: 30 bytes more than what is in it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._keyring import KEY_BYTES, NONCE_BYTES

if TYPE_CHECKING:
    from ._keyring import NamedKey

#: How every envelope begins; no text does, so no event of the API can be taken for one. The last byte is a version.
MARK = b"\x8e\x01"
_CONTENT = len(MARK) + NONCE_BYTES


class AlteredError(Exception):
    """An envelope does not belong where it stands, or is none."""


class DataKey:
    """
    What opens the content of one session; threads may share it.

    Args:
        session_id: The session's ID.
        secret: [32 bytes] Random, and of this session alone.
        request_hash: Of its request; kept with the key, so that the store holds no hash that a guess can be held to.

    Attributes:
        request_hash: The same.
    """

    def __init__(self, session_id: str, secret: bytes, request_hash: str) -> None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # Reason: an extra
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self.request_hash = request_hash
        self._session_id = session_id.encode()
        self._secret = secret
        self._cipher = AESGCM(secret)
        self._refusals = (InvalidTag, ValueError)  # Importing costs more than decrypting an event.

    def __repr__(self) -> str:
        return f"DataKey({self._session_id.decode()!r})"

    @classmethod
    def fresh(cls, session_id: str, request_hash: str) -> DataKey:
        """Make the key of a new session."""
        return cls(session_id, os.urandom(KEY_BYTES), request_hash)

    @classmethod
    def unwrapped(cls, session_id: str, wrapped: bytes, key: NamedKey) -> DataKey | None:
        """Take the key of a session out of its wrapping; `None` where it was wrapped by another key."""
        plain = key.unwrap(session_id, wrapped)
        if plain is None:
            return None
        return cls(session_id, plain[:KEY_BYTES], plain[KEY_BYTES:].decode())

    def wrapped(self, key: NamedKey) -> bytes:
        """Wrap it for the store."""
        return key.wrap(self._session_id.decode(), self._secret + self.request_hash.encode())

    def seal(self, place: str, plain: bytes) -> bytes:
        """
        Put content into an envelope.

        Args:
            place: Where in the session it stands.
            plain: The content.
        """
        nonce = os.urandom(NONCE_BYTES)
        return MARK + nonce + self._cipher.encrypt(nonce, plain, self._bound(place))

    def open(self, place: str, sealed: bytes) -> bytes:
        """
        Take content out of its envelope.

        Raises:
            AlteredError: It is none of this session's, or of this place.
        """
        if not sealed.startswith(MARK):
            raise AlteredError
        try:
            return self._cipher.decrypt(sealed[len(MARK) : _CONTENT], sealed[_CONTENT:], self._bound(place))
        except self._refusals as exc:
            raise AlteredError from exc

    def _bound(self, place: str) -> bytes:
        return b"\0".join((b"resumable content", self._session_id, place.encode()))
