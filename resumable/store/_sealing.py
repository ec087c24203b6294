"""Stores with keys that are named by argument, and not by the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from resumable._core.errors import ConfigurationError

from ._url import aopen_store, open_store
from .encrypted._keyring import VARIABLE, Keyring, find_keys
from .encrypted._stores import AsyncSealedStore, SealedStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._interface import AsyncStore, Store


def sealed(store: str | Store | None = None, keys: str | Mapping[str, bytes] | None = None) -> Store:
    """
    Encrypt what a store holds: events, requests, and whatever else quotes them.

    Args:
        store: A store, which closes with this one; or the URL of one, as for `wrap`.
        keys: `<name>:<32 bytes in base64>,…`, or names with 32 bytes each. The first encrypts new sessions, all of
            them open what is there. Without it `RESUMABLE_KEYS`.

    Raises:
        ConfigurationError: There is no key, a key or the URL cannot work, or the extra `crypto` is missing.
    """
    keyring = _needed(keys)
    if store is None or isinstance(store, str):
        return open_store(store, keys=keys)
    return SealedStore(store, keyring)


async def asealed(store: str | AsyncStore | None = None, keys: str | Mapping[str, bytes] | None = None) -> AsyncStore:
    """As `sealed`, for asyncio."""
    keyring = _needed(keys)
    if store is None or isinstance(store, str):
        return await aopen_store(store, keys=keys)
    return AsyncSealedStore(store, keyring)


def _needed(keys: str | Mapping[str, bytes] | None) -> Keyring:
    keyring = find_keys(keys, os.environ)
    if not keyring:
        problem, remedy = f"there is none, and {VARIABLE} is not set", "name one, or use the store as it is"
        raise ConfigurationError(argument="keys", problem=problem, remedy=remedy)
    return keyring
