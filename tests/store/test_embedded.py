"""The embedded store: one server for all of a user's processes, whoever comes, goes or dies."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from contextlib import ExitStack

import pytest
import redis

from resumable import ConfigurationError
from resumable.store.embedded._server import open_embedded
from tests.store.embedded import User, kill_server, pid_of
from tests.store.servers import short_directory


def client_of(server) -> redis.Redis:
    """A client that belongs to the test."""
    return redis.Redis.from_url(server.url, socket_timeout=10)


def test_settings_keep_what_was_acknowledged(each, home):
    """The server syncs before it answers, evicts nothing, listens on a private socket alone."""
    del each
    with open_embedded() as server, client_of(server) as client:
        settings = client.config_get("*")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "always"
        assert settings["save"] == ""
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["port"] == "0"
        assert server.url == f"unix://{home}/store/server.sock"
        for name in ("server.sock", ".", "server.log"):
            assert stat.S_IMODE((home / "store" / name).stat().st_mode) & 0o077 == 0
        assert repr(server) == f"EmbeddedServer(url='unix://{home}/store/server.sock')"


def test_last_user_stops_it(each, home):
    """The second user attaches; the server outlives the first one's leaving and not the last one's."""
    del each
    first = open_embedded()
    second = open_embedded()
    pid = pid_of(home)
    assert pid is not None
    first.close()
    first.close()
    with client_of(second) as client:
        assert client.info("server")["process_id"] == pid
    second.close()
    assert pid_of(home) is None
    assert not (home / "store" / "server.sock").exists()


def test_many_at_once_share_one(each, home):
    """Processes that start at the same moment get the same server, and when all have left it is gone."""
    del each
    users = [User() for _ in range(10)]
    assert {user.read() for user in users} == {str(pid_of(home))}
    for user in users:
        user.end()
    assert pid_of(home) is None


def test_data_outlives_the_server(each, home):
    """After kill -9 of the server its data is there again, for its users and for new ones, at the same URL."""
    del each
    with open_embedded() as server, client_of(server) as client:
        client.set("kept", "yes")
        kill_server(home)
        assert (home / "store" / "server.sock").exists(), "a stale socket is what this is about"
        server.ensure()
        assert client.get("kept") == b"yes"
        server.ensure()
        kill_server(home)
        with open_embedded() as other, client_of(other) as another:
            assert other.url == server.url
            assert another.get("kept") == b"yes"
    with open_embedded() as server, client_of(server) as client:
        assert client.get("kept") == b"yes"


@pytest.mark.parametrize("order", [("valkey", "redis"), ("redis", "valkey")])
def test_data_outlives_a_change_of_program(only, home, order):
    """What one program wrote, a rewrite of its file included, another one reads."""
    del home
    for name in order:
        only(name)
        with open_embedded() as server, client_of(server) as client:
            if name == order[0]:
                client.xadd("log", {"d": "{}"}, id="7-1")
                client.hset("meta", mapping={"last": 1})
                client.bgrewriteaof()
                while client.info("persistence")["aof_rewrite_in_progress"]:
                    pass
                client.xadd("log", {"d": "{}"}, id="7-2")
            assert [entry for entry, _ in client.xrange("log")] == [b"7-1", b"7-2"]
            assert client.hget("meta", "last") == b"1"


def test_killed_user_leaves_it_to_the_next(each, home):
    """A user that is killed leaves the server running; the next one attaches, and stops it."""
    del each
    user = User()
    pid = int(user.read())
    user.kill()
    assert pid_of(home) == pid
    with open_embedded():
        assert pid_of(home) == pid
    assert pid_of(home) is None


def test_interrupt_of_the_starter(each, home):
    """Ctrl-C at the process that started it does not reach the server; that process leaves as others do."""
    del each
    user = User()
    pid = int(user.read())
    with open_embedded() as server, client_of(server) as client:
        user.interrupt()
        assert client.info("server")["process_id"] == pid
    assert pid_of(home) is None


def test_exit_is_leaving(each, home):
    """A process that ends without closing has left."""
    del each
    user = User()
    assert int(user.read()) == pid_of(home)
    user.end()
    assert pid_of(home) is None


def test_collected_is_leaving(each, home):
    """An object that nobody keeps has left."""
    del each
    server = open_embedded()
    assert pid_of(home) is not None
    del server
    assert pid_of(home) is None


def test_forked_child_keeps_it(each, home):
    """A forked child goes on using what its parent opened, when the parent has left; its exit stops the server."""
    del each
    user = User()
    user.read()
    assert user.tell("fork") == "True"
    assert user.tell("ping") == "True"
    user.process.wait(60)
    assert pid_of(home) is not None
    user.end()
    assert pid_of(home) is None


def test_silent_server_is_no_reason_for_another(each, home):
    """A server that does not answer is named after a bounded wait; no second one is started on its files."""
    del each
    with open_embedded() as server:
        pid = pid_of(home)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ConfigurationError, match=rf"process {pid}.* does not answer"):
            open_embedded(wait=0.01)
        os.kill(pid, signal.SIGCONT)
        server.ensure()
        (home / "store" / "server.sock").unlink()
        with pytest.raises(ConfigurationError, match=rf"process {pid}"):
            open_embedded(wait=0.01)
        kill_server(home)


def test_copy_of_a_home_is_another(each, home):
    """A home that was copied while its server ran has a server of its own."""
    del each
    with ExitStack() as stack:
        copy = short_directory(stack)
        with open_embedded() as server:
            shutil.copytree(home / "store", copy / "store", ignore=shutil.ignore_patterns("*.sock"))
            with open_embedded(copy) as other:
                assert other.url != server.url
                assert pid_of(copy) != pid_of(home)


def test_long_home_has_a_short_socket(each, home, monkeypatch):
    """A home whose path does not fit a socket's is served from the runtime directory, for all alike."""
    del each
    deep = home / ("d" * 60) / ("e" * 60)
    runtime = home / "run"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    with open_embedded(deep) as server, client_of(server) as client:
        assert client.ping()
        assert server.url.startswith(f"unix://{runtime}/resumable/")
        assert stat.S_IMODE((runtime / "resumable").stat().st_mode) == 0o700
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        with open_embedded(deep) as other:
            assert other.url == server.url
    with open_embedded(deep) as server:
        assert server.url.startswith(f"unix:///tmp/resumable-{os.getuid()}/")


def test_no_acknowledged_write_is_lost(each, home):
    """Under repeated kill -9 of the server, every acknowledged write of every user is in the log."""
    del each
    users = [User(WRITER, WRITER=str(number)) for number in range(4)]
    acknowledged = []
    for _ in range(3):
        for user in users:
            while (line := user.read()) != PAUSE:
                acknowledged.append(line)
        kill_server(home)
    for user in users:
        acknowledged += user.read_rest()
    with open_embedded() as server, client_of(server) as client:
        entries = [fields[b"n"].decode() for _, fields in client.xrange("log")]
    assert len(acknowledged) == 4 * 40
    assert sorted(set(acknowledged)) == sorted(acknowledged)
    assert set(acknowledged) <= set(entries)


PAUSE = "-"
WRITER = """
import os
import redis
from resumable.store.embedded._server import open_embedded
server = open_embedded()
client = redis.Redis.from_url(server.url)
for number in range(40):
    name = f"{os.environ['WRITER']}.{number}"
    while True:
        try:
            client.xadd("log", {"n": name})
            break
        except redis.ConnectionError:
            server.ensure()
    print(name)
    if number in (5, 15, 25):
        print("-", flush=True)
"""
