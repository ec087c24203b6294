"""Cuts at every byte, by every fault, for every kind of answer: what the caller ends with is what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sweep.campaign import (
    HTTP_STRIDE,
    SDK_STRIDE,
    at_edges,
    at_stride,
    every_byte,
    over_http,
    rows,
    states_of,
    sweep,
    through_sdk,
)
from tests.sweep.recordings import BY_NAME, MODELS, NO_PREFILL, RECORDINGS
from tests.sweep.runner import Cell, run
from tests.sweep.table import TABLE, Outcome, State
from tests.sweep.verdict import Judge, citation_flaws

DOCUMENT = Path(__file__).parents[2] / "docs" / "explanation" / "sweep.md"

each_stream = pytest.mark.parametrize(
    ("recording", "model"),
    [pytest.param(recording, model, id=f"{recording.name}-{model}") for recording in RECORDINGS for model in MODELS],
)


@each_stream
def test_recordings_are_what_the_upstream_says(recording, model):
    """A recording is what the scripted upstream answers today; else write it anew and look at the difference."""
    assert recording.stream(model) == recording.spoken(model)


def test_recordings_reach_every_state():
    """No row of the table is there in vain."""
    assert {state for recording in RECORDINGS for state in states_of(recording, NO_PREFILL)} == set(State) == set(TABLE)


@pytest.mark.parametrize("name", ["text", "unicode"])
def test_pure_text_ends_identical_wherever_it_is_cut(name):
    """For text alone the table knows no other outcome."""
    assert {TABLE[state].outcome for state in states_of(BY_NAME[name], NO_PREFILL)} == {Outcome.IDENTICAL}


@each_stream
def test_cut_at_the_edges_of_events(recording, model):
    """Right before and at the end of each event, the faults in turn, the caller ends with what the table says."""
    sweep(at_edges(recording, model)).check()


@each_stream
def test_cut_within_events(recording, model):
    """Also within an event, where nothing of it counts."""
    sweep(at_stride(recording, model, 53)).check()


@each_stream
def test_sample_through_the_sdk(recording, model):
    """The middleware in the SDK, sync and async, gives what the session alone gives."""
    through_sdk(recording, model, 307).check()


@each_stream
def test_sample_over_http(recording, model):
    """And over a real connection."""
    over_http(recording, model, 1009).check()


@pytest.mark.campaign
@each_stream
def test_every_byte(recording, model):
    """Every cut with every fault ends with what the table says."""
    sweep(every_byte(recording, model)).check()


@pytest.mark.campaign
@each_stream
def test_every_few_bytes_through_the_sdk(recording, model):
    """A large sample goes through the SDK, in process and over HTTP."""
    through_sdk(recording, model, SDK_STRIDE).check()
    over_http(recording, model, HTTP_STRIDE).check()


def test_document_has_the_counts():
    """The table in the document is the one the recordings give."""
    assert "\n".join(rows()) in DOCUMENT.read_text(encoding="utf-8")


def test_document_has_the_expectations():
    """Every state stands in the document with its outcome."""
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    wanted = {state: (f"| {state.value} |", f"| {TABLE[state].outcome.value} |") for state in State}
    assert [
        state
        for state, (head, tail) in wanted.items()
        if not any(line.startswith(head) and line.endswith(tail) for line in lines)
    ] == []


# The judge is a judge only if it can say no.


def judged(cut: int, **changes: object) -> list[str]:
    """Judge a cell of the text, after something was changed in its result."""
    judge = Judge(BY_NAME["text"], NO_PREFILL)
    cell = Cell(BY_NAME["text"], NO_PREFILL, cut, "RST")
    result = run(cell)
    for name, value in changes.items():
        setattr(result, name, value)
    flaws = judge.flaws(cell, result)
    judge.close()
    return [flaw.partition("): ")[2] for flaw in flaws]


def test_judge_accepts_what_is_right():
    """What the session did passes."""
    assert judged(2000) == []


def test_judge_sees_another_request():
    """An attempt more than the table has is a flaw."""
    [flaw] = judged(2000, asked=("original", "user_turn", "user_turn"))
    assert flaw.startswith("upstream was asked")


def test_judge_sees_other_words():
    """One character is enough."""
    body = run(Cell(BY_NAME["text"], NO_PREFILL, 2000, "RST")).body
    [flaw] = judged(2000, body=body.replace(b"cold", b"colb", 1))
    assert flaw.startswith("content is")


def test_judge_sees_broken_grammar():
    """A stream without its end is none."""
    body = run(Cell(BY_NAME["text"], NO_PREFILL, 2000, "RST")).body
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert judged(2000, body=body.removesuffix(stop)) == ["0 × message_stop"]
    assert "message_stop after message_stop" in judged(2000, body=body + stop)


def test_judge_sees_an_error_and_an_unmarked_estimate():
    """An error where none is expected, and usage that keeps quiet about what it is."""
    assert judged(2000, error="SeamError", is_estimated=False) == [
        "usage is not marked as an estimate",
        "SeamError was raised",
    ]


def cited(*parts: tuple[str, bool]) -> list[dict[str, object]]:
    """Make text blocks, some of them cited."""
    note = [{"type": "char_location", "cited_text": "cold"}]
    return [{"type": "text", "text": text, **({"citations": note} if has_note else {})} for text, has_note in parts]


WANTED = cited(("It is ", False), ("very cold", True), (" here", False))


@pytest.mark.parametrize(
    ("content", "cut", "accepted"),
    [
        (WANTED, None, True),
        (cited(("It is very", False), (" cold", True), (" here", False)), 10, True),
        (cited(("It is very", False), (" cold", True), (" here", False)), None, False),
        (cited(("It is very cold", False), (" here", False)), 15, True),
        (cited(("It is very cold", False), (" here", False)), 14, False),
        (cited(("It is ", False), ("very cold here", True)), 15, False),
        (cited(("It is", False), (" very cold", True), (" here", False)), 5, False),
        (cited(("It is ", False), ("very cold", True), (" there", False)), None, False),
        (cited(("It is ", True), ("very cold", True), (" here", False)), None, False),
    ],
)
def test_judge_of_citations(content, cut, accepted):
    """A cut may divide a cited block or lose a citation whose text had come; none may cover other text."""
    assert (citation_flaws(content, WANTED, cut) == []) is accepted
