"""Two processes and a real server: what one is refused, the other does not ask for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from resumable.testing import Reject, ScriptedUpstream

if TYPE_CHECKING:
    from tests.store.servers import Server

WORKER = """
import json, sys
import anthropic, resumable
from resumable import RetryPolicy

upstream, store, attempts = sys.argv[1:]
client = anthropic.Anthropic(api_key="sk-secret", base_url=upstream, max_retries=0)
with resumable.wrap(client, store=store, policy=RetryPolicy(max_attempts=int(attempts))) as client:
    try:
        with client.messages.create(
            model="claude-haiku-4-5", max_tokens=64, messages=[{"role": "user", "content": "Tell me."}], stream=True
        ) as stream:
            list(stream)
    except anthropic.RateLimitError:
        print(json.dumps("refused"))
    else:
        report = resumable.report(stream)
        print(json.dumps([report.deferred, len(report.attempts)]))
"""


def work(upstream: ScriptedUpstream, store: str, attempts: int) -> Any:
    """Let a process of its own make one call, and give what came of it."""
    command = [sys.executable, "-c", WORKER, upstream.url, store, str(attempts)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def test_a_rate_limit_is_met_by_one_process(valkey: Server):
    """The next one holds back from its first request on, and is served by it."""
    with ScriptedUpstream("text", [Reject(429, headers={"retry-after": "4"})]) as upstream:
        assert work(upstream, valkey.url, 1) == "refused"
        [deferred, attempts] = work(upstream, valkey.url, 5)
        assert deferred > 0.0
        assert attempts == 1
        assert len(upstream.log) == 2


def test_nobody_holds_back_from_another_store(valkey: Server):
    """Workers that share no store do not know of each other."""
    with ScriptedUpstream("text", [Reject(429, headers={"retry-after": "4"})]) as upstream:
        assert work(upstream, "memory://", 1) == "refused"
        assert work(upstream, valkey.url, 5) == [0.0, 1]
