"""Run the command line as a process, through a pipe or on a terminal of its own."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

# What the environment says must not reach a test: a key, a proxy, colours.
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if name in {"PATH", "HOME", "LANG", "SYSTEMROOT"} or name.startswith("COVERAGE_")
}

# The same program with another storm: one that is over at once, or one that never ends.
STORM = """
import sys
from resumable.cli import _demo, main
from resumable.cli._storm import Storm, Strike
from resumable.testing import Drop, Reject
strikes = {strikes}
_demo.brew = lambda seed: Storm(seed, strikes)
sys.exit(main(["demo"]))
"""
BRIEF = STORM.format(strikes="(Strike('reset', 'connection reset', Drop(after=20)),)")
ENDLESS = STORM.format(strikes="(Strike('busy', '529', Reject(529, headers={'retry-after': '100'})),)")


def resumable(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for it; its output goes into pipes."""
    return subprocess.run(
        [sys.executable, "-m", "resumable", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=CLEAN | environment,
    )


def on_a_terminal(script: str, **environment: str) -> tuple[int, str]:
    """Run a script on a terminal of 100 by 40 and return its exit code and everything it wrote."""
    import fcntl  # noqa: PLC0415  # Reason: these three are not on Windows, where nobody calls this
    import pty  # noqa: PLC0415
    import termios  # noqa: PLC0415

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, env=CLEAN | environment
    )
    os.close(theirs)
    written = b""
    while data := _read(ours):
        written += data
    os.close(ours)
    return process.wait(), written.decode()


def _read(terminal: int) -> bytes:
    """Read what is there; nothing once the other side has closed it, which Linux calls an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
