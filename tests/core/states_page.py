"""
Draws docs/reference/states.md from the table of transitions.

After a change of the table: `python -m tests.core.states_page`.
"""

from __future__ import annotations

from pathlib import Path

from resumable._core.states import TRANSITIONS, Input, State

PAGE = Path(__file__).parents[2] / "docs/reference/states.md"

MEANINGS = {
    State.READY: "nothing was sent yet",
    State.OPENING: "a request was sent, no response has arrived",
    State.STREAMING: "a response is being read",
    State.WAITING: "an attempt has failed, the next one is due after a delay",
    State.ENDING: "the message is complete, the rest of the body is read so that the connection can be reused",
    State.DONE: "the message is complete",
    State.FAILED: "recovery is over before the message was complete; the error says why",
    State.CLOSED: "the caller has left",
}
CAUSES = {
    Input.OPEN: "the driver asks for the next action and sends a request",
    Input.RESPOND: "a response has arrived",
    Input.RECOVER: "the attempt failed, and another one is to be made",
    Input.FINISH: "recovery ends the message itself: a complete tool call, or a limit of the caller's",
    Input.COMPLETE: "upstream has said why the message ends",
    Input.DRAIN: "the body has ended, broken or taken too long after that; no failure counts any more",
    Input.GIVE_UP: "the attempt failed, and none is to be made",
    Input.CLOSE: "the caller has left",
}

HEAD = """\
# States of a session

One session makes one message out of as many attempts as it takes.
Its state changes only as drawn here; anything else raises `LocalProtocolError`, a bug in the code that drives it.

This page is drawn from the table in `resumable/_core/states.py`, and a test compares the two.
"""


def page() -> str:
    """Write the page."""
    return "\n".join([HEAD, "```mermaid", *diagram(), "```", "", *meanings(), "", *table()]) + "\n"


def diagram() -> list[str]:
    """Draw every transition that changes the state."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.READY.value}"]
    for state, moves in TRANSITIONS.items():
        lines += [f"    {state.value} --> {to.value}: {cause.value}" for cause, to in moves.items() if to is not state]
        if not any(to is not state for to in moves.values()):
            lines.append(f"    {state.value} --> [*]")
    return lines


def meanings() -> list[str]:
    """Say what each state and each input means."""
    states = [f"| `{state.value}` | {MEANINGS[state]} |" for state in State]
    causes = [f"| {cause.value} | {CAUSES[cause]} |" for cause in Input]
    return ["| state | means |", "|---|---|", *states, "", "| input | means |", "|---|---|", *causes]


def table() -> list[str]:
    """List the next state for every pair; a dash is what is refused."""
    lines = ["| state | " + " | ".join(cause.value for cause in Input) + " |", "|---" * (len(Input) + 1) + "|"]
    for state in State:
        moves = TRANSITIONS[state]
        cells = (f"`{moves[cause].value}`" if cause in moves else "–" for cause in Input)
        lines.append(f"| `{state.value}` | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
