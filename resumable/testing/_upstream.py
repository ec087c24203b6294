"""
The scripted upstream: an endpoint that speaks the Messages API, and suffers the faults it is told to.

It decides what every request gets; `_server` and `_transport` only carry that out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import msgspec

from ._answer import Answer, Ending, Fault, error_body
from ._clock import ManualClock
from ._continuers import CONTINUERS, Continuer
from ._conversation import Conversation, normalised, prefix_mark
from ._exchange import Exchange
from ._faults import FaultPlan, reaches_model, suffer
from ._frames import Frame, Outline, Rendered, render
from ._log import Recorded, RequestLog
from ._model import Model, Speech
from ._platforms import MESSAGES, Arrival, arrive
from ._replies import Json, Reply, fingerprint
from ._rules import Refusal, accepts_prefill, first_flaw, unreadable
from ._scripts import Script, as_script
from ._server import Server
from ._signatures import signature
from ._threads import Threads
from ._usage import PromptCache, input_tokens

if TYPE_CHECKING:
    from types import TracebackType

    from ._transport import AsyncScriptedTransport, ScriptedTransport

Plan: TypeAlias = FaultPlan | Callable[[int, Recorded], Fault | Sequence[Fault] | None]
_MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-4-5", "claude-sonnet-4-5")
_MAX_BODY = 32 * 1024 * 1024
_OLD_VERSION = "2023-06-01"
_NO_JSON = Refusal(400, "invalid_request_error", "The request body is not valid JSON")


class ScriptedUpstream:
    """
    An upstream that answers from a script, over HTTP or in process, on every platform that has the Messages API.

    As a context manager it serves HTTP on the loopback interface, in a thread of its own, until it is left. Without
    one, `transport` and `async_transport` answer in process. All of it is safe to use from any thread.

    Attributes:
        log: What was asked so far.
        clock: The time that passes in process.
        gzip: Whether bodies are compressed for clients that accept it.
        max_body_bytes: [bytes] A larger request gets a 413.
    """

    def __init__(  # noqa: PLR0913  # Reason: one keyword for each thing a test may want to say
        self,
        reply: str | Reply | Script | Sequence[Reply] = "auto",
        faults: Plan = (),
        continuer: str | Continuer = "anchor",
        *,
        vary: bool = True,
        prefill: Callable[[str], bool] = accepts_prefill,
        keys: Sequence[str] | None = None,
        ping_every: int = 20,
        forgets_threads: bool = False,
        gzip: bool = False,
        clock: ManualClock | None = None,
        max_body_bytes: int = _MAX_BODY,
    ) -> None:
        """
        Make an upstream; nothing is started yet.

        Args:
            reply: What the model says: the name of a ready-made script, a reply, one for each plain retry, or a
                function from a conversation to a reply.
            faults: The i-th request for a message suffers the i-th fault, later ones none; or a function of the
                attempt's number (from 1) and the request.
            continuer: How a model without prefill goes on when it is asked to.
            vary: Whether a plain retry gets other words, as from a real model.
            prefill: Which models continue a trailing assistant message.
            keys: The API keys that are accepted; ``None`` accepts any.
            ping_every: [deltas] Distance between pings; 0 sends none.
            forgets_threads: Whether no message thread is ever held.
            gzip: Whether bodies are compressed for clients that accept it.
            clock: The time that passes in process; ``None`` makes one.
            max_body_bytes: [bytes] A larger request gets a 413.
        """
        chosen = CONTINUERS[continuer] if isinstance(continuer, str) else continuer
        self._model = Model(as_script(reply), chosen, vary=vary)
        self._faults = faults
        self._prefill = prefill
        self._keys = keys
        self._ping_every = ping_every
        self._threads = Threads(forgets_threads)
        self._cache = PromptCache()
        self._guard = threading.Lock()
        self._attempts = 0
        self._server: Server | None = None
        self.gzip = gzip
        self.max_body_bytes = max_body_bytes
        self.clock: ManualClock = ManualClock() if clock is None else clock
        self.log: RequestLog = RequestLog()

    # Serving

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve HTTP on a free port of the loopback interface; a second call does nothing."""
        if self._server is None:
            server = Server(self)
            server.start()
            self._server = server

    def stop(self) -> None:
        """Close every connection and end the server's thread; a second call does nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @property
    def url(self) -> str:
        """
        Address to give to a client as its base URL; stays valid until `stop`.

        Raises:
            RuntimeError: The upstream does not serve HTTP: use it in a ``with``, or call `start`.
        """
        if self._server is None:
            message = "the upstream is not started: use it in a `with`, or call start()"
            raise RuntimeError(message)
        return self._server.url

    def transport(self) -> ScriptedTransport:
        """Make a transport for a sync HTTP client that answers in process and in virtual time."""
        from ._transport import ScriptedTransport  # noqa: PLC0415  # Reason: HTTP use must not need the SDK

        return ScriptedTransport(self)

    def async_transport(self) -> AsyncScriptedTransport:
        """Make a transport for an async HTTP client that answers in process and in virtual time."""
        from ._transport import AsyncScriptedTransport  # noqa: PLC0415  # Reason: HTTP use must not need the SDK

        return AsyncScriptedTransport(self)

    # Expectations

    def expected_message(self, request: Mapping[str, Any] | str, variant: int = 0) -> Json:
        """
        Give the message a request gets when nothing goes wrong.

        Args:
            request: The body of the original request, or the text of its only user message.
            variant: Number of plain retries before it; see `Recorded.variant`.

        Returns:
            The message; its ``id`` and ``usage`` are not those of any real answer.
        """
        if isinstance(request, str):
            request = {"model": _MODELS[0], "max_tokens": 10**6, "messages": [{"role": "user", "content": request}]}
        body = dict(request)
        with self._guard:
            speech = self._model.say(Conversation.from_body(body, normalised(body["messages"]), variant))
            return self._render(body, speech, "msg_expected", {"input_tokens": 1}).message

    def expected_text(self, request: Mapping[str, Any] | str, variant: int = 0) -> str:
        """
        Give the text a request gets when nothing goes wrong.

        Args:
            request: The body of the original request, or the text of its only user message.
            variant: Number of plain retries before it; see `Recorded.variant`.

        Returns:
            All text blocks, joined.
        """
        content = self.expected_message(request, variant)["content"]
        return "".join(block["text"] for block in content if block["type"] == "text")

    # Exchanges

    def exchange(self, method: str, target: str, headers: Mapping[str, str], payload: bytes) -> Exchange:
        """
        Decide what a request gets.

        Args:
            method: HTTP method.
            target: Path and query.
            headers: Names in lower case.
            payload: The body.

        Returns:
            The exchange, to be carried out and then given to `settle`.
        """
        path, _, query = target.partition("?")
        arrival = arrive(path, headers, _parsed(payload))
        is_message = method == "POST" and arrival.path == MESSAGES
        with self._guard:
            self._attempts += is_message
            recorded = Recorded(
                number=len(self.log) + 1,
                attempt=self._attempts if is_message else 0,
                method=method,
                path=path,
                query=query,
                headers=dict(arrival.headers),
                body=arrival.body,
                platform=arrival.platform.name,
            )
            exchange = self._decide(recorded, len(payload), arrival)
            recorded.status = 0 if exchange.answer.ending.early else exchange.answer.status
            self.log.add(recorded)
        return exchange

    def settle(self, exchange: Exchange, *, whole: bool, client_closed: bool = False) -> None:
        """
        Note how an exchange ended; a second call for the same one does nothing.

        Args:
            exchange: What `exchange` gave.
            whole: Whether every byte of the answer was sent.
            client_closed: Whether the client closed before that.
        """
        recorded = exchange.recorded
        if recorded.done:
            return
        recorded.whole = whole and exchange.answer.whole
        recorded.client_closed = client_closed
        with self._guard:
            if exchange.body is not None and exchange.expanded is not None:
                reply = exchange.message if recorded.whole else None
                self._threads.settle(exchange.body, exchange.expanded, reply)
        self.log.finish(recorded)

    def _decide(self, recorded: Recorded, size: int, arrival: Arrival) -> Exchange:
        request_id = f"req_{fingerprint(recorded.number)[:24]}"
        headers = (("request-id", request_id), ("anthropic-organization-id", "00000000-0000-0000-0000-000000000000"))
        exchange = Exchange(Answer(200, headers, ()), recorded)
        refusal = self._unauthorised(recorded, size) or arrival.refusal
        if refusal is None and not recorded.attempt:
            exchange.answer = _other(recorded, headers)
            return exchange
        speech = self._listen(exchange) if refusal is None else None
        faults = self._faults_of(recorded) if recorded.attempt else None
        said = reaches_model(faults)
        if isinstance(speech, Speech):
            self._model.remember(speech, said=said)
            if said:
                self._answer(exchange, speech)
        else:
            exchange.answer = _refused(refusal or speech or _NO_JSON, headers)
        # Before the faults, so that they cut what is on the wire; after them, so that errors have the form too.
        dress = arrival.platform.dress
        exchange.answer = dress(suffer(dress(exchange.answer), faults))
        return exchange

    def _unauthorised(self, recorded: Recorded, size: int) -> Refusal | None:
        if size > self.max_body_bytes:
            return Refusal(413, "request_too_large", "Request exceeds the maximum size")
        if recorded.method == "HEAD":
            return None
        bearer = recorded.headers.get("authorization", "").removeprefix("Bearer ").strip()
        key = recorded.headers.get("x-api-key") or bearer
        if not key:
            return Refusal(401, "authentication_error", "x-api-key header is required")
        if self._keys is not None and key not in self._keys:
            return Refusal(401, "authentication_error", "invalid x-api-key")
        return None

    def _faults_of(self, recorded: Recorded) -> Fault | Sequence[Fault] | None:
        if callable(self._faults):
            return self._faults(recorded.attempt, recorded)
        place = recorded.attempt - 1
        return self._faults[place] if place < len(self._faults) else None

    def _listen(self, exchange: Exchange) -> Speech | Refusal | None:
        """Find what is said to a request, or why it is refused."""
        recorded = exchange.recorded
        if recorded.body is None:
            return None
        body = self._threads.expand(recorded.body, recorded.headers)
        if isinstance(body, Refusal):
            return body
        exchange.body, exchange.expanded = recorded.body, body
        flaw = unreadable(body.get("messages"))
        if flaw is not None:
            return flaw
        messages = normalised(body.get("messages"))
        if not messages:
            return first_flaw(body, version=_OLD_VERSION)
        speech = self._model.speak(body, messages)
        recorded.strategy, recorded.variant = speech.strategy, speech.conversation.variant
        version = recorded.headers.get("anthropic-version", _OLD_VERSION)
        paused = speech.strategy == "pause"
        return first_flaw(body, version=version, prefill=self._prefill, paused=paused) or speech

    def _answer(self, exchange: Exchange, speech: Speech) -> None:
        recorded, body = exchange.recorded, exchange.expanded
        assert body is not None
        recorded.message_id = f"msg_{fingerprint(speech.conversation.seed, recorded.number)[:24]}"
        rendered = self._render(body, speech, recorded.message_id, self._cache.usage(body))
        exchange.message = rendered.message
        headers = exchange.answer.headers
        if body.get("stream"):
            media = ("content-type", "text/event-stream; charset=utf-8")
            exchange.answer = Answer(200, (*headers, media, ("cache-control", "no-cache")), rendered.frames)
        else:
            exchange.answer = _json(200, headers, msgspec.json.encode(rendered.message))

    def _render(self, body: Json, speech: Speech, message_id: str, usage: Json) -> Rendered:
        messages = normalised(body["messages"])
        model = str(body["model"])
        # A trailing assistant message is merged with the answer, so the answer is bound to what is before both.
        before = messages[:-1] if messages[-1]["role"] == "assistant" else messages
        prefix = prefix_mark(body, before)
        outline = Outline(
            blocks=speech.blocks,
            stop_reason=speech.stop_reason,
            model=model,
            message_id=message_id,
            seed=speech.conversation.seed,
            sign=lambda text, number: signature(model, prefix, text, number),
            usage=usage,
            max_tokens=int(body["max_tokens"]),
            stop_sequences=tuple(body.get("stop_sequences") or ()),
            stop_sequence=speech.reply.stop_sequence,
            stop_details=None if speech.reply.stop_details is None else dict(speech.reply.stop_details),
            ping_every=self._ping_every,
        )
        return render(outline)

    def __repr__(self) -> str:
        return f"<ScriptedUpstream: {len(self.log)} requests>"


def _parsed(payload: bytes) -> Json | None:
    try:
        body = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return None
    return body if isinstance(body, dict) else None


def _json(status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> Answer:
    return Answer(status, (*headers, ("content-type", "application/json")), (Frame(body),), length=len(body))


def _refused(refusal: Refusal, headers: tuple[tuple[str, str], ...]) -> Answer:
    request_id = dict(headers)["request-id"]
    body = error_body(refusal.type, refusal.message, error_code=refusal.error_code, request_id=request_id)
    return replace(_json(refusal.status, headers, body), whole=False)


def _other(recorded: Recorded, headers: tuple[tuple[str, str], ...]) -> Answer:
    """Answer the few paths beside the one for messages."""
    if recorded.method == "HEAD":
        return Answer(200, headers, (), Ending(), length=0)
    if recorded.method == "POST" and recorded.path == "/v1/messages/count_tokens":
        return _json(200, headers, msgspec.json.encode({"input_tokens": input_tokens(recorded.body or {})}))
    if recorded.method == "GET" and recorded.path == "/v1/models":
        created = "2026-01-01T00:00:00Z"
        models = [{"type": "model", "id": name, "display_name": name, "created_at": created} for name in _MODELS]
        page = {"data": models, "has_more": False, "first_id": _MODELS[0], "last_id": _MODELS[-1]}
        return _json(200, headers, msgspec.json.encode(page))
    return _refused(Refusal(404, "not_found_error", "Not found"), headers)
