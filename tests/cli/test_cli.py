"""The command line around its commands: help, version, what is wrong with a call, an interrupt."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

import resumable
from resumable.cli import main
from tests.cli.cli_page import PAGE, page
from tests.cli.processes import CLEAN, ENDLESS
from tests.cli.processes import resumable as run

PROBE = """
import json, sys
from resumable.cli import main
main(["demo", "--help"])
print(json.dumps(sorted({"anthropic", "rich"} & set(sys.modules))))
"""


def test_the_page_is_the_programs_own_help():
    """After a change of the command line, write the page anew: python -m tests.cli.cli_page."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_version_is_printed_alone(capsys):
    """`--version` names the program and its version, and nothing else."""
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"resumable {resumable.__version__}\n", "")


def test_without_a_command_the_help_is_shown(capsys):
    """A call without a command shows what there is."""
    main([])
    out, err = capsys.readouterr()
    assert "Stream a long answer" in out + err


@pytest.mark.parametrize(
    ("arguments", "named"), [(["nope"], "nope"), (["demo", "--nope"], "--nope"), (["demo", "--seed", "x"], "--seed")]
)
def test_a_wrong_call_is_two(arguments, named, capsys):
    """What cannot be understood ends with 2, and says what it was on stderr."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert named in err


def test_help_waits_for_nothing():
    """Help comes without importing the SDK or what draws."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, env=CLEAN)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_an_interrupt_is_one_line_and_130():
    """Ctrl-C in the middle of a wait ends the demo with one clean line on stderr."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, "resumable: interrupted\n")


def test_a_reader_who_leaves_is_no_traceback():
    """A pipe that is closed early, as by `head`, ends the demo without a word."""
    process = subprocess.Popen(
        [sys.executable, "-m", "resumable", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=CLEAN,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), err) == (1, "")


def test_the_module_is_the_program():
    """`python -m resumable` says what `resumable` says."""
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"resumable {resumable.__version__}\n")
