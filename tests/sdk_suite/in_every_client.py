"""
Puts a middleware into every client that a process makes, sync and async, of every platform.

It is `Resumable()`, or with `IN_EVERY_CLIENT=nothing` one that does nothing: the control.

A plugin of pytest, loaded into the SDK's own tests with `-p in_every_client`: there `tests` is the SDK's package,
so this file stands alone and imports nothing of ours but the library.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any

import anthropic

from resumable import Resumable, RetryPolicy

# The one place where a client of any class is made. Private to the SDK, and so looked up by name.
_BASES = ("SyncAPIClient", "AsyncAPIClient")
# The SDK's tests wait for nothing either, and ask for every delta by itself; everything else is the default.
_POLICY = RetryPolicy().scaled(1e-6)


class Nothing(anthropic.Middleware):
    """What any middleware changes: that there is one."""

    def handle(self, request: anthropic.APIRequest, call_next: anthropic.CallNext) -> anthropic.APIResponse[Any]:
        """Pass the call on."""
        answer: anthropic.APIResponse[Any] = call_next(request)
        return answer

    async def handle_async(
        self, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext
    ) -> anthropic.AsyncAPIResponse[Any]:
        """Pass the call on."""
        answer: anthropic.AsyncAPIResponse[Any] = await call_next(request)
        return answer


def one() -> anthropic.Middleware:
    """Make the middleware that this process puts in."""
    return Nothing() if os.environ.get("IN_EVERY_CLIENT") == "nothing" else Resumable(policy=_POLICY, hold=())


def put_into(base: Any) -> None:
    """Let every client made from now on begin its middleware with ours, unless it has that already."""
    original = base.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, middleware: Any = None, **kwargs: Any) -> None:
        given = list(middleware or ())
        if not any(isinstance(entry, (Nothing, Resumable)) for entry in given):
            given.insert(0, one())
        original(self, *args, middleware=given, **kwargs)

    base.__init__ = init


def pytest_configure() -> None:
    """Change the clients before a test module makes one, and see to it that they are changed."""
    module = importlib.import_module("anthropic._base_client")
    for name in _BASES:
        put_into(getattr(module, name))
    for kind in (anthropic.Anthropic, anthropic.AsyncAnthropic):
        client: Any = kind(api_key="none")
        assert [type(entry) for entry in client.middleware] == [type(one())], kind
