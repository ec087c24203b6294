"""What every test shares: the backend of async tests, the profile of generated ones, and the rule for real parts."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from hypothesis import HealthCheck, settings

IN_CI = os.environ.get("CI") == "true"

# No deadline and no too_slow: both read the wall clock, and a busy machine is no bug.
# CI repeats itself, so that a change is judged by what it changed; elsewhere every run explores anew.
settings.register_profile(
    "resumable",
    deadline=None,
    derandomize=IN_CI,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("resumable")

# A shell ignores interrupts for what it starts in the background, and whoever we start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Marks whose tests need a real program; missing, it is a skip on a desk and an error in CI.
PROGRAMS = {"redis": "redis-server"}


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio; a test that must hold on trio too parametrizes this name."""
    return "asyncio"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse to pass over a missing real part in CI."""
    for mark, program in PROGRAMS.items():
        if item.get_closest_marker(mark) and shutil.which(program) is None:
            if IN_CI:
                pytest.fail(f"{program} is not installed, and CI must not skip", pytrace=False)
            pytest.skip(f"{program} is not installed")
