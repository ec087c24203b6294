"""Which store applies, how its URL is read, and what is said about one that cannot work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from resumable import ConfigurationError
from resumable.store._url import Address, find_address, parse_url

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        (None, {}, Address("default", "embedded", "embedded://")),
        (None, {"REDIS_URL": "redis://r"}, Address("REDIS_URL", "redis", "redis://r")),
        (None, {"RESUMABLE_URL": "unix:///s", "REDIS_URL": "redis://r"}, Address("RESUMABLE_URL", "unix", "unix:///s")),
        (None, {"RESUMABLE_URL": "", "REDIS_URL": ""}, Address("default", "embedded", "embedded://")),
        ("memory://", {"RESUMABLE_URL": "redis://r"}, Address("store", "memory", "memory://")),
    ],
)
def test_which_applies(url, environ, expected):
    """The argument, then RESUMABLE_URL, then REDIS_URL, then the embedded server; an empty variable counts as none."""
    assert find_address(url, environ) == expected


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("redis://", "redis"),
        ("redis://localhost", "redis"),
        ("redis://localhost:6379/", "redis"),
        (f"redis://me:{SECRET}@[::1]:6379/15", "redis"),
        (f"rediss://:{SECRET}@example.com/0?ssl_cert_reqs=required", "rediss"),
        ("REDIS://localhost", "redis"),
        ("unix:///run/redis.sock", "unix"),
        (f"unix://me:{SECRET}@/run/redis.sock?db=3", "unix"),
        (f"redis+cluster://me:{SECRET}@a:7000,b:7001", "redis+cluster"),
        (f"rediss+sentinel://:{SECRET}@a,b:26379/sessions/3", "rediss+sentinel"),
        ("memory://", "memory"),
        ("embedded://", "embedded"),
        ("embedded:///srv/sessions", "embedded"),
    ],
)
def test_url_that_works(url, scheme):
    """Every form that is documented is taken, and what is taken shows no password."""
    address = parse_url(url, "store")
    assert (address.scheme, address.url) == (scheme, url)
    assert repr(address) == f"Address(origin='store', scheme='{scheme}')"


@pytest.mark.parametrize(
    ("url", "problem", "remedy"),
    [
        ("", "not a URL", "pass redis://host:port/0"),
        (f"localhost:6379?password={SECRET}", "not a URL", "pass redis://host:port/0"),
        (f"me:{SECRET}@localhost", "not a URL", "pass redis://host:port/0"),
        (f"valkey://:{SECRET}@host", "valkey:// is not the URL of a store", "write redis://"),
        (f"valkeys://:{SECRET}@host", "valkeys:// is not the URL of a store", "write rediss://"),
        (f"https://:{SECRET}@host", "https:// is not the URL of a store", "the address of its Redis protocol"),
        (f"postgres://:{SECRET}@host", "postgres:// is not the URL of a store", "pass redis://host:port/0"),
        (f"rediss+sentinel://:{SECRET}@a", "it does not say what the Sentinels call the primary", "host:26379/primary"),
        (f"redis://:{SECRET}@host:http/0", "its host or port cannot be read", "percent-encode"),
        (f"redis://:{SECRET}@[host/0", "its host or port cannot be read", "percent-encode"),
        (f"redis://:{SECRET}#1@host/0", "its host or port cannot be read", "percent-encode"),
        (f"redis://host/0#{SECRET}", "a # stands in it", "percent-encode"),
        (f"redis://:{SECRET}@host/sessions", "its database is not a number", "redis://host:port/0"),
        (f"redis://:{SECRET}@host/1/2", "its database is not a number", "redis://host:port/0"),
        (f"unix://:{SECRET}@/run/s?db=x", "its database is not a number", "?db=0"),
        ("unix://run/redis.sock", "unix:// without the absolute path of a socket", "unix:///path/to/socket"),
        ("unix://", "unix:// without the absolute path of a socket", "unix:///path/to/socket"),
        (f"memory://{SECRET}", "memory:// takes nothing behind it", "name memory:// alone"),
        ("embedded://sessions", "embedded:// takes an absolute directory or nothing", "embedded:///directory"),
    ],
)
@pytest.mark.parametrize("origin", ["store", "RESUMABLE_URL", "REDIS_URL"])
def test_url_that_cannot_work(url, problem, remedy, origin):
    """The error names who said it, what is wrong and what to write; a password is in none of it."""
    with pytest.raises(ConfigurationError) as caught:
        find_address(url, {}) if origin == "store" else find_address(None, {origin: url or " "})
    assert caught.value.argument == origin
    assert caught.value.problem == problem
    assert remedy in caught.value.remedy
    assert SECRET not in str(caught.value) + repr(caught.value)


def test_import_is_light():
    """The store can be chosen, and kept in memory, without redis-py."""
    probe = "import sys, resumable.store._url; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
