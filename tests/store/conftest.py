"""The real servers, the proxy in front of them and a home for the embedded one, for every test of the store."""

from __future__ import annotations

from tests.store.embedded import each, home, only
from tests.store.proxy import proxy, start_proxy
from tests.store.servers import server, shared_server, start_server
from tests.store.stores import colour, store

__all__ = ["colour", "each", "home", "only", "proxy", "server", "shared_server", "start_proxy", "start_server", "store"]
