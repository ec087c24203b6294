"""
A pytest plugin: a Claude that answers from a script and breaks on demand, and clients that are wired to it.

It comes with the package; `-p no:resumable` turns it off. See docs/how-to/test.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anthropic

    from resumable.testing import Fault, ScriptedUpstream

__all__ = ("async_claude_client", "claude_client", "claude_environment", "claude_fault", "claude_upstream")

# Names only, and imports only where something is used: the plugin is loaded by every run of pytest.
_KINDS = (
    "reset",
    "closed",
    "clean_eof",
    "cut_at_once",
    "stall",
    "stall_with_pings",
    "overloaded_event",
    "api_error_event",
    "overloaded",
    "rate_limited",
    "server_error",
    "bad_gateway_page",
    "refused",
    "no_response",
    "page_instead",
    "bad_json",
    "no_message_stop",
)
_KEY = "sk-test"
_MARKER = (
    "claude(reply='text', faults=(), continuer='anchor', **options): what the Claude of the claude_* fixtures answers,"
    " suffers and does when it is asked to go on; arguments of resumable.testing.ScriptedUpstream"
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(params=_KINDS)
def claude_fault(request: pytest.FixtureRequest) -> Fault:
    """Run the test once for each kind of fault; with `claude_upstream`, the first request suffers it."""
    from resumable.testing import FAULT_KINDS  # noqa: PLC0415  # Reason: as above

    return FAULT_KINDS[request.param]


@pytest.fixture
def claude_upstream(request: pytest.FixtureRequest) -> Iterator[ScriptedUpstream]:
    """
    Serve the Messages API at `claude_upstream.url`, as the test's `claude` marker says.

    With `claude_fault`, that fault comes before the marker's own.
    """
    from resumable.testing import ScriptedUpstream  # noqa: PLC0415  # Reason: as above

    marker = request.node.get_closest_marker("claude")
    arguments: tuple[Any, ...] = () if marker is None else marker.args
    options: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    options |= dict(zip(("reply", "faults", "continuer"), arguments, strict=False))
    if "claude_fault" in request.fixturenames:
        options["faults"] = [request.getfixturevalue("claude_fault"), *options.get("faults", ())]
    with ScriptedUpstream(options.pop("reply", "text"), **options) as upstream:
        yield upstream


@pytest.fixture
def claude_client(claude_upstream: ScriptedUpstream) -> Iterator[anthropic.Anthropic]:
    """Give a wrapped client that reaches the upstream in process, where waiting takes no time."""
    import anthropic  # noqa: PLC0415  # Reason: as above

    http_client = anthropic.DefaultHttpxClient(transport=claude_upstream.transport())
    with anthropic.Anthropic(api_key=_KEY, http_client=http_client, **_recovery(claude_upstream)) as client:
        yield client


@pytest.fixture
def async_claude_client(claude_upstream: ScriptedUpstream) -> anthropic.AsyncAnthropic:
    """Give the same for tasks, under asyncio and trio; it holds no connection that would have to be closed."""
    import anthropic  # noqa: PLC0415  # Reason: as above

    http_client = anthropic.DefaultAsyncHttpxClient(transport=claude_upstream.async_transport())
    return anthropic.AsyncAnthropic(api_key=_KEY, http_client=http_client, **_recovery(claude_upstream))


@pytest.fixture
def claude_environment(claude_upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> ScriptedUpstream:
    """Have a program that makes its client itself reach the upstream: by the SDK's own environment variables."""
    for name in _PROXIES:
        for spelling in (name, name.upper()):
            monkeypatch.delenv(spelling, raising=False)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", claude_upstream.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", _KEY)
    return claude_upstream


def _recovery(upstream: ScriptedUpstream) -> dict[str, Any]:
    from resumable import Resumable  # noqa: PLC0415  # Reason: as above

    return {"base_url": "http://claude.test", "middleware": [Resumable(clock=upstream.clock, chance=lambda: 0.5)]}
