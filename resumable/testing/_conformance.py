"""
What every store of sessions must do, as checks that need no test framework.

`check_store(make)` runs them all on stores that `make` makes; an async store is checked by the same code, through a
portal into its event loop. Each check's first sentence is the promise it holds the store to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._conformance_leases import LEASE_CHECKS
from ._conformance_logs import LOG_CHECKS
from ._conformance_notes import NOTE_CHECKS
from ._conformance_portal import in_portal
from ._conformance_upkeep import UPKEEP_CHECKS
from ._conformance_waits import WAIT_CHECKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable.store import AsyncStore, Store

STORE_CHECKS: tuple[Callable[[Store], None], ...] = (
    *LEASE_CHECKS,
    *LOG_CHECKS,
    *NOTE_CHECKS,
    *UPKEEP_CHECKS,
    *WAIT_CHECKS,
)


def check_store(make: Callable[[], Store]) -> None:
    """
    Check that a store keeps every promise of `resumable.store.Store`; takes some seconds.

    Args:
        make: Makes a store over an empty place; called once for each check, which closes it.

    Raises:
        AssertionError: A promise is broken; the traceback shows the check.
    """
    for check in STORE_CHECKS:
        store = make()
        try:
            check(store)
        finally:
            store.close()


def check_async_store(make: Callable[[], Awaitable[AsyncStore]], *, backend: str = "asyncio") -> None:
    """
    Check an async store in the same way.

    Args:
        make: As of `check_store`; awaited in the event loop that the store then lives in.
        backend: `"asyncio"` or `"trio"`.

    Raises:
        AssertionError: A promise is broken; the traceback shows the check.
    """
    for check in STORE_CHECKS:
        with in_portal(make, backend=backend) as store:
            check(store)
