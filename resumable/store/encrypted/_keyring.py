"""
Named keys that wrap the data keys of sessions: what RESUMABLE_KEYS holds, read and used.

No error and no `repr` here shows a key, or what may be one: a name and a key that were swapped look alike.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import re
from base64 import urlsafe_b64decode
from importlib.util import find_spec
from typing import TYPE_CHECKING

from resumable._core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Where keys may stand when no argument names them.
VARIABLE = "RESUMABLE_KEYS"

KEY_BYTES = 32  # AES-256
NONCE_BYTES = 12  # Random each time: a number would come again when the same seq is sent again with other bytes.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REMEDY = "write <name>:<32 bytes in base64>, the one for new sessions first, with commas between"
_EXTRA = "pip install 'resumable-anthropic[crypto]'"


class NamedKey:
    """
    A key of the user's own.

    Two keys are derived from it, so that what wraps is not what fingerprints.

    Args:
        name: Stands in the clear beside what it wraps.
        secret: [32 bytes] The key.

    Attributes:
        name: The same.
    """

    def __init__(self, name: str, secret: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # Reason: an extra

        self.name = name
        self._wrapping = AESGCM(_derived(secret, b"wrap"))
        self._marking = _derived(secret, b"mark")

    def __repr__(self) -> str:
        return f"NamedKey({self.name!r})"

    def wrap(self, session_id: str, plain: bytes) -> bytes:
        """Encrypt what opens one session; it opens nothing under another ID."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, plain, self._bound(session_id))

    def unwrap(self, session_id: str, wrapped: bytes) -> bytes | None:
        """Decrypt it again; `None` where another key wrapped it, or for another session."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # Reason: an extra

        try:
            return self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], self._bound(session_id))
        except (InvalidTag, ValueError):
            return None

    def mark(self, session_id: str, text: str) -> str:
        """Fingerprint a text, so that nobody without the key can tell whether a guess at it is right."""
        return hmac.new(self._marking, f"{session_id}\0{text}".encode(), hashlib.sha256).hexdigest()

    def _bound(self, session_id: str) -> bytes:
        return b"\0".join((b"resumable data key", session_id.encode(), self.name.encode()))


class Keyring:
    """
    All keys of a process; the first one is for new sessions, the others only open what is there.

    Args:
        keys: None is allowed, and opens nothing.
    """

    def __init__(self, keys: Iterable[NamedKey] = ()) -> None:
        self._keys = {key.name: key for key in keys}

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def current(self) -> NamedKey | None:
        """The key for new sessions."""
        return next(iter(self._keys.values()), None)

    def find(self, name: str) -> NamedKey | None:
        """Give the key of a name."""
        return self._keys.get(name)


def find_keys(keys: str | Mapping[str, bytes] | None, environ: Mapping[str, str]) -> Keyring:
    """
    Find which keys apply: the argument, else the variable, else none.

    Args:
        keys: `<name>:<base64>,…`, or names with 32 bytes each.
        environ: The process's environment.

    Raises:
        ConfigurationError: They cannot be keys, or the extra is missing.
    """
    if keys is None:
        text = environ.get(VARIABLE, "")
        return _made(_parsed(text, VARIABLE), VARIABLE) if text.strip() else Keyring()
    pairs = _parsed(keys, "keys") if isinstance(keys, str) else list(keys.items())
    return _made(pairs, "keys")


def _parsed(text: str, origin: str) -> list[tuple[str, bytes]]:
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    pairs: list[tuple[str, bytes]] = []
    for number, part in enumerate(parts, 1):
        name, colon, secret = part.partition(":")
        if not colon:
            raise ConfigurationError(origin, f"key {number} of {len(parts)} has no name", _REMEDY)
        pairs.append((name, _decoded(secret)))
    return pairs


def _decoded(secret: str) -> bytes:
    """Read either alphabet of base64, with or without padding; nothing where it is neither."""
    padded = secret.rstrip("=").replace("+", "-").replace("/", "_")
    if re.fullmatch(r"[A-Za-z0-9_-]*", padded) is None:
        return b""
    try:
        return urlsafe_b64decode(padded + "=" * (-len(padded) % 4))
    except binascii.Error:
        return b""


def _made(pairs: list[tuple[str, bytes]], origin: str) -> Keyring:
    if not pairs:
        raise ConfigurationError(origin, "there is no key in it", _REMEDY)
    names: set[str] = set()
    for number, (name, secret) in enumerate(pairs, 1):
        problem = ""
        if _NAME.fullmatch(name) is None:
            problem = "has a name that is not of the form [A-Za-z0-9_.-]{1,64}"
        elif len(secret) != KEY_BYTES:
            problem = f"is not of {KEY_BYTES} bytes"
        elif name in names:
            problem = "has a name that stands there twice"
        if problem:
            raise ConfigurationError(origin, f"key {number} of {len(pairs)} {problem}", _REMEDY)
        names.add(name)
    if find_spec("cryptography") is None:
        problem = "encryption needs the package cryptography, which is not installed"
        raise ConfigurationError(origin, problem, _EXTRA)
    return Keyring(NamedKey(name, bytes(secret)) for name, secret in pairs)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.new(secret, b"resumable/1 " + purpose, hashlib.sha256).digest()
