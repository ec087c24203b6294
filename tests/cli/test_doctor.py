"""The doctor at real servers with settings that are bad, without servers, and at upstreams that refuse."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from resumable.cli import main
from resumable.store import MemoryStore
from resumable.store._examine import _steps, examine
from resumable.store._url import parse_url
from resumable.testing import ScriptedUpstream
from tests.cli.processes import resumable as run
from tests.store.clusters import cluster, shared_cluster
from tests.store.servers import server, shared_server, start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["cluster", "server", "shared_cluster", "shared_server", "start_server"]

KEY = "sk-ant-not-to-be-shown"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """Nothing of the machine's own; a key, so that only what a test is about is found."""
    for name in ("RESUMABLE_URL", "REDIS_URL", "RESUMABLE_KEYS", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    for limit in ("PING_LIMIT", "WRITE_LIMIT"):  # How slow the machine is that tests run on is no setting of a server.
        monkeypatch.setattr(f"resumable.cli._doctor_store.{limit}", 60.0)


@pytest.fixture
def doctor(capsys) -> Callable[..., dict[str, Any]]:
    """Call the doctor, and give what it found by check; its exit code is among it."""

    def call(*arguments: str) -> dict[str, Any]:
        code = main(["doctor", "--json", *arguments])
        out, err = capsys.readouterr()
        assert err == ""
        assert KEY not in out
        told = json.loads(out)
        assert told["exit_code"] == code
        found: dict[str, Any] = {"code": code}
        for finding in told["findings"]:
            assert finding["level"] in {"ok", "note"} or (finding["why"] or finding["change"])
            found.setdefault(finding["check"], finding)
        return found

    return call


def levels(found: dict[str, Any], *but: str) -> dict[str, str]:
    """The level of each check."""
    return {name: one["level"] for name, one in found.items() if name not in {"code", *but}}


def test_a_good_server_is_fine(start_server, doctor):
    """With settings as the documents want them nothing needs to be changed, and nothing is left behind."""
    server = start_server(appendfsync="always", arguments=("--maxmemory", "500mb"))
    found = doctor("--store", server.url)
    assert found["code"] == 0
    assert set(levels(found, "encryption").values()) == {"ok"}
    assert found["version"]["found"].startswith(("Valkey ", "Redis "))
    with server.client as client:
        assert not [key for key in client.keys("*") if b"doctor" in key]
        assert client.zcard("resumable:active") == client.zcard("resumable:index") == 0


@pytest.mark.parametrize(
    ("settings", "check", "level", "change"),
    [
        ({"appendonly": False}, "persistence", "warning", "appendonly yes"),
        ({"appendfsync": "everysec"}, "fsync", "note", "always"),
        ({"appendfsync": "no"}, "fsync", "warning", "everysec"),
        ({"arguments": ("--maxmemory-policy", "allkeys-lru")}, "eviction", "warning", "noeviction"),
        ({"arguments": ("--maxmemory", "3mb")}, "memory", "ok", None),
    ],
)
def test_bad_settings_are_found(start_server, doctor, settings, check, level, change):
    """Each setting that can cost sessions is found, with what to set instead; it works all the same."""
    found = doctor("--store", start_server(**settings).url)
    assert (found[check]["level"], found["code"]) == (level, 1 if level == "warning" else 0)
    assert change is None or change in found[check]["change"]


def test_memory_that_is_nearly_full(start_server, doctor):
    """A server that nears its limit is warned about; one that refuses writes cannot work."""
    server = start_server()
    with server.client as client:
        for number in range(200):  # Small ones: what a large one travels in stays allocated for a while.
            client.set(f"ballast {number}", bytes(100_000))
        told = client.info("memory")
        client.config_set("maxmemory", int((told["used_memory"] - told["mem_not_counted_for_evict"]) * 1.15))
        found = doctor("--store", server.url)
        assert (found["memory"]["level"], found["code"]) == ("warning", 1)
        client.config_set("maxmemory", 1)
        assert main(["doctor", "--store", server.url]) == 2


def test_writes_refused_for_lack_of_memory(start_server, doctor, capsys):
    """The failure says that memory is full, and which operations fail of it."""
    server = start_server()
    with server.client as client:
        client.config_set("maxmemory", 1)
    main(["doctor", "--store", server.url])
    out = capsys.readouterr().out
    assert "failure  memory" in out
    assert "failing: acquire" in out
    assert "raise maxmemory" in out
    assert out.endswith("must or should be changed.\n")
    del doctor


def test_a_replica_cannot_work(start_server, doctor):
    """A replica is told as what it is."""
    first, second = start_server(tcp=True), start_server(tcp=True)
    with second.client as client:
        client.replicaof("127.0.0.1", first.port)
        found = doctor("--store", second.url)
    assert (found["role"]["level"], found["code"]) == ("failure", 2)
    assert "primary" in found["role"]["change"]


def test_missing_rights_are_named(server, doctor):
    """Each right that is missing is named, with the words that grant it; INFO and CONFIG may be refused."""
    with server.client as client:
        client.acl_setuser(
            "few", enabled=True, passwords=["+p"], keys=["resumable:*"], commands=["+@all", "-config", "-info", "-acl"]
        )
        url = server.tcp_url.replace("//", "//few:p@")
        found = doctor("--store", url)
        assert found["code"] == 0
        assert {name for name, level in levels(found).items() if level == "note"} >= {
            "version",
            "role",
            "memory",
            "eviction",
            "persistence",
            "fsync",
        }
        client.acl_setuser("few", enabled=True, commands=["-xadd", "-unlink"])
        found = doctor("--store", url)
        assert (found["rights"]["level"], found["code"]) == ("failure", 2)
        assert "+unlink +xadd" in found["rights"]["change"]
        client.acl_setuser("few", enabled=True, commands=["+@all"], reset_keys=True, keys=["other:*"])
        assert "~resumable:*" in doctor("--store", url)["rights"]["change"]
        client.acl_deluser("few")


def test_scripts_that_are_forbidden(start_server, doctor):
    """A service that knows no EVALSHA cannot hold sessions."""
    name = "EVALSHA"
    server = start_server(arguments=("--rename-command", name, ""))
    found = doctor("--store", server.url)
    assert (found["scripts"]["level"], found["code"]) == ("failure", 2)
    assert name in found["scripts"]["change"]


@pytest.mark.parametrize(
    ("url", "check", "word"),
    [
        ("redis://127.0.0.1:1/0", "reach", "connection"),
        ("valkey://h", "address", "redis://"),
        ("redis+cluster://127.0.0.1:1", "reach", "connection"),
        ("redis://127.0.0.1:1/0?socket_timeout=5", "reach", "leave it out"),
    ],
)
def test_no_store_is_two(doctor, url, check, word):
    """A store that cannot be reached, or whose URL cannot be one, is a failure that says what to do."""
    found = doctor("--store", url)
    assert (found[check]["level"], found["code"]) == ("failure", 2)
    assert word in found[check]["found"] + found[check]["change"]
    assert "rights" not in found


def test_without_the_client_library(doctor, monkeypatch):
    """Where redis-py is missing the doctor says how to install it."""
    monkeypatch.setitem(sys.modules, "resumable.store._examine", None)
    found = doctor("--store", "redis://127.0.0.1")
    assert (found["reach"]["level"], found["code"]) == ("failure", 2)
    assert "pip install" in found["reach"]["change"]


def test_a_wrong_password_is_not_shown(start_server, doctor, capsys):
    """A password that is refused is told as that, and not quoted."""
    server = start_server(tcp=True)
    with server.client as client:
        client.config_set("requirepass", "right")
    url = server.tcp_url.replace("//", "//:wrong-one@")
    found = doctor("--store", url)
    assert (found["reach"]["found"].split()[0], found["code"]) == ("auth", 2)
    assert "wrong-one" not in json.dumps(found)
    main(["doctor", "--store", url])
    assert "wrong-one" not in capsys.readouterr().out


def test_each_server_of_a_cluster(cluster, doctor, capsys):
    """Each primary of a Cluster is examined by itself, and named."""
    doctor("--store", cluster.url)
    main(["doctor", "--json", "--store", cluster.url])
    told = json.loads(capsys.readouterr().out)["findings"]
    assert len({one["server"] for one in told if one["check"] == "eviction"} - {None}) == 3
    assert [one["level"] for one in told if one["check"] in {"rights", "scripts"}] == ["ok", "ok"]


def test_stores_without_a_server(doctor, monkeypatch):
    """Memory is said to be memory; the variable is named where it decides, and keys are counted, never shown."""
    monkeypatch.setenv("RESUMABLE_URL", "memory://")
    found = doctor()
    assert (found["address"]["level"], found["code"]) == ("note", 0)
    assert "RESUMABLE_URL" in found["address"]["found"]
    assert found["encryption"]["level"] == "note"
    monkeypatch.setenv("RESUMABLE_KEYS", "k:" + "A" * 43)
    assert doctor()["encryption"]["found"] == "1 keys, k for new sessions"
    monkeypatch.setenv("RESUMABLE_KEYS", "AAAA-secret")
    found = doctor()
    assert (found["encryption"]["level"], found["code"]) == ("failure", 2)
    assert "AAAA" not in json.dumps(found)


def test_the_embedded_server(doctor, tmp_path, monkeypatch):
    """Where nothing is named the embedded server is started, examined and left."""
    monkeypatch.setenv("RESUMABLE_HOME", str(tmp_path))
    found = doctor()
    assert (found["code"], found["fsync"]["found"]) == (0, "always")


def test_every_operation_is_tried():
    """No operation of a store is left out, and none of them is refused where all is well."""
    tried = list(_steps(MemoryStore()))
    assert {step.name for step in tried} == {name for name in dir(MemoryStore) if not name.startswith("_")} - {"close"}
    assert [step for step in tried if step.refused] == []


def test_a_right_that_cannot_be_read(server):
    """Every step has its own refusal, and a write that failed is not timed."""
    with server.client as client:
        client.acl_setuser("few", enabled=True, passwords=["+p"], keys=["resumable:*"], commands=["+@all", "-evalsha"])
        found = examine(parse_url(server.tcp_url.replace("//", "//few:p@"), "store"))
        client.acl_deluser("few")
    assert {step.denied for step in found.steps if step.refused} == {"evalsha"}
    assert found.write_time is None


@pytest.mark.parametrize(
    ("url", "level", "code"),
    [
        ("https://gateway.example", "ok", 0),
        ("http://127.0.0.1:8080", "ok", 0),
        ("http://gateway.example", "warning", 1),
        ("https://gateway.example/v1/", "warning", 1),
        ("https://me:hidden@gateway.example", "warning", 1),
        ("gateway.example", "failure", 2),
        ("https://[", "failure", 2),
        (" https://gateway.example", "failure", 2),
    ],
)
def test_base_urls(doctor, monkeypatch, url, level, code):
    """What cannot be an address, or gives the key away, is found; by option or by variable."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
    for found in (doctor("--store", "memory://"), doctor("--store", "memory://", "--base-url", url)):
        assert (found["base_url"]["level"], found["code"]) == (level, code)
        assert "hidden" not in json.dumps(found)


def test_keys_of_the_api(doctor, monkeypatch, tmp_path):
    """A key that is missing, or was copied with its quotes, is found; two of them are noted; a proxy is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    assert doctor("--store", "memory://")["key"]["level"] == "ok"
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "t")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    found = doctor("--store", "memory://")
    assert (found["key"]["level"], found["proxy"]["level"], found["code"]) == ("note", "note", 0)
    monkeypatch.setenv("ANTHROPIC_API_KEY", f'"{KEY}"')
    assert doctor("--store", "memory://", "--probe")["probe"]["found"] == "not sent: see above"
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name)
    found = doctor("--store", "memory://")
    assert (found["key"]["level"], found["code"]) == ("warning", 1)


