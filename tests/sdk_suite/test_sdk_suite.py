"""What the SDK's own tests say of a client with our middleware: the record, its page and, as a campaign, a new run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sdk_suite.exceptions import EXCEPTIONS, listed
from tests.sdk_suite.page import PAGE, page, recorded
from tests.sdk_suite.runner import FILES, ROOT, Outcome, compare, pinned, read_results, run, unexpected

if TYPE_CHECKING:
    from pathlib import Path

REPORT = """\
<testsuites><testsuite>
<testcase classname="t" name="fine"/>
<testcase classname="t" name="left"><skipped/></testcase>
<testcase classname="t" name="wrong[1]"><failure/></testcase>
<testcase classname="t" name="torn"><error/></testcase>
<testcase classname="t" name="torn"/>
</testsuite></testsuites>
"""


def test_record_is_of_the_pinned_version() -> None:
    """The record was made with the version and the files that a run would take now."""
    version, files, _ = recorded()
    assert version == pinned()
    assert files == list(FILES)
    assert f"anthropic=={version} " in (ROOT / ".ci/own-tests.txt").read_text(encoding="utf-8")


def test_record_agrees_with_the_list() -> None:
    """What failed with our middleware alone is listed with a reason, and nothing else is."""
    assert unexpected(recorded()[2]) == []
    assert all(why for tests in EXCEPTIONS.values() for why in tests.values())


def test_page_is_current() -> None:
    """The page is what the list and the record say."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_a_report_is_read_by_its_worst_word() -> None:
    """A test that passes and breaks in its teardown has failed."""
    assert read_results(REPORT) == {
        "t::fine": "passed",
        "t::left": "skipped",
        "t::wrong[1]": "failed",
        "t::torn": "failed",
    }


def test_only_what_a_middleware_brings_is_counted() -> None:
    """A failure that is there anyway is counted apart; a test that vanishes or is skipped with ours has failed."""
    without = {"t::a[1]": "passed", "t::a[2]": "passed", "t::b": "failed", "t::c": "passed", "t::d": "skipped"}
    idle = {**without, "t::a[2]": "failed"}
    ours = {"t::a[1]": "failed", "t::a[2]": "failed", "t::b": "failed", "t::d": "skipped"}
    assert compare(without, idle, ours) == Outcome(0, 1, 1, idle={"t::a": 1}, ours={"t::a": 2, "t::c": 1})


@pytest.mark.parametrize("word", ["passed", "failed", "skipped"])
def test_a_test_that_there_is_only_with_a_middleware_is_a_finding(word: str) -> None:
    """Whatever comes of it: what was to be compared was not there without."""
    without = {"t::a": "passed"}
    assert compare(without, without, {**without, "t::new[1]": word}).ours == {"t::new": 1}


def test_a_skipped_test_that_fails_with_a_middleware_is_a_finding() -> None:
    """What the SDK skips without one must not fail with one."""
    without = {"t::a": "skipped"}
    assert compare(without, without, {"t::a": "failed"}).ours == {"t::a": 1}


def test_a_failure_without_a_reason_and_a_reason_without_a_failure_are_unexpected() -> None:
    """Both directions of the list are held."""
    failed = dict.fromkeys(listed(), 1)
    assert unexpected(Outcome(1, 0, 0, {}, failed)) == []
    assert unexpected(Outcome(1, 0, 0, {}, {**failed, "t::new": 1})) == ["fails and is not listed: t::new"]
    if failed:
        name = failed.popitem()[0]
        assert unexpected(Outcome(1, 0, 0, {}, failed)) == [f"is listed and passes: {name}"]


@pytest.mark.campaign
def test_sdk_tests_pass_with_ours_in_every_client(tmp_path: Path) -> None:
    """The campaign of docs/reference/sdk-tests.md: what fails is what is listed, in as many variants."""
    outcome = run(tmp_path)
    assert unexpected(outcome) == []
    assert outcome.ours == recorded()[2].ours
