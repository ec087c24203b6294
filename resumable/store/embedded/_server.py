"""
The embedded store: a real server of the user's own, started by whoever comes first and stopped by whoever goes last.

Nobody watches it, so what is true is read from locks that the kernel takes back when a process dies, however it dies:
the server holds one, every user shares another, and whoever starts or stops the server holds a third meanwhile.
So there is never a second server on the same files, and never one stopped under a user's feet. A user that is
killed leaves the server running; the next one to leave stops it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import weakref
from contextlib import contextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING

from resumable._core.errors import ConfigurationError

from ._places import HOME_VARIABLE, Place, make_place, url_of
from ._programs import OLDEST, Program, choose_program

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from typing import Self

#: [s] For the server to be there, its data loaded; an empty one takes 3-40 ms.
DEFAULT_WAIT = 30.0

_STOP_WAIT = 5.0  # [s] for a server to end, and for its lock, when the last user leaves
_ASK_WAIT = 1.0  # [s] for one answer
_PAUSE = 0.005  # [s] between two looks at what another process is doing
_STARTS = 3  # times; a server that refuses its data or settings ends at once, so this costs little
_SEVEN = (7, 0)


class EmbeddedServer:
    """
    One use of the embedded server; made by `open_embedded`, ended by `close`, safe to share between threads.

    Not closed, it is left when it is collected or the process exits. A forked child has a use of its own.

    Attributes:
        url: What to connect to.
        directory: Where the data is.
    """

    def __init__(self, place: Place, socket: Path, users: int, wait: float) -> None:
        self.url = url_of(socket)
        self.directory = place.directory
        self._place = place
        self._wait = wait
        self._leave = weakref.finalize(self, _leave, place, users)

    def ensure(self) -> None:
        """
        Start the server again if it has died; its data and its URL are the same.

        Raises:
            ConfigurationError: It cannot be started, or does not answer.
        """
        listening = self._place.socket
        if listening is None or _ask(listening) is not _State.READY:
            limit = time.monotonic() + self._wait
            with _locked(self._place, limit):
                _ensure(self._place, limit)

    def close(self) -> None:
        """Leave it; the last user stops the server. Safe to call twice."""
        self._leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedServer(url={self.url!r})"


def open_embedded(home: str | os.PathLike[str] | None = None, *, wait: float = DEFAULT_WAIT) -> EmbeddedServer:
    """
    Start the user's embedded server, or attach to the one that runs; blocks until it answers.

    Any number of processes may call this at the same time. What was acknowledged outlives kill -9 of any of
    them and of the server.

    Args:
        home: Directory to keep it in; by default `RESUMABLE_HOME`, else the platform's place for a user's data.
        wait: [s] For the server to be there.

    Raises:
        ConfigurationError: There is no server program here, or it does not start; the error says what to do.
    """
    if sys.platform == "win32":
        choose_program()  # raises, and says what else there is
    place = make_place(home, os.environ)
    limit = time.monotonic() + wait
    with _locked(place, limit):
        # Before the server is looked for: whoever leaves last looks at this lock before it stops the server.
        users = _open(place, "users.lock")
        try:
            # Invariant: only who holds the start lock takes this one alone.
            is_shared = _flock(users, exclusive=False)
            assert is_shared
            listening = _ensure(place, limit)
        except BaseException:
            os.close(users)
            raise
    return EmbeddedServer(place, listening, users, wait)


class _State(Enum):
    """What a server says when it is asked."""

    READY = "ready"
    LOADING = "loading"
    SILENT = "silent"


def _ensure(place: Place, limit: float) -> Path:
    """See that the server runs; the start lock is held."""
    starts = 0
    while True:
        listening = place.socket
        if listening is not None and _ask(listening) is _State.READY:
            return listening
        started = _start_if_none(place)
        if started is not None:
            starts += 1
            # Killed while it loads, it is started again; what keeps it from starting is still there the next time.
            if _is_ready_soon(*started, place, limit, is_last=starts == _STARTS):
                return started[1]
        # A server lives and is not ready: loading, ending, stopped, or its socket was taken away.
        elif time.monotonic() > limit:
            problem = f"the embedded server (process {place.pid}, {listening}) runs and does not answer"
            remedy = f"stop that process, or set {HOME_VARIABLE} to another directory"
            raise ConfigurationError(argument="store", problem=problem, remedy=remedy)
        else:
            time.sleep(_PAUSE)


def _start_if_none(place: Place) -> tuple[Program, Path] | None:
    lifeline = _open(place, "server.lock")
    try:
        if not _flock(lifeline, exclusive=True):
            return None
        listening = place.choose_socket(os.environ)
        program = choose_program(_SEVEN if place.has_parts else OLDEST)
        _start(program, place, listening, lifeline)
        return program, listening
    finally:
        os.close(lifeline)


def _start(program: Program, place: Place, listening: Path, lifeline: int) -> None:
    """Start the server as a daemon of its own; it inherits the lock of *lifeline* and nothing else."""
    argv = [
        *(str(program.path), "--port", "0", "--daemonize", "yes", "--databases", "1"),
        *("--unixsocket", str(listening), "--unixsocketperm", "700"),
        *("--dir", str(place.directory), "--pidfile", str(place.file("server.pid"))),
        *("--logfile", str(place.file("server.log"))),
        # everysec loses acknowledged writes on a mere kill -9 while the disk is busy.
        *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"),
        # Commands, not a snapshot: Redis cannot read Valkey's, and which of them is found here can change.
        *("--aof-use-rdb-preamble", "no"),
    ]
    # No environment: a key in it is none of the server's business, and a locale that is missing would stop it.
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603  # Reason: a server program the user installed, without a shell
            argv,
            cwd=place.directory,
            env=environ,
            pass_fds=(lifeline,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEFAULT_WAIT,
            umask=0o077,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_started(program, place, type(error).__name__) from error
    if done.returncode:
        raise _not_started(program, place, done.stdout.decode(errors="replace"))


def _is_ready_soon(program: Program, listening: Path, place: Place, limit: float, *, is_last: bool) -> bool:
    """Wait for the server that was just started; say no when it has died and may be started again."""
    while _ask(listening) is not _State.READY:
        if _is_free(place, "server.lock"):
            if is_last:
                raise _not_started(program, place, _tail(place))
            return False
        if time.monotonic() > limit:
            problem = f"the embedded server (process {place.pid}) is still loading its data"
            raise ConfigurationError(argument="store", problem=problem, remedy="try again later")
        time.sleep(_PAUSE)
    return True


def _leave(place: Place, users: int) -> None:
    """Give up one use; whoever finds that nobody else has one stops the server."""
    try:
        with _locked(place, time.monotonic() + _STOP_WAIT):
            os.close(users)
            users = -1
            if _is_free(place, "users.lock"):
                _stop(place)
    except (OSError, ConfigurationError):
        pass  # the directory is gone, or others are at it: the server is theirs now
    finally:
        if users >= 0:
            os.close(users)


def _stop(place: Place) -> None:
    listening = place.socket
    if listening is None:
        return
    limit = time.monotonic() + _STOP_WAIT
    with suppress(OSError):
        # No answer but the end of the connection; an error here means that it is busy, and the next one stops it.
        _tell(listening, b"SHUTDOWN NOSAVE\r\n")
        while not _is_free(place, "server.lock") and time.monotonic() < limit:
            time.sleep(_PAUSE)


def _ask(listening: Path) -> _State:
    try:
        answer = _tell(listening, b"PING\r\n")
    except OSError:
        return _State.SILENT
    if answer.startswith(b"+PONG"):
        return _State.READY
    return _State.LOADING if answer.startswith(b"-LOADING") else _State.SILENT


def _tell(listening: Path, command: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ASK_WAIT)
        connection.connect(str(listening))
        connection.sendall(command)
        return connection.recv(4096)


@contextmanager
def _locked(place: Place, limit: float) -> Generator[None]:
    """Hold the right to start and stop the server."""
    descriptor = _open(place, "start.lock")
    try:
        while not _flock(descriptor, exclusive=True):
            if time.monotonic() > limit:
                problem = f"other processes have been starting the embedded server in {place.directory} all the time"
                remedy = f"see {place.file('server.log')}, and try again"
                raise ConfigurationError(argument="store", problem=problem, remedy=remedy)
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _open(place: Place, name: str) -> int:
    return os.open(place.file(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _flock(descriptor: int, *, exclusive: bool) -> bool:
    """Take a lock if it can be had now; it belongs to the open file, and so to every process that inherits it."""
    import fcntl  # noqa: PLC0415  # Reason: Windows has none, and gets a sentence instead

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(place: Place, name: str) -> bool:
    descriptor = _open(place, name)
    try:
        return _flock(descriptor, exclusive=True)
    finally:
        os.close(descriptor)


def _tail(place: Place) -> str:
    try:
        return place.file("server.log").read_bytes()[-4096:].decode(errors="replace")
    except OSError:
        return ""


def _not_started(program: Program, place: Place, said: str) -> ConfigurationError:
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    remedy = f"see {place.file('server.log')}, or set {HOME_VARIABLE} to another directory"
    return ConfigurationError(argument="store", problem=f"{program} does not start: {last}", remedy=remedy)
