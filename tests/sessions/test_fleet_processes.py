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
input()  # All is imported: a hint is good for seconds.
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


class Worker:
    """A process of its own, which makes one call when it is told to."""

    def __init__(self, upstream: ScriptedUpstream, store: str, attempts: int) -> None:
        command = [sys.executable, "-c", WORKER, upstream.url, store, str(attempts)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self) -> Any:
        """Let it make its call, and give what came of it."""
        told, _ = self._process.communicate("go\n", timeout=60)
        return json.loads(told)


def test_a_rate_limit_is_met_by_one_process(valkey: Server):
    """The next one holds back from its first request on, and is served by it."""
    with ScriptedUpstream("text", [Reject(429, headers={"retry-after": "4"})]) as upstream:
        first, second = Worker(upstream, valkey.url, 1), Worker(upstream, valkey.url, 5)
        assert first.call() == "refused"
        [deferred, attempts] = second.call()
        assert deferred > 0.0
        assert attempts == 1
        assert len(upstream.log) == 2


def test_nobody_holds_back_from_another_store(valkey: Server):
    """Workers that share no store do not know of each other."""
    with ScriptedUpstream("text", [Reject(429, headers={"retry-after": "4"})]) as upstream:
        first, second = Worker(upstream, "memory://", 1), Worker(upstream, valkey.url, 5)
        assert first.call() == "refused"
        assert second.call() == [0.0, 1]
