"""A server for a benchmark: started on a loopback port in a temporary directory, persistent as a user's would be."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resumable.store.embedded._programs import choose_program

if TYPE_CHECKING:
    from collections.abc import Iterator

START_LIMIT = 20.0  # [s]
NO_START = "the server did not start"


@contextmanager
def server() -> Iterator[tuple[str, int]]:
    """Start a server; give its URL and its process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        argv = [str(choose_program().path), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        argv += ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603  # Reason: ours
        try:
            _await(port, process)
            yield f"redis://127.0.0.1:{port}/0", process.pid
        finally:
            process.terminate()
            process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + START_LIMIT
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(64).startswith(b"+PONG"):
                    return
        except OSError:
            if process.poll() is not None or time.monotonic() > limit:
                raise SystemExit(NO_START) from None
        time.sleep(0.005)


def cpu_of(pid: int) -> float:
    """[s] Read how much CPU another process has used; Linux only, 0 elsewhere."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123  # Reason: not a path of ours
            words = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / 100
