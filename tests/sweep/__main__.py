"""`python -m tests.sweep` sweeps everything; `python -m tests.sweep record` writes the recordings anew."""

from __future__ import annotations

import logging
import sys

from tests.sweep.campaign import HTTP_STRIDE, SDK_STRIDE, Tally, every_byte, over_http, rows, sweep, through_sdk
from tests.sweep.recordings import MODELS, RECORDINGS, record


def main() -> int:
    """Sweep, print what came of it, and say whether all was as the table has it."""
    if sys.argv[1:] == ["record"]:
        record()
        return 0
    logging.getLogger("resumable").addHandler(logging.NullHandler())  # Giving up is expected of some cells.
    core, sdk, http = Tally(), Tally(), Tally()
    for recording in RECORDINGS:
        for model in MODELS:
            core.add(sweep(every_byte(recording, model)))
            sdk.add(through_sdk(recording, model, SDK_STRIDE))
            http.add(over_http(recording, model, HTTP_STRIDE))
    sys.stdout.write("\n".join(rows()) + "\n\n")
    for name, tally in (("session", core), ("SDK, in process", sdk), ("SDK, over HTTP", http)):
        streams = f"{tally.outputs:,} different streams, " if tally.outputs else ""
        flaws = "\n".join([f"{len(tally.flaws)} flaws", *tally.flaws[:20]])
        sys.stdout.write(f"{name}: {tally.cells:,} cells, {streams}{flaws}\n")
    return 1 if core.flaws or sdk.flaws or http.flaws else 0


if __name__ == "__main__":
    sys.exit(main())
