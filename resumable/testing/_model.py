"""
The simulated model: which reply a request gets, and where in it the answer begins.

Everything follows from the request's content, except the number of times an original has been asked before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ._continuers import Continuer, Interrupted, Opening
from ._conversation import (
    Conversation,
    Messages,
    Place,
    anchor_of,
    candidates,
    find_place,
    prefix_mark,
    quotes,
    text_of,
    without_own,
)
from ._frames import Sealed, seal, with_text
from ._replies import Json, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._log import Strategy
    from ._scripts import Script

# How many wordings beyond those already given are tried when a partial answer has to be recognised: an upstream that
# was started anew has given none.
_TRIED_BEYOND = 4
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Speech:
    """
    What the model says to one request.

    Attributes:
        strategy: What the request was taken for.
        conversation: The original conversation.
        blocks: What is said.
        stop_reason: Why it ends when no limit ends it.
        reply: The script's whole reply.
    """

    strategy: Strategy
    conversation: Conversation
    blocks: tuple[Sealed, ...]
    stop_reason: str
    reply: Reply


class Model:
    """
    A script, a way to go on, and the memory of what was asked.

    Not safe to share between threads: the upstream guards it.
    """

    def __init__(self, script: Script, continuer: Continuer, *, vary: bool) -> None:
        self._script = script
        self._continuer = continuer
        self._vary = vary
        self._asked: set[str] = set()
        self._own: dict[str, list[list[Json]]] = {}
        self._served: dict[str, int] = {}
        self._replies: dict[tuple[str, int], tuple[Reply, tuple[Sealed, ...]]] = {}

    def speak(self, body: Json, messages: Messages) -> Speech:
        """
        Answer a request; nothing is remembered of it yet.

        Args:
            body: The request.
            messages: Its messages, normalised and not empty.

        Returns:
            What is said.
        """
        resumed = self._resume(body, messages)
        if resumed is not None:
            return resumed
        conversation = Conversation.from_body(body, messages)
        variant = self._served.get(conversation.key, 0) if self._vary else 0
        return self.say(
            replace(conversation, variant=variant), "retry" if conversation.key in self._asked else "original"
        )

    def remember(self, speech: Speech, *, said: bool) -> None:
        """
        Remember a request, so that the next one like it is a retry.

        Args:
            speech: What `speak` gave.
            said: Whether the model was really reached: only then a retry gets other words.
        """
        if speech.strategy not in {"original", "retry"}:
            return
        key = speech.conversation.key
        self._asked.add(key)
        self._served[key] = self._served.get(key, 0) + said
        older, last = speech.conversation.messages[:-1], speech.conversation.messages[-1]
        if last["role"] == "assistant":
            owns = self._own.setdefault(prefix_mark(speech.conversation.body, older), [])
            owns.append(last["content"])

    def say(self, conversation: Conversation, strategy: Strategy = "original") -> Speech:
        """
        Answer a conversation from the beginning.

        Args:
            conversation: What is asked, with its variant.
            strategy: What the request was taken for.

        Returns:
            The whole reply.
        """
        reply, sealed = self._reply(conversation)
        return Speech(strategy, conversation, sealed, reply.ending, reply)

    def _reply(self, conversation: Conversation) -> tuple[Reply, tuple[Sealed, ...]]:
        known = (conversation.key, conversation.variant)
        if known not in self._replies:
            if len(self._replies) >= _REMEMBERED:
                self._replies.clear()
            reply = self._script(conversation)
            self._replies[known] = reply, tuple(seal(reply, conversation.seed))
        return self._replies[known]

    def _variants(self, key: str) -> Iterator[int]:
        """Give the variants a partial answer may belong to, the latest given first."""
        if not self._vary:
            yield 0
            return
        served = self._served.get(key, 0)
        yield from range(served - 1, -1, -1)
        yield from range(served, served + _TRIED_BEYOND)

    def _find(self, older: Conversation, partial: list[Json]) -> tuple[Conversation, Reply, Place] | None:
        for variant in self._variants(older.key):
            conversation = replace(older, variant=variant)
            reply, sealed = self._reply(conversation)
            place = find_place(sealed, partial)
            if place is not None:
                return conversation, reply, place
        return None

    def _candidates(self, body: Json, messages: Messages) -> Iterator[tuple[Messages, list[Json], Json | None]]:
        """Give the ways to see a continuation in messages, also where the caller's own prefill is part of a text."""
        for older, partial, asked in candidates(messages):
            yield older, partial, asked
            for own in self._own.get(prefix_mark(body, older), ()):
                ours = without_own(partial, own)
                if ours is not None:
                    yield [*older, {"role": "assistant", "content": own}], ours, asked

    def _resume(self, body: Json, messages: Messages) -> Speech | None:
        for older, partial, asked in self._candidates(body, messages):
            found = self._find(Conversation.from_body(body, older), partial)
            if found is None:
                continue
            conversation, reply, place = found
            if asked is None:
                if place.complete and reply.ending == "pause_turn":
                    return self.say(Conversation.from_body(body, messages), "pause")
                return Speech("prefill", conversation, place.rest, reply.ending, reply)
            own = older[-1]["content"] if older[-1]["role"] == "assistant" else []
            speech = self._go_on(found, text_of(own) + text_of(partial), asked)
            if speech is not None:
                return speech
        return None

    def _go_on(self, found: tuple[Conversation, Reply, Place], spoken: str, asked: Json) -> Speech | None:
        conversation, reply, place = found
        if any(block.get("type") == "tool_result" for block in asked["content"]):
            return None
        question = text_of(asked["content"])
        anchor = anchor_of(spoken, question) if place.in_text else ""
        quoted = quotes(anchor, spoken, complete=place.complete)
        # An answer that is complete is followed by the next question, unless its end is quoted.
        if place.complete and not quoted:
            return None
        first = place.rest[0].text if place.rest else None
        interrupted = Interrupted(spoken, anchor if quoted else "", first or "", question)
        opening = self._continuer(interrupted)
        blocks = tuple(seal(Reply(opening.before), conversation.seed)) + _opened(opening, place)
        reason = opening.stop_reason or reply.ending
        return Speech("user_turn", conversation, blocks, reason, reply)


def _opened(opening: Opening, place: Place) -> tuple[Sealed, ...]:
    rest = place.rest if opening.goes_on else ()
    said = Sealed({"type": "text", "text": opening.text})
    if rest and rest[0].text is not None and (place.in_text or not opening.text):
        text = rest[0].text
        return with_text(rest[0], opening.text + (text.lstrip() if opening.strip else text)), *rest[1:]
    return (said, *rest) if opening.text else rest
