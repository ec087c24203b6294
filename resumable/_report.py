"""Find the report that travels with a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable._core.errors import ConfigurationError
from resumable._core.report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Under this name a report travels in a response's `extensions`.
EXTENSION = "resumable"


def report(stream: object) -> Report:
    """
    Say what recovery did for a stream.

    The report is live: it grows while the stream runs, and is final when it has ended.

    Args:
        stream: What a wrapped client returned: a `Stream`, a `MessageStream`, a raw response or
            the HTTP response inside one, their async twins; or an error that a wrapped client raised.

    Returns:
        Attempts, seams, waits, discarded blocks and the books of each attempt.

    Raises:
        ConfigurationError: It did not come through a wrapped client.
    """
    if isinstance(found := getattr(stream, "report", None), Report):
        return found
    for holder in (stream, getattr(stream, "response", None), getattr(stream, "http_response", None)):
        extensions: Mapping[str, object] = getattr(holder, "extensions", {})
        if isinstance(found := extensions.get(EXTENSION), Report):
            return found
    raise ConfigurationError(
        argument="stream",
        problem=f"{type(stream).__name__} did not come through a wrapped client",
        remedy="pass the stream that a client returned by resumable.wrap() gave you",
    )


def headers_of(report: Report) -> dict[str, str]:
    """Say in response headers what recovery did so far."""
    headers = {"resumable-session": report.session_id, "resumable-attempts": str(len(report.attempts))}
    if report.seams:
        headers["resumable-seams"] = ", ".join(seam.quality for seam in report.seams)
    if report.has_estimates:
        headers["resumable-usage"] = "estimated"
    if report.unkept is not None:
        headers["resumable-unkept"] = report.unkept
    return headers
