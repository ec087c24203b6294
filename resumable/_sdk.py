"""Which httpx the installed SDK speaks: httpx2 from 1.0 on, httpx before."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import anthropic

if TYPE_CHECKING:
    import httpx2 as httpx
else:
    # The SDK's public default client is a subclass of the httpx's that it was built on.
    httpx = import_module(anthropic.DefaultHttpxClient.__bases__[0].__module__.partition(".")[0])

__all__ = ("httpx",)
