"""Sessions that outlive processes: their logs, checkpoints and leases, behind one interface in two colours."""

from ._interface import AsyncStore, Store
from ._packs import Pack
from ._records import (
    MAX_EVENTS,
    Acquired,
    Append,
    Appended,
    Cancelled,
    Cancels,
    Checkpoint,
    Cursor,
    Entry,
    Grant,
    Lease,
    Marker,
    Opening,
    Recorded,
    Status,
    Upkeep,
    Vitals,
)
from ._sealing import asealed, sealed
from .memory._stores import AsyncMemoryStore, MemoryStore

__all__ = (
    "MAX_EVENTS",
    "Acquired",
    "Append",
    "Appended",
    "AsyncMemoryStore",
    "AsyncStore",
    "Cancelled",
    "Cancels",
    "Checkpoint",
    "Cursor",
    "Entry",
    "Grant",
    "Lease",
    "Marker",
    "MemoryStore",
    "Opening",
    "Pack",
    "Recorded",
    "Status",
    "Store",
    "Upkeep",
    "Vitals",
    "asealed",
    "sealed",
)
