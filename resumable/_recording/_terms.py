"""How sessions are kept, as numbers and words."""

from __future__ import annotations

from typing import NamedTuple


class Terms(NamedTuple):
    """
    How a session is kept.

    Attributes:
        lease: [s] For how long a holder that is silent keeps its session.
        ttl: [s] For how long a session is kept after its last write.
        durability: `write-ahead` or `relaxed`.
        store_outage: `degrade` or `fail`.
        principal: Whose it is; free text.
        fleet: Whether workers of the store tell each other about upstream.
    """

    lease: float = 15.0
    ttl: float = 86_400.0
    durability: str = "write-ahead"
    store_outage: str = "degrade"
    principal: str = ""
    fleet: bool = True
