"""The demo: what it prints to a pipe, to a program and on a terminal, and what its exit code says."""

from __future__ import annotations

import io
import json
import re
import sys
from functools import cache
from typing import Any

import pytest
from rich.console import Console

from resumable.cli import _takeover
from resumable.cli._demo import watch
from resumable.cli._machine import Machine
from resumable.cli._outcome import FailedAttempt, Heard, Outcome
from resumable.cli._passage import pass_through
from resumable.cli._plain import Plain, marked
from resumable.cli._screen import Screen
from resumable.cli._storm import ANSWER, Storm, Strike, brew
from resumable.cli._view import View
from resumable.cli._wording import span, verdict, verdict_of
from resumable.testing import Drop, NoMessageStop, Opening, Refuse, Reject
from tests.cli.cli_page import FIELDS
from tests.cli.processes import BRIEF, on_a_terminal, resumable

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
NAMES = [strike.name for strike in brew(1).strikes]

RESET = Strike("reset", "connection reset", Drop(after=30))
EOF = Strike("clean_eof", "body ends", Drop(after=30, how="eof"))
FORBIDDEN = Strike("forbidden", "401", Reject(401))

terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


take_over = cache(_takeover.take_over)


@pytest.fixture(autouse=True)
def _one_second_act(monkeypatch):
    """Play the second act once for all who watch the first in this process: it takes two more."""
    monkeypatch.setattr(_takeover, "take_over", lambda _: take_over())


def other_words(interrupted):
    """Go on where it stopped, in words that are not those of the answer."""
    return Opening(interrupted.anchor + " and something else;")


class Silent(View):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.text = ""
        self.told: list[tuple[str, int]] = []

    def see_text(self, delta):
        """Keep the text."""
        self.text += delta

    def see_failure(self, failed):
        """Keep the number."""
        self.told.append(("failed", failed.number))

    def see_return(self, back):
        """Keep the numbers."""
        self.told += [("back", failed.number) for failed in back]


def test_piped_output_is_plain_and_whole():
    """A pipe gets plain text, also in ASCII and where colours are forced: each fault, the answer, the verdict."""
    done = resumable(
        "demo",
        PYTHONIOENCODING="ascii",
        FORCE_COLOR="1",
        HTTP_PROXY="http://127.0.0.1:9",
        ALL_PROXY="http://127.0.0.1:9",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert CONTROL.findall(done.stdout) == []
    for number, strike in enumerate(brew(1).strikes, 1):
        assert re.search(rf"^ +{number}  {re.escape(strike.what)} ", done.stdout, re.MULTILINE)
        assert f"[{number}]" in done.stdout
    assert f"identical: all {len(ANSWER.encode()):,} bytes" in done.stdout
    assert "the SDK alone got" in done.stdout
    assert f"identical: the two join byte for byte, {len(ANSWER.encode()):,} bytes in all" in done.stdout


def test_json_is_one_object_that_adds_up():
    """A program gets one object and nothing else, in which every fault struck and every number fits the others."""
    done = resumable("demo", "--json", "--seed", "5")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["seed"], told["is_identical"], told["error"], told["stop_reason"]) == (5, True, None, "end_turn")
    assert told["received_bytes"] == told["expected_bytes"] == len(ANSWER.encode())
    failed = told["failed_attempts"]
    assert [one["fault"] for one in failed][: len(NAMES)] == NAMES
    assert told["attempts"] == told["requests"] == len(failed) + 1
    assert told["waited_ms"] == pytest.approx(sum(one["delay_ms"] for one in failed), abs=len(failed))
    assert all(one["recovered_after_ms"] >= one["delay_ms"] for one in failed)
    assert {seam["quality"] for seam in told["seams"]} == {"exact"}
    assert {seam["at"] for seam in told["seams"]} <= {one["at"] for one in failed}


def test_the_sdk_alone_loses_the_answer_without_a_word():
    """The bare call is made for real: it survives the 529, then takes a cut body for a whole answer."""
    storm = Storm(1, (Strike("busy", "529", Reject(529, headers={"retry-after-ms": "1"})), EOF))
    outcome = pass_through(storm, Silent())
    assert outcome.is_identical
    assert outcome.bare.error is None
    assert outcome.bare.stop_reason is None
    assert 0 < len(outcome.bare.text) < len(ANSWER)
    assert ANSWER.startswith(outcome.bare.text)
    assert outcome.bare.report is None


@pytest.mark.parametrize(
    ("strikes", "said"),
    [
        ((EOF,), "characters and no error: the loss is silent"),
        ((RESET,), "characters, then "),
        ((), f"got {len(ANSWER):,} of {len(ANSWER):,} characters and no error\n"),
    ],
)
def test_what_the_sdk_alone_got_is_said_as_it_is(strikes, said, capsys):
    """An error of the bare call is named, a silent loss is called one, and a whole answer is not talked down."""
    storm = Storm(1, strikes)
    assert watch(storm, Plain(storm)) == 0
    assert said in capsys.readouterr().out


