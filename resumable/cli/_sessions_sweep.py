"""`resumable sessions sweep`: look after what nobody writes, once or for good."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple

import anthropic

import resumable
from resumable.cli._exits import FAILED
from resumable.cli._sessions_resume import NO_KEY
from resumable.cli._teletype import printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from resumable.sessions import Sessions, Swept

_KINDS: Final = ("continued", "orphaned", "compacted")
_PAUSE: Final = 15.0  # [s] While the store is away.


class Terms(NamedTuple):
    """
    What is swept.

    Attributes:
        continues: Whether to continue what was left, with the key there is.
        principal: Whose.
        limit: [sessions] Of each kind in a sweep.
        compact_after: [s] As of `Sessions.sweep`.
        base_url: Where the API is; `None` as the SDK knows it.
    """

    continues: bool
    principal: str
    limit: int
    compact_after: float | None
    base_url: str | None


def sweep(sessions: Sessions, terms: Terms, *, goes_on: bool, as_json: bool) -> int:
    """
    Sweep, and say what it came to.

    Returns:
        The exit code.

    Raises:
        ResumableError: The store cannot be used; where it goes on, only what waiting does not cure.
    """
    code = 0
    with _client(terms) as client:
        if client is not None and not (client.api_key or client.auth_token or getattr(client, "credentials", None)):
            print("resumable: there is no key: set ANTHROPIC_API_KEY to a key of yours", file=sys.stderr)
            return NO_KEY
        while True:
            try:
                swept = sessions.sweep(
                    client, principal=terms.principal, limit=terms.limit, compact_after=terms.compact_after
                )
            except resumable.StoreUnavailableError as away:
                if not goes_on or not away.retryable:
                    raise
                print(f"resumable: {away}", file=sys.stderr)
                time.sleep(_PAUSE)
                continue
            code = _tell(swept, as_json=as_json)
            if not goes_on:
                return code
            time.sleep(swept.again_in)


def _client(terms: Terms) -> AbstractContextManager[anthropic.Anthropic | None]:
    return anthropic.Anthropic(base_url=terms.base_url) if terms.continues else nullcontext()


def _tell(swept: Swept, *, as_json: bool) -> int:
    failures = {name: type(error).__name__ for name, error in swept.failures.items()}
    if as_json:
        found = {kind: list(getattr(swept, kind)) for kind in _KINDS}
        print(json.dumps({**found, "failures": failures, "again_in_ms": round(swept.again_in * 1000)}), flush=True)
    else:
        counts = [f"{len(getattr(swept, kind))} {kind}" for kind in _KINDS]
        print(" · ".join([*counts, f"again in {swept.again_in:.0f} s"]), flush=True)
        for name, error in swept.failures.items():
            print(f"resumable: {name}: {printable(str(error)) or type(error).__name__}", file=sys.stderr)
    return FAILED if failures else 0
