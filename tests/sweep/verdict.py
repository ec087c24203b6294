"""Compares what came of a cell with what the table says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sweep.checks import Reader, grammar_flaws
from tests.sweep.recordings import PREFILL
from tests.sweep.table import TABLE, Outcome, Recorded, State, asked, blocks_of, state_of, without_blank_end

if TYPE_CHECKING:
    from tests.sweep.recordings import Recording
    from tests.sweep.runner import Cell, Result
    from tests.sweep.table import Json


class Judge:
    """Judges the cells of one recording and one model; close it."""

    def __init__(self, recording: Recording, model: str) -> None:
        self.recording = recording
        self.model = model
        self.recorded = Recorded.from_bytes(recording.stream(model))
        self._reader = Reader(recording, model)
        body = {**recording.body(model), **recording.format}
        upstream = recording.upstream()
        self._fault_free = [upstream.expected_message(body, variant) for variant in (0, 1)]

    @property
    def outputs(self) -> int:
        """Count the different streams that were read."""
        return len(self._reader)

    def close(self) -> None:
        """Close what reads."""
        self._reader.close()

    def state(self, cut: int) -> State:
        """Say what a caller has at a cut."""
        return state_of(self.recorded, cut, self.recording)

    def flaws(self, cell: Cell, result: Result) -> list[str]:
        """Say in words what is not as the table has it; empty when all is well."""
        state = self.state(cell.cut)
        flaws = []
        wanted = asked(state, self.recording, takes_prefill=self.model == PREFILL)
        if result.asked != wanted:
            flaws.append(f"upstream was asked {result.asked}, not {wanted}")
        if result.is_estimated != self._is_estimated(cell.cut):
            flaws.append(f"usage is {'' if result.is_estimated else 'not '}marked as an estimate")
        if TABLE[state].outcome is Outcome.ERROR:
            flaws += self._error_flaws(cell, result)
        elif result.error is not None:
            flaws.append(f"{result.error} was raised")
        else:
            flaws += self._message_flaws(cell, state, result)
        return [f"{cell} ({state.value}): {flaw}" for flaw in flaws]

    def _is_estimated(self, cut: int) -> bool:
        """Usage is known only to an attempt that began, and measured only by one that ended."""
        kinds = {event["type"] for event in self.recorded.until(cut)}
        return "message_start" in kinds and "message_delta" not in kinds

    def _error_flaws(self, cell: Cell, result: Result) -> list[str]:
        flaws = grammar_flaws(result.body, is_whole=False) if result.body else []
        if f"`{result.error}`" != Outcome.ERROR.value:
            flaws.append(f"{result.error} was raised")
        seen = blocks_of(self.recorded.until(cell.cut))
        content = (result.partial or {}).get("content", [])
        if [block["type"] for block in content] != [block.type for block in seen]:
            flaws.append(f"the error's partial holds {content}")
        return flaws

    def _message_flaws(self, cell: Cell, state: State, result: Result) -> list[str]:
        flaws: list[str] = []
        message = result.message
        if message is None:
            checked = self._reader.read(result.body)
            flaws += checked.flaws
            message = checked.message
        fault_free = self._fault_free[TABLE[state].variant]
        content = _signed(message["content"])
        if state is State.CALL:
            wanted = fault_free["content"][: _calls_until(self.recorded.until(cell.cut))]
            reason = "tool_use"
        else:
            wanted, reason = fault_free["content"], fault_free["stop_reason"]
        if "retry" not in result.asked:
            # What a continuation thinks belongs to turns the caller does not have: it is not shown.
            wanted = [block for block in wanted if block["type"] != "thinking" or block in content]
        if message["stop_reason"] != reason:
            flaws.append(f"stop_reason is {message['stop_reason']}, not {reason}")
        if self.recording.documents:
            cited = self._cited_until(cell.cut) if state in _TEXTS else None
            flaws += citation_flaws(content, wanted, cited)
        elif content != wanted:
            flaws.append(f"content is\n  {content}, not\n  {wanted}")
        return flaws

    def _cited_until(self, cut: int) -> int:
        """Length of the text the caller has at a cut."""
        return len(without_blank_end("".join(block.text for block in blocks_of(self.recorded.until(cut)))))


_TEXTS = {State.TEXT, State.TEXT_WHOLE, State.TEXT_STOPPED}


def _signed(content: list[Json]) -> list[Json]:
    """Leave out thinking that was cut: it has no signature, and every history that passes through us loses it."""
    return [block for block in content if block["type"] != "thinking" or block.get("signature")]


def _calls_until(events: list[Json]) -> int:
    """Count the blocks up to the last complete call."""
    blocks = blocks_of(events)
    return max(number for number, block in enumerate(blocks, 1) if block.type == "tool_use" and block.is_stopped)


def spans(content: list[Json]) -> list[tuple[int, int, Json]]:
    """Say which part of the text each citation covers."""
    found: list[tuple[int, int, Json]] = []
    at = 0
    for block in content:
        end = at + len(block["text"])
        found += [(at, end, citation) for citation in block.get("citations") or ()]
        at = end
    return found


def citation_flaws(content: list[Json], wanted: list[Json], cut: int | None) -> list[str]:
    """
    Compare cited answers: the same text, and no citation covers what it did not cover.

    Args:
        content: What the caller has.
        wanted: What it would have without a fault.
        cut: [characters] Where the text was cut, if it was: there a block may end, and a citation may be missing
            whose text had arrived while it had not.
    """
    text, whole = (_text(blocks) for blocks in (content, wanted))
    if text != whole:
        return [f"text is\n  {text!r}, not\n  {whole!r}"]
    flaws = []
    there = spans(content)
    for start, end, citation in spans(wanted):
        mine = [span for span in there if span[2] == citation]
        there = [span for span in there if span[2] != citation]
        if not mine and cut != len(without_blank_end(whole[:end])):
            flaws.append(f"{citation['cited_text']!r} is not cited")
        for own_start, own_end, _ in mine:
            is_cut = cut is not None and start < cut < end
            if own_end != end or own_start not in ({start, cut} if is_cut else {start}):
                flaws.append(f"{citation['cited_text']!r} covers {text[own_start:own_end]!r}")
    return flaws + [f"{span[2]['cited_text']!r} is cited from nowhere" for span in there]


def _text(content: list[Json]) -> str:
    return "".join(block["text"] for block in content)
