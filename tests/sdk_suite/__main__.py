"""
Runs the SDK's own tests, records what came of them and writes the page: `python -m tests.sdk_suite`.

Exit code 1 if a test fails that is not listed, or a listed one passes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.sdk_suite.page import PAGE, RECORD, page, record
from tests.sdk_suite.runner import ROOT, run, unexpected

if __name__ == "__main__":
    outcome = run(Path(sys.argv[1]) if sys.argv[1:] else ROOT / ".venv/own-tests")
    RECORD.write_text(record(outcome), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    wrong = unexpected(outcome)
    print(*wrong, sep="\n")  # noqa: T201  # Reason: a campaign prints what it found
    sys.exit(bool(wrong))