def test_nothing_is_sent_unless_asked_to(doctor):
    """Without `--probe` the API hears nothing; with it, one question without a word of content."""
    with ScriptedUpstream() as upstream:
        assert "probe" not in doctor("--store", "memory://", "--base-url", upstream.url)
        assert len(upstream.log) == 0
        doctor("--store", "memory://", "--base-url", upstream.url, "--probe")
        [asked] = upstream.log
        assert (asked.method, asked.path.partition("?")[0]) == ("GET", "/v1/models")


@contextmanager
def answering(status: int, kind: str, body: bytes) -> Iterator[str]:
    """Serve one answer to whatever is asked."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_a_probe_that_meets_something_else(doctor):
    """A page where the API should be is a failure, and not quoted."""
    with answering(200, "text/html", b"<html>secret page") as url:
        found = doctor("--store", "memory://", "--base-url", url, "--probe")
    assert (found["probe"]["level"], found["code"]) == ("failure", 2)
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize("status", [(401, "failure", 2), (403, "failure", 2), (404, "note", 0), (529, "warning", 1)])
def test_what_a_probe_is_answered(doctor, status, monkeypatch):
    """A refused key is a failure, a busy upstream a warning, and a path that is not there no reason to worry."""
    number, level, code = status
    with answering(number, "application/json", b'{"type": "error"}') as url:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
        found = doctor("--store", "memory://", "--probe")
    assert (found["probe"]["level"], found["code"]) == (level, code)


def test_a_probe_that_finds_nobody(doctor):
    """No connection is a failure."""
    found = doctor("--store", "memory://", "--base-url", "http://127.0.0.1:1", "--probe")
    assert (found["probe"]["level"], found["code"]) == ("failure", 2)


def test_it_is_a_program(start_server):
    """From a shell it prints a line a check, with what to change under it, and ends with the code."""
    url = start_server(appendonly=False).url
    done = run("doctor", "--store", url, ANTHROPIC_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (1, "")
    assert "ok       reach        it answers\n" in done.stdout
    assert "warning  persistence  no append-only file\n" in done.stdout
    assert "-> CONFIG SET appendonly yes, and in its configuration\n" in done.stdout
    assert "\nIt works; " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
