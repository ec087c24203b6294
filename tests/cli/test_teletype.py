"""`resumable run` on a terminal: what is said while it waits is taken back, and the text never moves."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from resumable.testing import Drop, Reject, Reply, ScriptedUpstream, Slow, Text
from tests.cli.processes import on_a_terminal
from tests.cli.screen import screen

terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

ASK = "import sys; from resumable.cli import main; sys.exit(main(['run', 'Why?']))"
WIDTH = 100


def on_screen(upstream: ScriptedUpstream, **environment: str) -> tuple[int, str, list[str]]:
    """Ask on a terminal; give the exit code, what was written, and what is left of it on the screen."""
    with upstream:
        code, written = on_a_terminal(ASK, ANTHROPIC_BASE_URL=upstream.url, ANTHROPIC_API_KEY="k", **environment)
    return code, written, screen(written.replace("\r\n", "\n"), WIDTH)


def wrapped(text: str) -> list[str]:
    """Wrap a text as a terminal does."""
    return [line[at : at + WIDTH] for line in text.split("\n") for at in range(0, max(len(line), 1), WIDTH)]


@terminal
def test_the_text_is_left_and_the_words_are_gone():
    """While a recovery waits it is said behind the text; at the end the screen has the text and quiet lines below."""
    busy = Reject(429, headers={"retry-after-ms": "700"})
    upstream = ScriptedUpstream("text", [(Slow(0.25), Drop(after=9)), busy], vary=False)
    code, written, left = on_screen(upstream)
    text = wrapped(upstream.expected_text("Why?"))
    assert code == 0
    assert left[: len(text)] == text
    assert "waiting for claude-sonnet-5-5" in written
    assert "asking again" not in written.partition("─")[0]
    assert "going on in 1 s" in written
    first, second, way, taken, end = left[len(text) :]
    assert first.startswith("─ attempt 1: the stream ended")
    assert second.startswith("─ attempt 2: upstream answered 429")
    assert way.startswith("─ claude-sonnet-5-5 · 3 attempts · 1 seam (exact)")
    assert "tokens in, ~" in taken
    assert end == ""


@terminal
def test_a_terminal_obeys_nothing_that_a_model_says():
    """Control characters in an answer are shown, not obeyed, and wide ones keep their place."""
    upstream = ScriptedUpstream(Reply([Text("red \x1b[31m, bell \a, back\b, 水")]))
    code, written, left = on_screen(upstream)
    assert code == 0
    assert "\x1b[31m" not in written
    assert "\a" not in written
    assert left[0] == "red \ufffd[31m, bell \ufffd, back\ufffd, 水"


@terminal
@pytest.mark.parametrize(
    ("environment", "has_colour", "has_words"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, True),
        ({"TERM": "dumb"}, False, False),
    ],
    ids=["colours", "NO_COLOR", "dumb"],
)
def test_a_terminal_gets_what_it_can_show(environment, has_colour, has_words):
    """NO_COLOR takes the colours, a dumb terminal gets plain lines."""
    busy = Reject(429, headers={"retry-after-ms": "400"})
    code, written, left = on_screen(ScriptedUpstream("text", [busy], vary=False), **environment)
    assert code == 0
    assert ("\x1b[2m" in written) is has_colour
    assert (" asking again in 1 s" in written) is has_words
    assert ("\x1b" in written) is has_words
    assert "2 attempts" in left[-3]
    assert "tokens in" in left[-2]


@pytest.mark.parametrize(
    ("text", "column", "behind"),
    [
        ("abc", 0, 3),
        ("abc", 8, 1),
        ("ab", 8, 10),
        ("水", 9, 2),
        ("水", 8, 10),
        ("a\nbc", 5, 2),
        ("\t", 3, 8),
        ("\t", 9, 9),
        ("e\u0301", 0, 1),
    ],
)
def test_the_cursor_is_followed(text, column, behind):
    """Wide characters, marks, tabs, line ends and wrapping move the cursor as a terminal of 10 columns does."""
    from resumable.cli._teletype import column_after  # noqa: PLC0415  # Reason: a pipe needs no rich

    assert column_after(text, column, 10) == behind


def test_no_word_is_said_where_there_is_no_room(capsys):
    """At the end of a line nothing is written that would wrap, and what was shown is taken back by its width."""
    from resumable.cli._teletype import Teletype  # noqa: PLC0415  # Reason: as above

    shown = Teletype("claude-sonnet-5-5")
    shown._say("⠋")
    words = "⠋ waiting for claude-sonnet-5-5 · 0 s"
    shown.see_text("x")
    assert capsys.readouterr().err == f"\x1b[2m{words}\x1b[0m\x1b[{len(words)}D\x1b[K"
    shown._column = shown._width - 3
    shown.see_failure(SimpleNamespace(verdict="retry", delay=0.0))  # type: ignore[arg-type]  # Reason: all it reads
    shown._say("⠋")
    assert capsys.readouterr().err == ""
