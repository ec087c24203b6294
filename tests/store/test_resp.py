"""Commands as they are on the wire, and answers that are read as one list."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from redis.connection import Connection
from redis.exceptions import NoScriptError, ResponseError

from resumable.store.redis._clients import aconnect, connect
from resumable.store.redis._resp import pack, spell
from resumable.store.redis._wire import _reads_as_list, aexchange, exchange

WORDS = st.one_of(st.text(max_size=40), st.binary(max_size=40), st.integers(-(2**63), 2**63 - 1))
NAMES = st.sampled_from(["GET", "EVALSHA", "XADD"])  # redis-py splits a command's name at spaces; ours have none
COMMANDS = st.lists(st.tuples(NAMES, st.lists(WORDS, max_size=8)), max_size=5)


@given(COMMANDS)
def test_packed_as_redis_py_packs(commands):
    """Byte for byte, whatever the words."""
    theirs: list[bytes] = [piece for name, words in commands for piece in Connection().pack_command(name, *words)]
    assert pack([(name, *words) for name, words in commands]) == b"".join(theirs)


@given(COMMANDS, st.integers(0, 8))
def test_words_that_are_spelt_already_are_the_same_words(commands, at):
    """Wherever a command is cut."""
    plain = [(name, *words) for name, words in commands]
    assert pack([(spell(words[:at]), *words[at:]) for words in plain]) == pack(plain)
    assert pack([(spell((spell(words[:at]), *words[at:])),) for words in plain]) == pack(plain)


FLIGHT = (("PING",), ("NO-SUCH-COMMAND",), ("EVALSHA", "0" * 40, 0), ("ECHO", b"x" * 100_000), ("LRANGE", "l", 0, -1))


def check(replies: list[object]) -> None:
    """Check the answers to that flight."""
    pong, strange, unknown, echo, nothing = replies
    assert (pong, echo, nothing) == (b"PONG", b"x" * 100_000, [])
    assert isinstance(strange, ResponseError)
    assert isinstance(unknown, NoScriptError)


def test_each_answer_is_that_of_its_command(server):
    """Read as one list, and one by one; a refusal is an answer, and the connection is good for the next flight."""
    clients = connect(server.url)
    check(exchange(clients.quick, FLIGHT))
    check(exchange(clients.quick, FLIGHT))
    [refused] = exchange(clients.quick, FLIGHT[1:2])
    assert isinstance(refused, ResponseError)
    assert _reads_as_list(clients.quick.connection_pool.get_connection(), 2), "as this version of redis-py has it"
    for client in clients:
        client.close()


def test_each_answer_is_that_of_its_command_in_a_loop(server):
    """So it is for tasks, also when several flights are in the air."""

    async def scenario() -> None:
        clients = aconnect(server.url)
        for replies in await asyncio.gather(*(aexchange(clients.quick, FLIGHT) for _ in range(5))):
            check(replies)
        [refused] = await aexchange(clients.quick, FLIGHT[1:2])
        assert isinstance(refused, ResponseError)
        for client in clients:
            await client.aclose()

    asyncio.run(scenario())
