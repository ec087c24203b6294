"""What recovery did, as facts: attempts, seams, waits, what was dropped, and the books (law L11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from resumable._core.books import Books, Line, Spared, line_of

# At run time too, so that the types of the fields can be looked up.
from resumable._core.continuation import Strategy  # noqa: TC001  # Reason: as above
from resumable._core.errors import AttemptError, ConnectError, UpstreamStatusError
from resumable._core.prices import PRICES, Price
from resumable._core.seam import Seam  # noqa: TC001  # Reason: as above

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Failures of the transport after which no request had been sent.
_UNSENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})


class Attempt(msgspec.Struct):
    """
    One request upstream.

    Attributes:
        number: From 1.
        strategy: How it relates to what had been delivered.
        opened_at: [s] On the session's clock.
        ended_at: [s] When it failed or the message was complete; `None` while it runs.
        failure: Why it ended badly; `None` otherwise.
        delay: [s] Waited after it.
        message_id: The API's id for what it sent.
        model: The model that answered.
        request_id: The API's `request-id`.
        usage: The API's usage, as far as it was told.
        output_tokens: [tokens] Measured where the API told them, else estimated.
        is_estimated: Whether `output_tokens` is an estimate.
        discarded: Types of the blocks that were held back and dropped with it.
        deferred: [s] Waited before it, because other workers were being refused.
    """

    number: int
    strategy: Strategy
    opened_at: float
    ended_at: float | None = None
    failure: AttemptError | None = None
    delay: float = 0.0
    message_id: str | None = None
    model: str | None = None
    request_id: str | None = None
    usage: dict[str, Any] = {}  # Reason: msgspec copies mutable defaults
    output_tokens: int = 0
    is_estimated: bool = False
    discarded: list[str] = []  # Reason: msgspec copies mutable defaults
    deferred: float = 0.0

    def write(
        self, message: dict[str, Any] | None, usage: dict[str, Any], measured: int | None, estimated: int
    ) -> None:
        """
        Write down who answered and what it cost.

        Args:
            message: `message` of its `message_start`; before that there is nothing to write.
            usage: As far as upstream told it.
            measured: [tokens] Output as upstream counted it, where it did.
            estimated: [tokens] Output otherwise.
        """
        if message is None:
            return
        self.message_id, self.model = _text(message.get("id")), _text(message.get("model"))
        self.usage = usage
        self.is_estimated = measured is None
        self.output_tokens = estimated if measured is None else measured

    def line(self, prices: Mapping[str, Price]) -> Line:
        """Write its line in the books, at the given prices by model."""
        failure = self.failure
        is_unbilled = isinstance(failure, UpstreamStatusError) or (
            isinstance(failure, ConnectError) and failure.cause_name in _UNSENT
        )
        return line_of(
            self.number,
            model=self.model,
            usage=self.usage,
            output_tokens=self.output_tokens,
            is_estimated=self.is_estimated,
            is_told=bool(self.usage) or is_unbilled or self.ended_at is None,
            prices=prices,
        )


class Report(msgspec.Struct):
    """
    What recovery did for one stream; it grows while the stream runs.

    Attributes:
        session_id: The session's ID.
        attempts: In order; at least one once the stream is open.
        seams: One for each continuation that joined.
        synthesised: Name of the ending that recovery wrote in upstream's place, or `None`.
        overdue: How many times blocks flowed live because they had been held for too long.
        saved_tokens: [tokens] Output that continuing spared, an estimate: what had been delivered at each
            seam, and would have been produced again by starting over.
        unkept: Why no store holds the session though one was to: `reason` of the `StoreUnavailableError` that was
            met when it began; `None` otherwise, and again as soon as it is kept.
    """

    session_id: str
    attempts: list[Attempt] = []  # Reason: msgspec copies mutable defaults
    seams: list[Seam] = []  # Reason: msgspec copies mutable defaults
    synthesised: str | None = None
    overdue: int = 0
    saved_tokens: int = 0
    unkept: str | None = None

    @property
    def waited(self) -> float:
        """[s] Spent waiting between attempts."""
        return sum(attempt.delay for attempt in self.attempts)

    @property
    def deferred(self) -> float:
        """[s] Spent holding back because other workers were being refused; not part of `waited`."""
        return sum(attempt.deferred for attempt in self.attempts)

    @property
    def discarded(self) -> list[str]:
        """Types of all blocks that were held back and dropped."""
        return [kind for attempt in self.attempts for kind in attempt.discarded]

    @property
    def output_tokens(self) -> int:
        """[tokens] Of all attempts together, measured and estimated."""
        return sum(attempt.output_tokens for attempt in self.attempts)

    @property
    def has_estimates(self) -> bool:
        """Whether any of the books is an estimate."""
        return any(attempt.is_estimated for attempt in self.attempts)

    def books(self, prices: Mapping[str, Price] | None = None) -> Books:
        """
        Say what it used and cost, attempt by attempt and in total, measured and estimated apart.

        Args:
            prices: List prices by model; `None` takes `resumable.prices.PRICES`.

        Returns:
            The books as they stand now; final when the stream has ended.
        """
        table = PRICES if prices is None else prices
        return Books(
            tuple(attempt.line(table) for attempt in self.attempts),
            tuple(Spared(seam.attempt, seam.removed) for seam in self.seams),
            self.saved_tokens,
        )


class Notice(msgspec.Struct, frozen=True):
    """
    One decision about a failure, as told to `on_recovery` and to the log; no content, no keys.

    Attributes:
        session_id: The session's ID.
        attempt: Number of the attempt that failed.
        failure: Why.
        verdict: `retry`, `continue`, `finish` or `give_up`.
        strategy: Of the next attempt; `None` where there is none.
        delay: [s] Until the next attempt.
    """

    session_id: str
    attempt: int
    failure: AttemptError
    verdict: str
    strategy: Strategy | None
    delay: float


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
