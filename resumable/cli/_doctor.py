"""The command `resumable doctor`: is what sessions and calls rest on as it should be, and what to change."""

from __future__ import annotations

import os

from resumable.cli._doctor_findings import exit_code, show
from resumable.cli._doctor_store import examine_store
from resumable.cli._doctor_upstream import examine_upstream


def run(*, store: str | None, base_url: str | None, probe: bool, as_json: bool) -> int:
    """
    Examine everything, and print what was found.

    Args:
        store: URL of the store; `None` for the one that applies.
        base_url: Where the API is; `None` as the SDK knows it.
        probe: Whether to ask the API.
        as_json: Print one JSON object.

    Returns:
        The exit code.
    """
    findings = [*examine_store(store, os.environ), *examine_upstream(base_url, os.environ, probe=probe)]
    show(findings, as_object=as_json)
    return exit_code(findings)
