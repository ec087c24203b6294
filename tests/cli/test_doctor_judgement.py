"""What the doctor makes of facts that no server here can be brought to tell, and that its page says the same."""

from __future__ import annotations

import re
from typing import Any

import pytest

from resumable._core.store_errors import StoreUnavailableError
from resumable.cli import _doctor_store, _doctor_upstream
from resumable.cli._doctor_findings import Finding, Level, as_json, exit_code, show
from resumable.cli._doctor_store import CLOCK_LIMIT, FULL, PING_LIMIT, WRITE_LIMIT, judge
from resumable.cli._doctor_upstream import examine_upstream
from resumable.store._examine import Examined, Server, Step
from tests.pages import ROOT, names, read, section, tables

PAGE = read("docs/reference/doctor.md")
INFO = {
    "redis_version": "7.2.4",
    "role": "master",
    "used_memory": "10",
    "maxmemory": "100",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
}
CONFIG = {"appendfsync": "always", "appendonly": "yes", "maxmemory-policy": "noeviction"}


def judged(*steps: Step, **changed: Any) -> dict[str, Finding]:
    """Judge one server that is well but for some facts."""
    server = Server("", INFO, CONFIG, (0.001,), 0.0)._replace(**changed)
    return {
        finding.check: finding for finding in judge(Examined([server], steps or (Step("append", 0.001, None, ""),)))
    }


def test_all_is_well():
    """Facts as they should be are all well."""
    assert {finding.level for finding in judged().values()} == {Level.OK}


@pytest.mark.parametrize(
    ("changed", "check", "level"),
    [
        ({"pings": (PING_LIMIT, PING_LIMIT, 9.0)}, "latency", Level.OK),
        ({"pings": (0.0, PING_LIMIT * 1.01, 9.0)}, "latency", Level.WARNING),
        ({"ahead": CLOCK_LIMIT}, "clock", Level.OK),
        ({"ahead": CLOCK_LIMIT + 0.1}, "clock", Level.WARNING),
        ({"ahead": -CLOCK_LIMIT - 0.1}, "clock", Level.WARNING),
        ({"ahead": None}, "clock", Level.NOTE),
        ({"info": INFO | {"redis_version": "6.0.16"}}, "version", Level.FAILURE),
        ({"info": INFO | {"redis_version": "6.2.0"}}, "version", Level.OK),
        ({"info": INFO | {"redis_version": "10.0.1"}}, "version", Level.OK),
        ({"info": INFO | {"redis_version": ""}}, "version", Level.NOTE),
        ({"info": INFO | {"role": "slave"}}, "role", Level.FAILURE),
        ({"info": INFO | {"used_memory": str(round(100 * FULL))}}, "memory", Level.OK),
        ({"info": INFO | {"used_memory": str(round(100 * FULL) + 1)}}, "memory", Level.WARNING),
        ({"info": INFO | {"maxmemory": "0", "total_system_memory": "11"}}, "memory", Level.WARNING),
        ({"info": INFO | {"maxmemory": "0", "total_system_memory": "100"}}, "memory", Level.NOTE),
        ({"info": INFO | {"maxmemory": "0"}}, "memory", Level.NOTE),
        ({"info": INFO | {"aof_last_write_status": "err"}}, "persistence", Level.WARNING),
        ({"info": INFO | {"rdb_last_bgsave_status": "err"}}, "persistence", Level.WARNING),
        ({"info": None}, "eviction", Level.OK),
        ({"info": None}, "persistence", Level.OK),
        ({"info": None, "config": {}}, "eviction", Level.NOTE),
        ({"info": None, "config": {}}, "persistence", Level.NOTE),
        ({"info": None, "config": {"appendonly": "no"}}, "persistence", Level.WARNING),
        ({"info": None, "config": {"appendonly": "no"}}, "fsync", Level.NOTE),
        ({"config": {}}, "fsync", Level.NOTE),
        ({"config": CONFIG | {"appendfsync": "no"}}, "fsync", Level.WARNING),
        ({"lost": StoreUnavailableError("new", "NewError")}, "reach", Level.FAILURE),
    ],
)
def test_facts(changed, check, level):
    """Each fact has its level, up to its limit; what is not well says what to change."""
    found = judged(**changed)[check]
    assert found.level is level
    assert found.change or level < Level.WARNING


