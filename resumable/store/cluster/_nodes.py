"""The clients of every node of a fleet, made when they are first needed; connections as of any other store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable.store.redis._clients import AsyncClients, Clients, aconnect_to, asettings_of, connect_to, settings_of

if TYPE_CHECKING:
    from ._places import Node
    from ._urls import Fleet


class Nodes:
    """
    The clients of all nodes, for a sync store; threads may share it.

    Args:
        fleet: Which nodes, and how to be let in.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._clients: dict[Node, Clients] = {}

    def at(self, node: Node) -> Clients:
        """Give the clients of a node; nothing is sent yet."""
        found = self._clients.get(node)
        if found is None:
            # Not sent again by the client: the next node to ask may be another.
            settings = self._fleet.settings(node, settings_of(self._fleet.url_of(node)))
            made = connect_to(settings, retries=0)
            for client in made:
                client.response_callbacks.clear()
            found = self._clients.setdefault(node, made)
        return found

    def close(self) -> None:
        """Close all of them."""
        for clients in list(self._clients.values()):
            for client in clients:
                client.close()


class AsyncNodes:
    """
    The clients of all nodes, for an async store.

    Args:
        fleet: Which nodes, and how to be let in.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._clients: dict[Node, AsyncClients] = {}

    def at(self, node: Node) -> AsyncClients:
        """As `Nodes.at`."""
        found = self._clients.get(node)
        if found is None:
            settings = self._fleet.settings(node, asettings_of(self._fleet.url_of(node)))
            found = self._clients[node] = aconnect_to(settings, retries=0)
            for client in found:
                client.response_callbacks.clear()
        return found

    async def close(self) -> None:
        """As `Nodes.close`."""
        for clients in list(self._clients.values()):
            for client in clients:
                await client.aclose()