def test_a_view_is_told_in_order():
    """A failure is told when it is noticed, and its end before the text that ends it."""
    view = Silent()
    outcome = pass_through(Storm(1, (RESET, Strike("busy", "429", Reject(429)), EOF)), view)
    assert view.told[:4] == [("failed", 1), ("failed", 2), ("back", 1), ("back", 2)]
    assert view.text == outcome.heard.text == ANSWER
    first, second, third = outcome.failed[:3]
    assert first.at == second.at < third.at
    assert (first.seam, second.seam) == (None, outcome.seams[0])
    assert [seam.at for seam in outcome.seams] == [second.at, third.at]


@pytest.mark.parametrize("kind", [Plain, Machine])
def test_other_words_are_exit_code_one(kind, capsys):
    """When the caller got other bytes than those of the fault-free answer, the demo says so and ends with 1."""
    storm = Storm(1, (RESET,), continuer=other_words)
    assert watch(storm, kind(storm)) == 1
    out = capsys.readouterr().out
    if kind is Machine:
        assert json.loads(out)["is_identical"] is False
        assert json.loads(out)["error"] is None
    else:
        assert re.search(r"^different: .* not the same from byte \d+ on$", out, re.MULTILINE)
        assert "identical: " not in out.partition("Second act")[0]


@pytest.mark.parametrize(
    ("strikes", "received"), [((FORBIDDEN,), "0"), ((RESET, FORBIDDEN), r"\d+")], ids=["at-once", "mid-stream"]
)
def test_a_broken_stream_is_exit_code_one(strikes, received, capsys):
    """When the stream breaks, the demo says where and with which error, and ends with 1."""
    storm = Storm(1, strikes)
    assert watch(storm, Plain(storm)) == 1
    out = capsys.readouterr().out
    assert re.search(rf"^broken after {received} of [\d,]+ bytes: \w+Error: ", out, re.MULTILINE)
    assert re.search(rf"^ +{len(strikes)}  401 +gave up$", out, re.MULTILINE)


def test_a_broken_stream_is_an_error_in_json(capsys):
    """The object names the error's type and sentence, and the failure that nothing followed."""
    storm = Storm(1, (FORBIDDEN,))
    assert watch(storm, Machine(storm)) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["error"]["type"].endswith("Error")
    assert told["failed_attempts"][-1]["recovered_after_ms"] is None
    assert told["failed_attempts"][-1]["verdict"] == "give_up"


def test_every_json_field_is_documented(capsys):
    """The page names every field of the object, and none that is not there."""
    storm = Storm(1, (RESET,))
    watch(storm, Machine(storm))
    told = json.loads(capsys.readouterr().out)
    fields = [*told, *told["failed_attempts"][0], *told["seams"][0], *told["takeover"]]
    assert re.findall(r"^\| `(\w+)` \|", FIELDS, re.MULTILINE) == fields


def recorded(storm, **size):
    """Make a screen that is recorded instead of shown."""
    console = Console(record=True, force_terminal=True, file=io.StringIO(), highlight=False, **size)
    return Screen(storm, console), console


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_terminal_keeps_the_whole(width):
    """What stays on a terminal is the marked answer, a row for each failure and the verdict, within its width."""
    storm = Storm(1, (RESET, EOF))
    view, console = recorded(storm, width=width, height=30)
    assert watch(storm, view) == 0
    # What the live picture drew before it was taken away again is in the record too.
    kept = console.export_text().rpartition("─ what the caller sees")[2]
    assert max(map(len, kept.splitlines())) <= width
    whole = re.sub(r"↯\d|\s+", "", "".join(seen_in(kept, is_wide=width >= 100)))
    assert whole == re.sub(r"\s+", "", ANSWER)
    assert kept.count("↯1") == kept.count("↯2") == 2
    assert "✓ identical: all 1,716 bytes" in kept
    assert ("the same call, the SDK alone" in kept) is (width >= 100)
    assert ("the SDK alone got" in kept) is (width < 100)


def seen_in(kept, *, is_wide):
    """Give the lines of the caller's panel: all between its edges, or the last column where others stand beside it."""
    lines = kept.partition(" an attempt failed here ")[0].splitlines()[1:-1]
    return [re.findall(r"│ ([^│]*) │", line)[-1] if is_wide else line.strip("│") for line in lines]


@pytest.mark.parametrize(("height", "has_counters"), [(24, False), (30, False), (40, True)])
def test_side_by_side_is_what_there_is_room_for(height, has_counters):
    """From 100 columns on the network, the text and, on a tall terminal, the counters stand beside each other."""
    view, console = recorded(brew(1), width=120, height=height)
    view.see_bare(Heard(text="half of", stop_reason=None), is_over=True)
    view.see_text(ANSWER[:700])
    view.see_failure(failed(1, 300, back_after=0.2))
    console.print(view.draw())
    shown = console.export_text()
    [head] = [line for line in shown.splitlines() if "what the network does" in line]
    assert "what the caller sees" in head
    assert ("characters delivered" in shown) is has_counters
    assert ("✗ 7 of 1,695 characters and no error" in shown) is has_counters
    assert shown.count("\n") < height