def test_operations():
    """Writes are judged by their median; what fails is told once for a reason, under the check it belongs to."""
    slow, quick = (Step("append", seconds, None, "") for seconds in (WRITE_LIMIT * 1.01, 0.0))
    assert judged(slow, slow, quick)["writing"].level is Level.WARNING
    assert judged(slow, quick, quick)["writing"].level is Level.OK
    lost = StoreUnavailableError
    for reason, check in {"memory": "memory", "disk": "persistence", "readonly": "role", "timeout": "scripts"}.items():
        steps = [Step(name, 0.0, lost(reason, "Cause"), "") for name in ("acquire", "append", "append")]
        found = judged(*steps)
        assert (found[check].level, found[check].why) == (Level.FAILURE, "failing: acquire, append")
        assert ("scripts" in found) is (check == "scripts")
        assert found["writing"].level is Level.NOTE
    found = judged(Step("get", 0.0, lost("permission", "NoPermissionError"), "?"), quick)
    assert found["rights"].level is Level.FAILURE
    assert "?" not in found["rights"].change


def test_codes_and_ends(capsys):
    """The worst level decides; the last line for people says the same."""
    well, note, bad, worst = (Finding("check", level, "so") for level in Level)
    for findings, code, end in [
        ([], 0, "Nothing needs to be changed."),
        ([well, note], 0, "Nothing needs to be changed."),
        ([well, bad, note], 1, "It works; 1 should be changed."),
        ([worst, bad], 2, "It cannot work like this; 2 must or should be changed."),
    ]:
        assert exit_code(findings) == as_json(findings)["exit_code"] == code
        show(findings, as_object=False)
        assert capsys.readouterr().out.splitlines()[-1] == end
    show([bad._replace(server="host:1", why="w", change="c")], as_object=False)
    assert capsys.readouterr().out.startswith(f"warning  check        host:1: so\n{' ' * 22}w\n{' ' * 22}-> c\n")


def test_the_page_has_every_check():
    """The tables have the checks there are, no more and no less, and the limits that apply."""
    told = [
        name
        for heading in ("## The store", "## The way to the API")
        for row in tables(section(PAGE, heading))[0][1:]
        for name in names(row[0])
    ]
    sources = [ROOT / f"resumable/cli/{name}.py" for name in ("_doctor_store", "_doctor_upstream")]
    made = re.findall(r'(?:Finding|_untold)\(\s*"(\w+)"', "".join(path.read_text() for path in sources))
    assert set(told) == {*made, *_doctor_store._CHECK_OF.values()}
    assert len(told) == len(set(told))
    for limit in (f"{PING_LIMIT * 1000:g} ms", f"{WRITE_LIMIT * 1000:g} ms", f"{CLOCK_LIMIT:g} s", f"{FULL:.0%}"):
        assert limit.replace("%", " %") in PAGE
    assert [names(row[0])[0] for row in tables(section(PAGE, "## Levels"))[0][1:]] == [level.word for level in Level]


def test_the_page_has_every_field():
    """The tables of the JSON have its fields, in order."""
    written = as_json([Finding("check", Level.OK, "so")])
    whole, each = tables(section(PAGE, "## `--json`"))
    assert [names(row[0])[0] for row in whole[1:]] == list(written)
    assert [names(row[0])[0] for row in each[1:]] == list(written["findings"][0])


def test_a_limited_probe():
    """A rate limit is no refusal of the key."""
    assert _doctor_upstream._answered(429).level is Level.WARNING
    found = {one.check: one for one in examine_upstream("nowhere", {"ANTHROPIC_API_KEY": "k"}, probe=True)}
    assert found["probe"].found.startswith("not sent")
