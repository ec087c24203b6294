"""The real servers and the proxy in front of them."""

from __future__ import annotations

from tests.store.proxy import proxy, start_proxy
from tests.store.servers import server, shared_server, start_server

__all__ = ["proxy", "server", "shared_server", "start_proxy", "start_server"]