@pytest.mark.parametrize(("text", "said"), [("A streamed", "none"), ("A steamed", "some"), ("A streamed A", "some")])
def test_a_loss_is_counted_at_once(text, said):
    """While it streams the text is compared with the fault-free answer, and the counters say so."""
    view, console = recorded(brew(1), width=120, height=40)
    view.see_text(text)
    console.print(view.draw())
    assert re.search(rf"lost or repeated +{said} ", console.export_text())


def test_a_terminal_says_when_it_went_wrong():
    """A mismatch is marked as one on a terminal too."""
    storm = Storm(1, (RESET,), continuer=other_words)
    view, console = recorded(storm, width=100, height=30)
    assert watch(storm, view) == 1
    assert "✗ different: " in console.export_text()


def failed(number, at, **facts):
    """Make a failed attempt."""
    usual: dict[str, Any] = {"verdict": "continue", "delay": 0.0}
    return FailedAttempt(number, "reset", "connection reset", "it broke", at=at, noticed_at=0.0, **usual | facts)


@pytest.mark.parametrize("height", [5, 24, 60])
def test_the_live_picture_shows_the_end_of_the_text(height):
    """While it streams, a terminal shows the newest text, the failures so far, and that one is being recovered from."""
    view, console = recorded(brew(1), width=100, height=height)
    view.see_text("one line\n" * 80 + "the newest words")
    view.see_failure(failed(1, 720))
    console.print(view.draw())
    shown = console.export_text()
    assert "the newest words▌" in shown
    assert "connection reset" in shown
    assert "recovering  attempt 2" in shown
    assert shown.count("one line") < 80
    if height > 20:
        assert shown.count("\n") < height


def test_the_live_picture_is_calm_while_text_flows():
    """With nothing wrong the picture says that it streams."""
    view, console = recorded(brew(1), width=100, height=30)
    view.see_text("words")
    console.print(view.draw())
    assert re.search(r"(streaming|no text for \d+\.\d s)  attempt 1 · 5 characters", console.export_text())


@terminal
def test_a_terminal_is_left_as_it_was_found():
    """On a real terminal the demo draws, and gives the cursor back before it ends."""
    code, written = on_a_terminal(BRIEF, TERM="xterm-256color")
    assert code == 0
    assert "\x1b[?25l" in written
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l")
    assert "identical: all 1,716 bytes" in written


@terminal
def test_a_dumb_terminal_gets_plain_text():
    """A terminal that can't move its cursor gets what a pipe gets."""
    code, written = on_a_terminal(BRIEF, TERM="dumb")
    assert code == 0
    assert CONTROL.findall(written.replace("\r\n", "\n")) == []
    assert "identical: all 1,716 bytes" in written


def test_marks_stand_where_the_caller_was():
    """Each failure's number stands behind the text that the caller had by then, in order."""
    assert marked("abcdef", [failed(1, 0), failed(2, 3), failed(3, 3), failed(4, 6)]) == "[1]abc[2][3]def[4]"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"verdict": "retry", "delay": 0.2}, "asked again after 200 ms"),
        ({"verdict": "retry"}, "asked again"),
        ({"verdict": "continue", "delay": 1.25}, "went on at 1,234 after 1.2 s"),
        ({"verdict": "finish"}, "ended the message"),
        ({"verdict": "give_up"}, "gave up"),
    ],
)
def test_verdicts_are_words(facts, words):
    """Each verdict has its words, with the wait where there was one."""
    assert verdict_of(failed(1, 1234, **facts)) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.0, "0 ms"), (0.0124, "12 ms"), (0.9994, "999 ms"), (1.0, "1.0 s")])
def test_times_have_the_unit_that_suits_them(seconds, words):
    """Below a second milliseconds, from there on seconds."""
    assert span(seconds) == words


def test_another_ending_is_no_success():
    """The same text with another stop reason is not the fault-free answer, and the verdict says why."""
    heard = Heard(text="all", stop_reason="max_tokens")
    outcome = Outcome("all", heard, bare=Heard(), failed=[], attempts=1, requests=1, elapsed=0.1)
    assert not outcome.is_identical
    assert verdict(outcome) == "different: the text is whole, but it ended with max_tokens"


def test_a_missing_end_is_no_failure():
    """What is no failure for the library is none in the demo: no row, no mark, the same answer."""
    outcome = pass_through(Storm(1, (Strike("tail", "no end", NoMessageStop()),)), Silent())
    assert outcome.is_identical
    assert outcome.failed == []
    assert outcome.attempts == 1


def test_a_refused_connection_is_survived():
    """A connection that never comes about is one more failed attempt."""
    outcome = pass_through(Storm(1, (Strike("refused", "refused", Refuse()),)), Silent())
    assert outcome.is_identical
    assert [one.fault for one in outcome.failed][:1] == ["refused"]
