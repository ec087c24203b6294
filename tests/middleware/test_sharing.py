"""One wrapped client, many users: threads, tasks, and processes that fork."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tenacity import wait_fixed

import resumable
from resumable import RetryPolicy
from resumable.testing import Drop, ErrorEvent, Reject, ScriptedUpstream, Stall, Truncate
from tests.middleware.conftest import real_aclient, real_client

if TYPE_CHECKING:
    from resumable.testing import Recorded

USERS = 16
ROUNDS = 3
AT_ONCE = wait_fixed(0)
# A stall ends after a while that is long for this upstream, and short for a test.
BRAVE = RetryPolicy(
    rate_limited=AT_ONCE,
    overloaded=AT_ONCE,
    reconnect=AT_ONCE,
    server=AT_ONCE,
    bytes_timeout=2.0,
    max_attempts=60,
    max_attempts_without_progress=60,
)
FAULTS = (
    Drop(after=9),
    Truncate(after=14),
    ErrorEvent(after=7),
    Reject(529),
    Reject(500),
    Drop(after=3, how="fin"),
    None,
)


def storm(number: int, _: Recorded) -> Any:
    """Break most answers, each in another way; one of them falls silent."""
    return Stall(after=8) if number == 20 else FAULTS[number % len(FAULTS)]


def question(user: int) -> dict[str, Any]:
    """Ask something that nobody else asks."""
    message = {"role": "user", "content": f"Tell user {user} something."}
    return {"model": "claude-sonnet-5", "max_tokens": 20_000, "messages": [message]}


def test_sixteen_threads_share_a_client():
    """In a storm each thread gets its own text, whole, as often as it asks."""
    begin = threading.Barrier(USERS)
    with ScriptedUpstream("text", storm, vary=False) as upstream, real_client(upstream, BRAVE) as client:

        def use(user: int) -> list[tuple[str, int]]:
            begin.wait(10)
            answers = []
            for _ in range(ROUNDS):
                with client.messages.stream(**question(user)) as stream:
                    text = stream.get_final_text()
                answers.append((text, len(resumable.report(stream).attempts)))
            return answers

        with ThreadPoolExecutor(USERS) as pool:
            answers = list(pool.map(use, range(USERS)))
        for user, its_own in enumerate(answers):
            assert [text for text, _ in its_own] == [upstream.expected_text(question(user))] * ROUNDS
        attempts = sum(count for its_own in answers for _, count in its_own)
        assert attempts == len(upstream.log.messages) > USERS * ROUNDS


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.filterwarnings("ignore:Async generator '(httpcore|anthropic):ResourceWarning")
async def test_sixteen_tasks_share_a_client():
    """The same with tasks."""
    with ScriptedUpstream("text", storm, vary=False) as upstream:
        async with real_aclient(upstream, BRAVE) as client:
            texts: dict[int, list[str]] = {user: [] for user in range(USERS)}

            async def use(user: int) -> None:
                for _ in range(ROUNDS):
                    async with client.messages.stream(**question(user)) as stream:
                        texts[user].append(await stream.get_final_text())

            async with anyio.create_task_group() as group:
                for user in range(USERS):
                    group.start_soon(use, user)
        for user, its_own in texts.items():
            assert its_own == [upstream.expected_text(question(user))] * ROUNDS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork with")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_goes_on_with_the_client():
    """A child asks anew, watched and recovered; the parent's open stream is not disturbed by it."""
    faults = [None, Stall(after=9), None]
    with ScriptedUpstream("text", faults, vary=False) as upstream, real_client(upstream, BRAVE) as client:
        stream = client.messages.create(**question(0), stream=True)
        events = [next(stream) for _ in range(5)]
        asked, answered = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover  # Reason: the child leaves without telling
            code = 1
            try:
                # The parent's connection is in use, so the pool opens another; idle ones are no more to be
                # shared by two processes than with the bare SDK.
                with client.messages.stream(**question(1)) as own:
                    os.write(answered, own.get_final_text().encode())
                code = 0
            finally:
                os._exit(code)
        os.close(answered)
        with os.fdopen(asked, "rb") as pipe:
            told = pipe.read().decode()
        assert os.waitpid(child, 0)[1] == 0
        assert told == upstream.expected_text(question(1))
        events += list(stream)
        assert events[-1].type == "message_stop"
        assert len(resumable.report(stream).attempts) == 1
        assert len(upstream.log.messages) == 3
