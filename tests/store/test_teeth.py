"""Every rule of the scripts is needed: with it taken out, some check of the suite fails."""

from __future__ import annotations

import hashlib
import threading

import fakeredis
import pytest

from resumable._core.store_errors import StoreError
from resumable.store.redis import _scripts
from resumable.store.redis._clients import Clients
from resumable.store.redis._stores import RedisStore
from resumable.testing import STORE_CHECKS

# Script, the rule as it stands there, and what is left when it is taken out.
MUTATIONS = {
    "the fence": ("append", "if token ~= ARGV[1] or m[2] ~= ARGV[2] then", "if false then"),
    "the fence by token": ("append", "if token ~= ARGV[1] or m[2] ~= ARGV[2] then", "if m[2] ~= ARGV[2] then"),
    "the fence by holder": ("append", "if token ~= ARGV[1] or m[2] ~= ARGV[2] then", "if token ~= ARGV[1] then"),
    "the fence of a renewal": ("renew", "if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then", "if false then"),
    "the fence of a release": ("release", "if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then", "if false then"),
    "the rule of sending again": ("append", "local skip = last - first + 1", "local skip = 0"),
    "the rule of sending the end again": ("append", "(ending == '' or ending == status)", "ending == ''"),
    "the refusal of a hole": ("append", "if first > last + 1 or first <= base then", "if first <= base then"),
    "the end": ("append", "if status ~= 'running' then", "if false then"),
    "the end's marker": ("append", "'status', ending, 'holder', ''", "'d', ending, 'holder', ''"),
    "the release that fences": ("append", "if m[4] == '0' then", "if false then"),
    "the takeover's new token": (
        "acquire",
        "local fresh = string.format('%.0f', math.max(now, marker + 1))",
        "local fresh = marker",
    ),
    "the takeover's marker": (
        "acquire",
        "redis.call('XADD', log, fresh .. '-0', 'status', 'running', 'holder', ARGV[1], 'base', last, 'after', known)",
        "",
    ),
    "what the marker follows": (
        "acquire",
        "'base', last, 'after', known)\nredis.call('HSET', meta, 'status', 'running'",
        "'base', last, 'after', '0-0')\nredis.call('HSET', meta, 'status', 'running'",
    ),
    "the base of a takeover": ("acquire", "'lease_until_ms', until_ms, 'base', last,", "'lease_until_ms', until_ms,"),
    "the lease": ("acquire", "if status == 'running' and left > 0 then", "if false then"),
    "the conflict": ("acquire", "if ARGV[5] == '1' and m[10] ~= ARGV[6] then", "if false then"),
    "the same holder": ("acquire", "and m[4] == ARGV[1] then", "and false then"),
    "the cancel that waits": ("acquire", "if m[9] then", "if false then"),
    "the request": ("acquire", "redis.call('SET', KEYS[3], ARGV[8])", ""),
    "the time to live": ("acquire", "redis.call('PEXPIREAT', KEYS[i], gone_ms)", ""),
    "one instant for all keys": (
        "acquire",
        "for i = 1, #KEYS do redis.call('PEXPIREAT'",
        "for i = 2, #KEYS do redis.call('PEXPIREAT'",
    ),
    "the first reason": ("cancel", "local reason = m[8] or ARGV[1]", "local reason = ARGV[1]"),
    "the flag": ("cancel", "redis.call('HSET', KEYS[1], 'cancel', reason)", ""),
    "the holder that is asked": ("cancel", "if status == 'running' and tonumber(m[4]) > now then", "if false then"),
    "the orphan's fence": ("orphan", "'token', fresh, 'marker', fresh, 'holder', ''", "'marker', fresh"),
    "the lease of an orphan": ("orphan", "if left > 0 then", "if false then"),
    "what is left out": ("look", "if not leave[all[i]] then", "if true then"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_no_rule_is_idle(name, monkeypatch):
    """A store without the rule breaks a promise."""
    script, rule, left = MUTATIONS[name]
    whole: _scripts.Script = getattr(_scripts, script.upper())
    assert whole.text.count(rule) == 1
    text = whole.text.replace(rule, left)
    sha = hashlib.sha1(text.encode()).hexdigest()
    monkeypatch.setattr(_scripts, script.upper(), _scripts.Script(whole.name, text, sha))
    monkeypatch.setattr("resumable.testing._conformance_scene._PATIENCE", 1.0)
    monkeypatch.setattr("resumable.testing._conformance_waits._LONG_WAIT", 0.5)
    # A check in a thread of its own may fail there; that it then fails here too is what counts.
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    assert any(breaks(check) for check in STORE_CHECKS)


def breaks(check) -> bool:
    """Run one check on a fresh fake and tell whether it fails."""
    server = fakeredis.FakeServer()
    store = RedisStore(Clients(*(fakeredis.FakeRedis(server=server, protocol=2) for _ in range(2))))
    try:
        check(store)
    except (AssertionError, StoreError, IndexError, KeyError, ValueError):
        return True
    finally:
        store.close()
    return False
