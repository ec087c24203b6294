"""What the page about the keys says is what the scripts do."""

from __future__ import annotations

import re
import zlib
from importlib.resources import files

import msgspec
import pytest

from resumable.store import Cursor, Status
from resumable.store._checks import OWN_FIELDS
from resumable.store._keys import OPAQUE_FIELDS
from resumable.store._packs import pack_log
from resumable.store.redis._stores import RedisStore
from resumable.testing import STORE_CHECKS
from resumable.testing._conformance_scene import opened, write
from tests.pages import names, read, section, tables

PAGE = read("docs/reference/redis-keys.md")
SCRIPTS = {path.name: path.read_text() for path in files("resumable.store.redis").joinpath("lua").iterdir()}


def test_every_key_there_is_has_its_row(server):
    """Sessions, a compact one, a cancel, a wake and a note leave no key that the page does not tell, name and type."""
    store = RedisStore.from_url(server.url)
    write(store, opened(store), 1, b"a")
    store.release(opened(store, "orphan"))
    store.orphan("orphan")
    for name in ("compact", "over"):
        write(store, opened(store, name), 1, b"a", end=Status.COMPLETE)
    store.compact("compact", pack_log(store.read("compact")))
    store.cancel("s")
    store.wake()
    store.note("rate_limited:0a", b"{}", 60.0)
    store.close()
    rows = {names(row[0])[0]: row[1] for row in tables(section(PAGE, "## Keys"))[0][1:]}
    with server.client as client:
        there = {key.decode(): client.type(key).decode() for key in client.keys("*")}
    words = {"zset": "sorted set"}
    told = {re.sub(r"<\w+>", "x", name): kind for name, kind in rows.items()}
    free = r"(?<=wake:).*|(?<=fleet:).*|(?<=principal:).*|(?<=orphaned:).*|(?<=\{)\w+(?=\})"
    found = {re.sub(free, "x", name): words.get(kind, kind) for name, kind in there.items()}
    assert found == told


def test_every_field_of_the_store_s_own_has_its_row(server):
    """The table has the fields that the scripts write, no more and no less, and so has the list of reserved ones."""
    rows = [names(row[0])[0] for row in tables(section(PAGE, "## The checkpoint"))[0][1:]]
    store = RedisStore.from_url(server.url)
    opened(store)
    store.cancel("s")
    write(store, opened(store, "over"), 1, b"a", end=Status.COMPLETE)
    store.compact("over", pack_log(store.read("over")))
    with server.client as client:
        there = {name.decode() for its in ("s", "over") for name in client.hkeys(f"resumable:{{{its}}}:meta")}
    assert there == {*rows, "model", "attempt"}
    assert set(rows) == OWN_FIELDS
    assert set(OPAQUE_FIELDS) <= set(names(section(PAGE, "## The checkpoint").rstrip().splitlines()[-1]))
    store.close()


def test_the_log_looks_as_shown(server):
    """A marker's fields, an event's field and the words of every status are those of the page."""
    store = RedisStore.from_url(server.url)
    lease = opened(store)
    write(store, lease, 1, b"{}", end=Status.COMPLETE)
    with server.client as client:
        log = client.xrange("resumable:{s}:log")
    part = section(PAGE, "## The log")
    statuses, fields, _ = tables(part)
    assert [name.encode() for row in fields[1:] for name in names(row[0])] == list(log[2][1])
    assert log[0][1].keys() == log[2][1].keys() - {b"after"}
    assert log[1] == (f"{lease.token}-1".encode(), {b"d": b"{}"})
    assert Cursor.parse(log[1][0].decode()) == (lease.token, 1)
    assert {name for row in statuses[1:] for name in names(row[0])} == {status.value for status in Status}
    store.close()


def test_a_compact_log_looks_as_shown(server):
    """Its markers are those there were, and a pack has the fields, the id and the content that the page tells."""
    store = RedisStore.from_url(server.url)
    lease = opened(store)
    sent = [b'{"type":"content_block_delta","n":%d}' % i for i in range(20)]
    write(store, lease, 1, *sent, end=Status.COMPLETE)
    with server.client as client:
        before = client.xrange("resumable:{s}:log")
        store.compact("s", pack_log(store.read("s")))
        [opening, (name, fields), end] = client.xrange("resumable:{s}:log")
        assert len({client.pexpiretime(f"resumable:{{s}}:{key}") for key in ("meta", "log", "request")}) == 1
    assert [opening, end] == [before[0], before[-1]]
    assert name == f"{lease.token}-20".encode()
    part = section(PAGE, "## A compact log")
    assert [name.encode() for row in tables(part)[0][1:] for name in names(row[0])] == list(fields)
    assert fields[b"first"] == b"1"
    assert msgspec.msgpack.decode(zlib.decompress(fields[b"z"])) == sent
    store.close()


def test_every_script_has_its_row():
    """The table has the files, in the order of their work."""
    assert {names(row[0])[0] for row in tables(section(PAGE, "## The scripts"))[0][1:]} == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_what_it_takes(name):
    """Each head names every key and argument that is used, and what comes back; no key is built inside."""
    _, head, body = re.split(r"\A((?:--.*\n)+)", SCRIPTS[name])
    for kind in ("KEYS", "ARGV"):
        for number in set(re.findall(rf"{kind}\[(\d+)\]", body)):
            documented = rf"{kind}\[{number}\]" if kind == "KEYS" else rf"\[{number}(\]|\.\.)"
            assert re.search(documented, head), (kind, number)
    assert "\n-- Returns " in head
    replies = set(re.findall(r"return \{'(\w+)'", body))
    assert {reply for reply in replies if f'"{reply}"' not in head} == set()
    assert "resumable" not in body
    assert not re.search(r"\bKEYS\[\d\]\s*\.\.", body)


def test_the_rights_are_enough(server):
    """A user with the rights that the page lists runs every check of the suite that a server can answer."""
    rights = section(PAGE, "## Rights").partition("```text\n")[2].partition("```")[0].split()
    assert rights[:3] == ["ACL", "SETUSER", "resumable"]
    with server.client as client:
        client.execute_command(*[one.replace(">password", ">sesame") for one in rights])
    url = server.tcp_url.replace("//", "//resumable:sesame@")
    for check in STORE_CHECKS:
        server.wipe()
        store = RedisStore.from_url(url)
        check(store)
        store.close()
