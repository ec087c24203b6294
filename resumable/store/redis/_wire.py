"""
How a flight travels: packed here in one piece, and answered as one list; both colours.

A client packs and reads command by command, with a deadline each: under load that costs more than everything else
around it. The connection, its pool, its login and its retries stay redis-py's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from redis.exceptions import ResponseError

from ._resp import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis as Client
    from redis.asyncio import Redis as AsyncClient

    from ._replies import Replies
    from ._resp import Word

    Connection: TypeAlias = Any


def exchange(client: Client, commands: Sequence[Sequence[Word]]) -> Replies:
    """
    Send commands in one piece over one connection, and give their answers; what the server refuses is one too.

    Raises:
        Exception: As redis-py's `execute_command`, of a connection that was lost.
    """
    raw = pack(commands)
    pool: Any = client.connection_pool  # Reason: annotated by halves, as what it gives
    connection: Connection = pool.get_connection()
    try:
        replies: Replies = connection.retry.call_with_retry(
            partial(_ask, connection, raw, len(commands)), partial(_drop, connection)
        )
        return replies
    finally:
        pool.release(connection)


def _ask(connection: Connection, raw: bytes, count: int) -> Replies:
    connection.send_packed_command([raw])
    if count > 1 and _reads_as_list(connection, count):
        listed: Replies = connection.read_response(disable_decoding=True)
        return listed
    replies: Replies = []
    for _ in range(count):
        try:
            replies.append(connection.read_response(disable_decoding=True))
        except ResponseError as exc:
            replies.append(exc)
    return replies


async def aexchange(client: AsyncClient, commands: Sequence[Sequence[Word]]) -> Replies:
    """As `exchange`."""
    raw = pack(commands)
    pool: Any = client.connection_pool  # Reason: annotated by halves, as what it gives
    connection: Connection = await pool.get_connection()
    try:
        replies: Replies = await connection.retry.call_with_retry(
            partial(_aask, connection, raw, len(commands)), partial(_drop, connection)
        )
        return replies
    finally:
        await pool.release(connection)


async def _aask(connection: Connection, raw: bytes, count: int) -> Replies:
    await connection.send_packed_command([raw])
    if count > 1 and _reads_as_list(connection, count):
        listed: Replies = await connection.read_response(disable_decoding=True)
        return listed
    replies: Replies = []
    for _ in range(count):
        try:
            replies.append(await connection.read_response(disable_decoding=True))
        except ResponseError as exc:
            replies.append(exc)
    return replies


def _drop(connection: Connection, _: Exception) -> Connection:
    """Disconnect, before all is sent again; in a loop, give what is to be awaited."""
    return connection.disconnect()


def _reads_as_list(connection: Connection, count: int) -> bool:
    """
    Have the next answers read as one, by saying to the parser what a server says before a list.

    Then hiredis reads them all in C, under one deadline. Not documented, so that it is done only where it is there:
    other parsers, and connections that read otherwise (a fake's), are asked for one answer after the other.
    """
    if not type(connection).read_response.__module__.startswith("redis."):
        return False
    reader = getattr(getattr(connection, "_parser", None), "_reader", None)
    if reader is None or not hasattr(reader, "feed"):
        return False
    reader.feed(b"*%d\r\n" % count)
    return True
