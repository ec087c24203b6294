"""The storm of the demo, as data: a long answer, and everything that goes wrong while it is on its way."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from resumable.testing import Drop, ErrorEvent, Fault, Reject, Reply, ScriptedUpstream, Slow, Stall, Text

if TYPE_CHECKING:
    from resumable.testing import Answer, Continuer

QUESTION: Final = "Why do streams break, and what does it take to mend one?"
_MODEL: Final = "claude-sonnet-5-5"
SCALE: Final = 100
"""The policy's waits are divided by this: nobody watches a demo that waits a minute."""
STALL: Final = 1.0
"""[s] The progress watchdog; a stall cannot be scaled, it has to be waited for."""

LEASE: Final = 2.0
"""[s] Of the second act: the shortest there is. The default of 15 is for processes that are not killed on purpose."""

ANSWER: Final = """\
A streamed answer is a promise kept in pieces. Each piece is a frame of a few bytes, and between any two of them a \
great deal can happen: a load balancer is redeployed, a phone walks out of the Wi-Fi, a server sheds load, a proxy \
decides that a minute of silence is long enough.

The loud failures are the kind ones. A reset connection raises an error, and so does a server that says it is \
overloaded; whoever catches it at least knows that something is missing. The quiet ones are worse. A body that ends \
cleanly in mid-sentence looks exactly like one that is complete, and a naïve client stores half an answer as the \
whole: no error, no trace. A connection that sends nothing but pings looks alive for ever.

Asking again is no cure. A model does not recite, it composes: its second answer opens with other words, and what a \
reader already has on the screen cannot be taken back. 覆水盆に返らず, spilt water does not return to its tray. So the \
answer has to be continued, not repeated. The conversation is sent once more, with everything delivered so far, and \
the model is asked to begin with the last words it said. Those words are found in what comes, cut away, and the rest \
is joined on at that very character.

What makes it hard is the edges. A cut may fall inside a character (the four bytes of 🌊, the two of é), inside a tool \
call, or between a block’s last word and its end. Tokens were paid for and belong in the books; a limit that the \
caller set holds over all attempts together; and nothing, not one space, may appear twice or go missing. Count the \
bytes: if the verdict says that they are identical, then seven things went wrong while you were reading this, and \
none of them reached you."""


def body() -> dict[str, Any]:
    """Give the demo's request, without `stream`."""
    return {"model": _MODEL, "max_tokens": 4096, "messages": [{"role": "user", "content": QUESTION}]}


@dataclass(frozen=True, slots=True)
class HalfFrame(Fault):
    """
    The connection closes within a frame, and within a character if there is a wide one near.

    Attributes:
        after: [frames] So many whole frames still arrive, at least.
        reach: [frames] How far beyond them a frame with a wide character is looked for.
    """

    after: int
    reach: int = 30

    def apply(self, answer: Answer) -> Answer:
        """Cut the answer; one that is shorter is left alone."""
        frames = answer.frames
        if self.after >= len(frames):
            return answer
        near = range(self.after, min(self.after + self.reach, len(frames)))
        number = next((place for place in near if not frames[place].payload.isascii()), self.after)
        payload = frames[number].payload
        wide = next((place for place, byte in enumerate(payload) if byte > 0x7F), len(payload) // 2)  # noqa: PLR2004  # Reason: the last ASCII byte
        whole = sum(len(one.payload) for one in frames[:number])
        return Drop(at_byte=whole + wide + 1, how="fin").apply(answer)


@dataclass(frozen=True, slots=True)
class Strike:
    """
    What one attempt suffers.

    Attributes:
        name: For machines.
        what: For people, a few words.
        fault: The fault itself.
    """

    name: str
    what: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Storm:
    """
    One answer and its faults: the i-th attempt suffers the i-th strike, and a later one none.

    Attributes:
        seed: What the places of the cuts depend on.
        strikes: In order.
        continuer: How the model goes on when it is asked to; see `resumable.testing.CONTINUERS`.
    """

    seed: int
    strikes: tuple[Strike, ...]
    continuer: str | Continuer = "anchor"

    @property
    def body(self) -> dict[str, Any]:
        """The request, without `stream`."""
        return body()

    def upstream(self, pace: float = 0.0) -> ScriptedUpstream:
        """
        Make an upstream that nobody has asked yet.

        Args:
            pace: [s] Between two frames.

        Returns:
            The upstream, not started.
        """
        faults = [(Slow(pace), strike.fault) for strike in self.strikes]
        calm = Slow(pace)
        return ScriptedUpstream(
            Reply([Text(ANSWER)]),
            lambda number, _: faults[number - 1] if number <= len(faults) else calm,
            self.continuer,
        )


def brew(seed: int) -> Storm:
    """
    Choose where the faults strike.

    Args:
        seed: The same one gives the same storm.

    Returns:
        A storm whose every fault strikes: the cuts are so early that even the last finds enough left of the answer.
    """
    chance = random.Random(seed)  # noqa: S311  # Reason: reproducible, not secret

    def early() -> int:
        return chance.randint(34, 46)

    strikes = (
        Strike("overloaded_status", "529, retry-after-ms: 200", Reject(529, headers={"retry-after-ms": "200"})),
        Strike("clean_eof", "body ends as if complete", Drop(after=early(), how="eof")),
        Strike("reset", "connection reset", Drop(after=early(), how="rst")),
        Strike("overloaded_event", "event: overloaded_error", ErrorEvent("overloaded_error", after=early())),
        Strike("stall", "silence but for pings", Stall(after=early(), pings=True, ping_every=0.2)),
        Strike("rate_limited", "429 when asked to go on", Reject(429)),
        Strike("half_frame", "closed in mid-character", HalfFrame(after=early())),
    )
    return Storm(seed, strikes)
