"""The words of the demo, the same in a terminal and in a pipe: facts into short sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resumable.cli._storm import LEASE, SCALE, STALL

if TYPE_CHECKING:
    from resumable._core.errors import ResumableError
    from resumable.cli._outcome import FailedAttempt, Heard, Outcome
    from resumable.cli._storm import Storm
    from resumable.cli._takeover import Takeover

COLUMNS: Final = ("what the network did", "what resumable did", "back after", "seam")
_SECOND: Final = 1.0


def intro(storm: Storm) -> tuple[str, str]:
    """Say what is about to happen, and what of it is not as in real life."""
    return (
        f"A scripted answer, {len(storm.strikes)} faults, all on 127.0.0.1: nothing leaves this machine.",
        f"Default waits divided by {SCALE}; a stall is noticed after {STALL:g} s. Storm {storm.seed} (--seed).",
    )


def cells(failed: FailedAttempt) -> tuple[str, str, str, str]:
    """Write one failed attempt as the cells of `COLUMNS`."""
    back = "" if failed.back_after is None else span(failed.back_after)
    return failed.what, verdict_of(failed), back, failed.seam.quality if failed.seam else ""


def verdict_of(failed: FailedAttempt) -> str:
    """Say what the library decided, and what it waited."""
    waited = f" after {span(failed.delay)}" if failed.delay else ""
    match failed.verdict:
        case "retry":
            return f"asked again{waited}"
        case "continue":
            return f"went on at {failed.at:,}{waited}"
        case "finish":
            return "ended the message"
        case _:
            return "gave up"


def span(seconds: float) -> str:
    """Write a time with the unit that suits it."""
    return f"{seconds:.1f} s" if seconds >= _SECOND else f"{seconds * 1000:.0f} ms"


def verdict(outcome: Outcome) -> str:
    """Say whether the caller got the answer, in one line."""
    expected, got = outcome.expected.encode(), outcome.heard.text.encode()
    if outcome.is_identical:
        return f"identical: all {len(got):,} bytes are those of the fault-free answer"
    if outcome.heard.error is not None:
        return f"broken after {len(got):,} of {len(expected):,} bytes: {_error(outcome.heard.error)}"
    if got == expected:
        return f"different: the text is whole, but it ended with {outcome.heard.stop_reason}"
    same = next((at for at, (one, other) in enumerate(zip(got, expected, strict=False)) if one != other), None)
    at = min(len(got), len(expected)) if same is None else same
    return f"different: {len(got):,} bytes instead of {len(expected):,}, and not the same from byte {at:,} on"


def books(outcome: Outcome) -> str:
    """Count what it took, in one line."""
    qualities = [seam.quality for seam in outcome.seams]
    kinds = ", ".join(f"{qualities.count(one)} {one}" for one in dict.fromkeys(qualities)) or "none"
    return (
        f"{outcome.attempts} attempts, {outcome.requests} requests; seams: {kinds};"
        f" {span(outcome.elapsed)} in all, {span(outcome.waited)} of it waiting"
    )


def bare(outcome: Outcome) -> str:
    """Say what the SDK alone made of the same storm, in one line."""
    return f"the SDK alone got {ending(outcome.bare, len(outcome.expected))}"


def ending(heard: Heard, whole: int) -> str:
    """Say how much a caller got, and how it ended for them."""
    got = f"{len(heard.text):,} of {whole:,} characters"
    if heard.error is not None:
        return f"{got}, then {_error(heard.error)}"
    if len(heard.text) < whole:
        return f"{got} and no error: the loss is silent"
    return f"{got} and no error"


def _error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def second_act() -> tuple[str, str]:
    """Say what is about to happen in the second act."""
    return (
        "Second act: a process streams the same answer, its session in a store of its own, and is killed (kill -9).",
        f"Another resumes the session by its ID as soon as the lease of {LEASE:g} s has run out.",
    )


def takeover(result: Takeover | ResumableError) -> list[str]:
    """Say what came of the second act."""
    if isinstance(result, Exception):
        return [f"skipped: {result}"]
    killed, resumed = result.killed.encode(), result.resumed.encode()
    lines = [
        f"killed after {len(killed):,} bytes; back after {span(result.back_after)}; {result.requests} requests",
        f"… {result.killed[-40:]!r} | {result.resumed[len(result.killed) :][:40]!r} …",
    ]
    if result.is_identical:
        return [*lines, f"identical: the two join byte for byte, {len(resumed):,} bytes in all"]
    return [*lines, f"different: {len(resumed):,} bytes came back, and they are not those of the fault-free answer"]
