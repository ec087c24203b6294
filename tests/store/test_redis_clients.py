"""How redis-py is configured, and what its exceptions are called here."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from redis import exceptions

from resumable._core.errors import ConfigurationError
from resumable.store.redis._clients import aconnect, connect
from resumable.store.redis._errors import error_of, map_errors
from resumable.store.redis._stores import AsyncRedisStore, RedisStore

RESPONSES = {
    "OOM command not allowed when used memory > 'maxmemory'": ("memory", True),
    "ERR Error running script (call to f_1): @user_script: 3: -OOM command not allowed": ("memory", True),
    "ERR Error running script (call to f_1): @user_script:3: -READONLY You can't write": ("readonly", True),
    "MASTERDOWN Link with MASTER is down": ("readonly", True),
    "NOREPLICAS Not enough good replicas to write.": ("readonly", True),
    "MISCONF Errors writing to the AOF file: No space left on device": ("disk", True),
    "BUSY Redis is busy running a script.": ("busy", True),
    "UNKILLABLE Sorry the script already executed write commands": ("busy", True),
    "LOADING Redis is loading the dataset in memory": ("loading", True),
    "CLUSTERDOWN The cluster is down": ("cluster", True),
    "TRYAGAIN Multiple keys request during rehashing of slot": ("cluster", True),
    "NOPERM this user has no permissions": ("permission", False),
    "NOAUTH Authentication required.": ("auth", False),
    "WRONGPASS invalid username-password pair": ("auth", False),
    "max number of clients reached": ("clients", True),
    "WRONGTYPE Operation against a key holding the wrong kind of value": ("refused", False),
    "ERR unknown command 'EVALSHA'": ("refused", False),
}
OTHERS = [
    (exceptions.ConnectionError("Connection refused"), "connection", True),
    (ConnectionResetError(104, "reset"), "connection", True),
    (exceptions.TimeoutError("Timeout reading"), "timeout", True),
    (TimeoutError(), "timeout", True),
    (exceptions.BusyLoadingError("Redis is loading"), "loading", True),
    (exceptions.AuthenticationError("invalid password"), "auth", False),
    (exceptions.NoPermissionError("no"), "permission", False),
    (exceptions.ReadOnlyError("You can't write against a read only replica."), "readonly", True),
    (exceptions.OutOfMemoryError("command not allowed"), "memory", True),
    (exceptions.MaxConnectionsError("Too many connections"), "clients", True),
    (exceptions.ConnectionError("max number of clients reached"), "clients", True),
    (exceptions.ConnectionError("No connection available."), "clients", True),
    (exceptions.ClusterError("TTL exhausted."), "cluster", True),
    (AttributeError("'NoneType' object has no attribute '_add_writer'"), "connection", True),
    (TypeError("'NoneType' object is not callable"), "connection", True),
    (exceptions.InvalidResponse("Protocol Error"), "refused", False),
    (exceptions.DataError("Invalid input"), "refused", False),
]


@pytest.mark.parametrize("sentence", RESPONSES)
def test_what_the_server_says_has_a_name(sentence):
    """From a command or from inside a script, of old servers and new ones."""
    error = error_of(exceptions.ResponseError(sentence))
    assert (error.reason, error.retryable) == RESPONSES[sentence]
    assert isinstance(error.__cause__, exceptions.ResponseError)


@pytest.mark.parametrize(("exc", "reason", "retryable"), OTHERS, ids=lambda value: str(value)[:40])
def test_what_the_client_raises_has_a_name(exc, reason, retryable):
    """Its own slips after a reset are lost connections too."""
    error = error_of(exc)
    assert (error.reason, error.retryable) == (reason, retryable)


def test_no_exception_of_the_client_escapes():
    """All that redis-py defines is mapped."""
    for _, kind in inspect.getmembers(exceptions, inspect.isclass):
        if issubclass(kind, exceptions.RedisError):
            with pytest.raises(error_of(exceptions.RedisError()).__class__), map_errors():
                raise kind.__new__(kind)


@pytest.mark.parametrize(
    "url", ["redis://user:word@127.0.0.1:7/3", "rediss://127.0.0.1:7", "unix:///run/redis.sock?db=3"]
)
@pytest.mark.parametrize("make", [connect, aconnect])
def test_every_client_is_bounded(url, make):
    """Timeouts, pool, retries and shape are ours, whatever the version of redis-py thinks."""
    quick, blocking = make(url)
    for client, longest, retries in ((quick, 2.0, 2), (blocking, 7.0, 0)):
        settings = client.connection_pool.connection_kwargs
        assert (settings["socket_timeout"], settings["socket_connect_timeout"]) == (longest, 2.0)
        assert settings["retry"].get_retries() == retries
        assert (settings["protocol"], settings["decode_responses"]) == (2, False)
        assert (client.connection_pool.max_connections, client.connection_pool.timeout) == (16, 2.0)
    assert quick.connection_pool is not blocking.connection_pool


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@h/0?socket_timeout=60",
        "redis://:secret@h/0?decode_responses=1",
        "redis://:secret@h/0?protocol=3",
        "redis://:secret@h:port/0",
        "http://:secret@h/",
        "secret",
    ],
)
@pytest.mark.parametrize("kind", [RedisStore, AsyncRedisStore])
def test_a_url_that_cannot_work_is_not_quoted(url, kind):
    """What the URL must not set, or is none: refused at once, without the password that stands in it."""
    with pytest.raises(ConfigurationError) as caught:
        kind.from_url(url)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value)


def test_a_server_is_let_verify(tmp_path):
    """Options of TLS pass; without any, the certificate is verified."""
    quick, _ = connect(f"rediss://h:1?ssl_ca_certs={tmp_path}/ca.pem")
    assert quick.connection_pool.connection_kwargs["ssl_ca_certs"] == f"{tmp_path}/ca.pem"
    connection: Any = quick.connection_pool.make_connection()
    assert connection.cert_reqs.name == "CERT_REQUIRED"
