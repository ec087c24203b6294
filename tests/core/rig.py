"""A session at the bench: time, upstream and caller in one hand."""

from __future__ import annotations

from typing import Any

from resumable._core.continuation import Memory, Plan
from resumable._core.errors import RecoveryError, StreamInterruptedError
from resumable._core.hold import DEFAULT_HOLD
from resumable._core.report import Report
from resumable._core.session import Session
from resumable._core.states import Action, Open, Sleep, Stop
from resumable._policy import RetryPolicy
from tests.core.streams import received

ASK = {"role": "user", "content": "Tell me."}
LOST = StreamInterruptedError("ReadError")
NEW, OLD = "claude-sonnet-5", "claude-haiku-4-5"


class Rig:
    """
    One session and the hand that drives it.

    Attributes:
        session: The session.
        now: [s] The clock.
        got: What the caller has received, as bytes.
    """

    def __init__(
        self, *, model: str = NEW, hold: frozenset[str] = DEFAULT_HOLD, memory: Memory | None = None, **fields: Any
    ) -> None:
        policy = {name: fields.pop(name) for name in list(fields) if name in RetryPolicy.__dataclass_fields__}
        self.now = 1000.0
        self.got = b""
        self.session = Session(
            {"model": model, "max_tokens": 8000, "messages": [ASK]} | fields,
            policy=RetryPolicy(**policy),
            hold=hold,
            memory=memory or Memory(),
            chance=lambda: 0.5,
            report=Report("s1"),
            now=self.now,
        )

    def ask(self) -> Action:
        """Say what the session wants done now."""
        return self.session.next_action(self.now)

    @property
    def message(self) -> Any:
        """The message as a strict client has read it so far; see `received`."""
        return received(self.got)

    @property
    def text(self) -> str:
        """All text the caller has."""
        return "".join(block.text for block in self.message.blocks if block.type == "text")

    @property
    def error(self) -> RecoveryError:
        """The error the session ended with."""
        action = self.ask()
        assert isinstance(action, Stop)
        assert action.error is not None
        return action.error

    def open(self) -> Plan:
        """Wait if asked to, and send the next request."""
        action = self.ask()
        if isinstance(action, Sleep):
            self.now += action.delay
            action = self.ask()
        assert isinstance(action, Open)
        return action.plan

    def begin(self, *written: bytes) -> Plan:
        """Send the next request and read the beginning of its answer."""
        plan = self.open()
        self.session.receive_response(self.now, f"req_{len(self.session.report.attempts)}")
        self.read(*written)
        return plan

    def read(self, *written: bytes, after: float = 0.0) -> bytes:
        """Let time [s] pass and read, each piece at once; return what the caller got."""
        self.now += after
        before = len(self.got)
        for piece in written:
            self.got += self.session.receive_data(piece, self.now)
        return self.got[before:]

    def lose(self, *written: bytes, failure: Any = LOST, after: float = 0.0) -> None:
        """Read what is still there, then let the attempt fail."""
        self.read(*written)
        self.now += after
        self.got += self.session.receive_failure(failure, self.now)

    def end(self, *written: bytes) -> bytes:
        """Read what is still there, then the end of the body; return what the caller got because of it."""
        self.read(*written)
        before = len(self.got)
        self.got += self.session.receive_eof(self.now)
        return self.got[before:]
