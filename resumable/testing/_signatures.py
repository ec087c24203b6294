"""
Signatures of thinking, which the upstream can check without remembering anything.

Each names its model and its place in the message, and proves the text and everything before the message.
"""

from __future__ import annotations

import hashlib


def signature(model: str, prefix: str, text: str, number: int) -> str:
    """
    Sign a thinking block the way the upstream can check it later without remembering it.

    Args:
        model: The model that thought; another model's blocks are not checked.
        prefix: Fingerprint of everything before the message.
        text: The thinking as shown.
        number: Which thinking block of its message it is.

    Returns:
        An opaque text; each of its four parts can be checked alone.
    """
    return ".".join((model, str(number), _mac(text), _mac(prefix)))


def _mac(text: str) -> str:
    return hashlib.sha256(b"scripted upstream:" + text.encode()).hexdigest()[:40]


def signature_flaw(signed: str, model: str, prefix: str | None, text: str) -> str | None:
    """
    Say what is wrong with a signature that comes back in a history.

    Args:
        signed: The signature.
        model: The model that is asked now.
        prefix: Fingerprint of everything before the message; ``None`` for a model that does not check it.
        text: The thinking it is said to belong to.

    Returns:
        ``None`` when it is right, or nothing can be said (another model's).
    """
    parts = signed.rsplit(".", 3)
    if len(parts) != len(("model", "number", "text", "prefix")):
        return "Invalid `signature` in `thinking` block"
    if parts[0] != model:
        return None
    if parts[2] != _mac(text):
        return "Invalid `signature` in `thinking` block"
    if prefix is not None and parts[3] != _mac(prefix):
        return (
            "Invalid `signature` in `thinking` block. The block is bound to a different conversation: system, tools"
            " and every message before it must be unchanged."
        )
    return None
