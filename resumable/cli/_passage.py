"""
The passage through the storm: one call through a wrapped client, and the same call through a bare one.

It prints nothing: a view is told what happens while it happens.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anthropic

import resumable
from resumable.cli._outcome import FailedAttempt, Heard, Outcome
from resumable.cli._storm import SCALE, STALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from anthropic.lib.streaming import MessageStream

    from resumable._core.report import Notice, Report
    from resumable.cli._storm import Storm
    from resumable.cli._view import View
    from resumable.testing import ScriptedUpstream


@dataclass(slots=True)
class _Watch:
    """Puts together what the callback tells and when text arrives."""

    storm: Storm
    view: View
    heard: Heard = field(default_factory=Heard)
    failed: list[FailedAttempt] = field(default_factory=list[FailedAttempt])

    def notice(self, notice: Notice) -> None:
        planned = self.storm.strikes[notice.attempt - 1] if notice.attempt <= len(self.storm.strikes) else None
        self.failed.append(
            FailedAttempt(
                number=notice.attempt,
                fault=planned.name if planned else None,
                what=planned.what if planned else str(notice.failure),
                failure=str(notice.failure),
                verdict=notice.verdict,
                delay=notice.delay,
                at=len(self.heard.text),
                noticed_at=time.monotonic(),
            )
        )
        self.view.see_failure(self.failed[-1])

    def text(self, delta: str) -> None:
        report = self.heard.report
        now = time.monotonic()
        back: list[FailedAttempt] = []
        for one in self.failed:
            # What an attempt has sent may still reach the caller after its failure.
            if one.back_after is None and report is not None and report.attempts[-1].number > one.number:
                one.back_after = now - one.noticed_at
                one.at = len(self.heard.text)
                one.seam = next((seam for seam in report.seams if seam.attempt == one.number + 1), None)
                back.append(one)
        self.heard.text += delta
        if back:
            self.view.see_return(back)
        self.view.see_text(delta)


def pass_through(storm: Storm, view: View, pace: float = 0.0) -> Outcome:
    """
    Stream the answer through the storm, with the library and without it.

    Args:
        storm: What goes wrong.
        view: Who watches.
        pace: [s] Between two frames, so that people can watch.

    Returns:
        What came of it; an error of the stream is a part of it.
    """
    watch = _Watch(storm, view)
    bare = Heard()
    # At the same time, so that a view can show both; a daemon, since Ctrl-C must not wait for it.
    alone = threading.Thread(target=_pass_bare, args=(storm, view, bare, pace), name="the SDK alone", daemon=True)
    alone.start()
    policy = resumable.RetryPolicy(progress_timeout=STALL, max_attempts=20).scaled(1 / SCALE)
    with storm.upstream(pace) as upstream:
        expected = upstream.expected_text(storm.body)
        started = time.monotonic()
        with _client(upstream) as client:
            wrapped = resumable.wrap(client, policy=policy, on_recovery=watch.notice)
            _listen(wrapped, storm.body, watch.heard, watch.text)
        elapsed = time.monotonic() - started
        requests = len(upstream.log.messages)
    alone.join()
    report = watch.heard.report
    return Outcome(
        expected=expected,
        heard=watch.heard,
        bare=bare,
        failed=watch.failed,
        attempts=len(watch.failed) if report is None else len(report.attempts),
        requests=requests,
        elapsed=elapsed,
    )


def _pass_bare(storm: Storm, view: View, heard: Heard, pace: float) -> None:
    """Make the same call with nothing but the SDK, its own retries included."""

    def hear(delta: str) -> None:
        heard.text += delta

    view.see_bare(heard, is_over=False)
    with storm.upstream(pace) as upstream, _client(upstream) as client:
        _listen(client, storm.body, heard, hear)
    view.see_bare(heard, is_over=True)


def _client(upstream: ScriptedUpstream) -> anthropic.Anthropic:
    # What the environment says of proxies is not about our own machine; the SDK reads it even without trust_env.
    http_client = anthropic.DefaultHttpxClient(trust_env=False, mounts={"all://127.0.0.1": None})
    return anthropic.Anthropic(base_url=upstream.url, api_key="demo", http_client=http_client)


def _listen(client: anthropic.Anthropic, body: dict[str, Any], heard: Heard, on_text: Callable[[str], None]) -> None:
    try:
        with client.messages.stream(**body) as stream:
            heard.report = _report_of(stream)
            for delta in stream.text_stream:
                on_text(delta)
            heard.stop_reason = stream.current_message_snapshot.stop_reason
    except Exception as error:  # noqa: BLE001  # Reason: whatever it is, the caller would have had to catch it
        heard.error = error


def _report_of(stream: MessageStream[None]) -> Report | None:
    try:
        return resumable.report(stream)
    except resumable.ConfigurationError:
        return None
