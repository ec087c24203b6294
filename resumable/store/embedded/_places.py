"""
Where the embedded store keeps its files: one private directory a user, and a socket whose path is short enough.

    <home>/store/start.lock     held while somebody starts or stops the server
    <home>/store/users.lock     shared by every user; the last one can take it alone
    <home>/store/server.lock    held by the server process itself, as long as it lives
    <home>/store/socket         text: where the socket is
    <home>/store/server.{sock,pid,log}, and the server's own data
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from resumable._core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: [bytes] What fits into `sun_path` beside its final zero.
SOCKET_LIMIT = 103 if sys.platform == "darwin" else 107

HOME_VARIABLE = "RESUMABLE_HOME"
_ELSEWHERE = f"set {HOME_VARIABLE} to a directory of your own on a local disk"


@dataclass(frozen=True, slots=True)
class Place:
    """
    The files of one embedded store.

    Attributes:
        directory: Everything but the socket, where its path would be too long.
    """

    directory: Path

    def file(self, name: str) -> Path:
        """Name one of the files."""
        return self.directory / name

    @property
    def has_parts(self) -> bool:
        """Whether a server of version 7 or newer wrote here; an older one would not see it and begin empty."""
        return self.file("appendonlydir").is_dir()

    @property
    def pid(self) -> str:
        """The server's process ID as it wrote it, for a person to read."""
        try:
            return self.file("server.pid").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return "unknown"

    @property
    def socket(self) -> Path | None:
        """Where the server that was started last listens; `None` before the first, and in a copy of another place."""
        try:
            path = Path(os.fsdecode(self.file("socket").read_bytes()))
        except OSError:
            return None
        return path if path == self.file("server.sock") or path.name == _short_name(self.directory) else None

    def choose_socket(self, environ: Mapping[str, str]) -> Path:
        """Choose where the server is to listen, and leave word of it for others."""
        path = self.file("server.sock")
        if len(os.fsencode(path)) > SOCKET_LIMIT:
            path = _short(self.directory, environ)
        # Written whole or not at all: others read it without a lock.
        draft = self.file("socket.new")
        draft.write_bytes(os.fsencode(path))
        draft.replace(self.file("socket"))
        return path


def url_of(socket: Path) -> str:
    """Write the URL of a unix socket."""
    return f"unix://{quote(os.fsencode(socket))}"


def make_place(home: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Place:
    """
    Find the directory of the embedded store, and make it if it is missing.

    Raises:
        ConfigurationError: It cannot be made, or it is not the user's alone.
    """
    chosen = Path(home) if home is not None else default_home(environ)
    try:
        directory = chosen.expanduser().resolve() / "store"
    except RuntimeError as error:
        raise _refused(problem="this user has no home directory to keep sessions in") from error
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(directory)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise _refused(problem=f"{directory} is not writable")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise _refused(problem=f"cannot keep sessions in {directory}: {why}") from error
    return Place(directory)


def default_home(environ: Mapping[str, str]) -> Path:
    """Say where a user's sessions are kept unless an argument says otherwise; a relative path counts as none (XDG)."""
    if environ.get(HOME_VARIABLE):
        return Path(environ[HOME_VARIABLE])
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/resumable")
    return (_absolute(environ, "XDG_DATA_HOME") or Path("~/.local/share")) / "resumable"


def _absolute(environ: Mapping[str, str], name: str) -> Path | None:
    path = Path(environ.get(name, ""))
    return path if path.is_absolute() else None


def _make_private(directory: Path) -> None:
    """Refuse another user's directory, or one that is a link to somewhere; take everybody else's rights away."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise _refused(problem=f"{directory} is not a directory of this user's")
    if stat.S_IMODE(found.st_mode) & 0o077:
        directory.chmod(0o700)


def _short(directory: Path, environ: Mapping[str, str]) -> Path:
    name = _short_name(directory)
    runtime = _absolute(environ, "XDG_RUNTIME_DIR")
    # /tmp by name and not TMPDIR: another process's may differ, or be long itself.
    root = Path(f"/tmp/resumable-{os.getuid()}")  # noqa: S108  # Reason: made private, refused if another's
    if runtime is not None and len(os.fsencode(runtime / "resumable" / name)) <= SOCKET_LIMIT:
        root = runtime / "resumable"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_private(root)
    return root / name


def _short_name(directory: Path) -> str:
    return hashlib.sha256(os.fsencode(directory)).hexdigest()[:16] + ".sock"


def _refused(problem: str) -> ConfigurationError:
    return ConfigurationError("store", problem, _ELSEWHERE)
