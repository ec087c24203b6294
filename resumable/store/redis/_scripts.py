"""The Lua scripts, read once; each file says at its head what it takes and what it answers."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """
    A script the server runs.

    Attributes:
        name: Name of its file.
        text: Its source.
        sha: What the server knows it by once it has seen it.
    """

    name: str
    text: str
    sha: str


def _read(name: str) -> Script:
    text = files("resumable.store.redis").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


ACQUIRE = _read("acquire")
APPEND = _read("append")
CANCEL = _read("cancel")
CLAIM = _read("claim")
COMPACT = _read("compact")
HINT = _read("hint")
LOOK = _read("look")
ORPHAN = _read("orphan")
RELEASE = _read("release")
RENEW = _read("renew")
