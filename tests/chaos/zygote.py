"""
Forks the processes of a storm, so that one costs milliseconds; the only one that signals them.

One JSON line in, one out. A child that has ended is reaped before anything is signalled: no signal meets a stranger.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
ROLES: dict[str, Callable[[str], None]] = {}


class Zygote:
    """The other end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, role: str, task: dict[str, object]) -> int:
        """Start a process; give its number."""
        return int(self._ask(do="start", role=role, task=task))

    def signal(self, pid: int, number: int) -> bool:
        """Send a signal to one that this started; tell whether it was still there."""
        return bool(self._ask(do="signal", pid=pid, number=number))

    def alive(self) -> set[int]:
        """List those that run."""
        return set(self._ask(do="alive"))

    def close(self) -> None:
        """Kill what runs, and end."""
        self._process.communicate(timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, **question: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def fork(role: str, task: dict[str, object]) -> int:
    """Start a child in its role."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        ROLES[role](json.dumps(task))
    except BaseException:  # noqa: BLE001  # Reason: a child must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def reap(children: set[int]) -> None:
    """Forget the children that have ended."""
    for pid in list(children):
        if os.waitpid(pid, os.WNOHANG)[0]:
            children.discard(pid)


def serve() -> None:
    """Do as told until nobody tells any more."""
    children: set[int] = set()
    for line in sys.stdin:
        question = json.loads(line)
        reap(children)
        answer: object = None
        match question["do"]:
            case "start":
                answer = fork(question["role"], question["task"])
                children.add(answer)
            case "signal":
                answer = question["pid"] in children
                if answer:
                    os.kill(question["pid"], question["number"])
            case _:
                answer = sorted(children)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Import everything once, and serve."""
    from tests.chaos import reading, writing  # noqa: PLC0415  # Reason: only the process that forks needs them

    ROLES.update(reading=reading.main, writing=writing.main)
    serve()


if __name__ == "__main__":
    main()
