"""The public surface, held as a list: changing it must be meant."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

import resumable
from resumable.__main__ import main

ROOT = Path(__file__).parents[1]

PUBLIC = (
    "AsyncSessions",
    "Attempt",
    "AttemptError",
    "ConfigurationError",
    "ConnectError",
    "CursorError",
    "DivergedError",
    "Exhausted",
    "FencedError",
    "LeaseHeldError",
    "LocalProtocolError",
    "LogLostError",
    "LogRewoundError",
    "NotContinuableError",
    "Notice",
    "Obstacle",
    "RecoveryError",
    "RemoteProtocolError",
    "Report",
    "Resumable",
    "ResumableError",
    "RetriesExhaustedError",
    "RetryPolicy",
    "SealedError",
    "Seam",
    "SeamError",
    "SeamMissedError",
    "SeqExpiredError",
    "SessionConflictError",
    "SessionEndedError",
    "SessionForbiddenError",
    "SessionNotFoundError",
    "SessionSchemaError",
    "Sessions",
    "StoreError",
    "StoreUnavailableError",
    "StreamInterruptedError",
    "StreamStalledError",
    "UpstreamEventError",
    "UpstreamStatusError",
    "report",
    "session",
    "wrap",
)

HEAVY = ("anthropic", "asyncio", "httpx", "httpx2", "msgspec", "redis", "starlette", "tenacity", "typer")

PROBE = """
import json, sys
before = set(sys.modules)
import resumable
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_surface_is_the_list():
    """The package exports exactly the names listed here, sorted, and no more than thirty beside the errors."""
    assert resumable.__all__ == PUBLIC
    assert tuple(sorted(PUBLIC)) == PUBLIC
    assert len([name for name in PUBLIC if not name.endswith("Error")]) <= 30


@pytest.mark.parametrize("name", PUBLIC)
def test_name_resolves(name):
    """Every public name leads to an object of that name, which is kept once fetched."""
    value = getattr(resumable, name)
    assert value.__name__ == name
    assert vars(resumable)[name] is value


def test_listing_needs_no_fetch():
    """`dir()` shows every public name before any of them was used."""
    assert {*PUBLIC, "__version__"} <= set(dir(resumable))


def test_version_is_the_distribution_s():
    """`__version__` is what the installed distribution says."""
    assert resumable.__version__ == importlib.metadata.version("resumable-anthropic")


def test_unknown_name_is_an_attribute_error():
    """A misspelt name fails as it does on any module, so that `hasattr` and `getattr` defaults work."""
    with pytest.raises(AttributeError, match="has no attribute 'rap'"):
        _ = resumable.rap  # type: ignore[attr-defined]  # Reason: and the type checkers see it too
    assert not hasattr(resumable, "rap")


def test_importing_is_light():
    """`import resumable` loads no third-party package and no event loop."""
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert "resumable" in loaded
    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []
    assert [name for name in loaded if name.startswith("resumable.")] == []


def test_missing_extra_is_one_sentence(monkeypatch, capsys):
    """Without typer the command says what to install, on stderr, and fails."""
    for name in [name for name in sys.modules if name.startswith("resumable.cli")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    assert main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "resumable: the command line is an extra: pip install 'resumable-anthropic[cli]'\n"


def test_broken_installation_is_not_a_missing_extra(monkeypatch):
    """A module that is missing for any other reason is shown as it is."""
    monkeypatch.setitem(sys.modules, "resumable.cli", None)
    with pytest.raises(ModuleNotFoundError, match=r"resumable\.cli"):
        main()
