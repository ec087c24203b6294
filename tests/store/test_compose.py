"""The compose file, without Docker: its syntax, what it exposes, and its server's settings on a real server."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.store.servers import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture
def service() -> dict[str, Any]:
    """What the file says about the server."""
    with (ROOT / "docker-compose.yml").open(encoding="utf-8") as file:
        compose = yaml.safe_load(file)
    assert set(compose) == {"services", "volumes"}
    redis: dict[str, Any] = compose["services"]["redis"]
    return redis


def test_reachable_from_here_alone(service):
    """Every port is bound to loopback, data is in a named volume, and the image is pinned to a version."""
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["volumes"] == ["sessions:/data"]
    assert re.fullmatch(r"redis:\d+\.\d+\.\d+-alpine", service["image"])


@pytest.mark.parametrize("start_server", ["redis"], indirect=True)
def test_settings_and_health(service, start_server: Callable[..., Server]):
    """A real server takes the settings, keeps what it acknowledges, evicts nothing, and is found healthy."""
    program, *arguments = service["command"]
    assert program == "redis-server"
    server = start_server(arguments=tuple(arguments))
    with server.client as client:
        settings = client.config_get("*")
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["save"] == ""
    assert settings["maxmemory-policy"] == "noeviction"
    assert int(settings["maxmemory"]) > 0
    kind, check = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    command = check.replace("redis-cli", f"redis-cli -s {server.socket}")
    assert subprocess.run(command, shell=True, check=False).returncode == 0
    server.kill()
    assert subprocess.run(command, shell=True, check=False, stderr=subprocess.DEVNULL).returncode != 0
