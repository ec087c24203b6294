"""How a stream is recorded while it flows, and read again: what a process shares per store, for the layers above."""

from ._context import session

__all__ = ("session",)
