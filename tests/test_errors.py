"""The sentences of the errors, the tree in their docstring, and that they survive a pickle and a copy."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from resumable._core import errors, store_errors
from resumable._core.errors import (
    AttemptError,
    ConfigurationError,
    ConnectError,
    Exhausted,
    LocalProtocolError,
    NotContinuableError,
    Obstacle,
    RecoveryError,
    RemoteProtocolError,
    ResumableError,
    RetriesExhaustedError,
    SeamError,
    SeamMissedError,
    StreamInterruptedError,
    StreamStalledError,
    UpstreamEventError,
    UpstreamStatusError,
)
from resumable._core.store_errors import (
    CursorError,
    DivergedError,
    FencedError,
    LeaseHeldError,
    LogLostError,
    LogRewoundError,
    SealedError,
    SeqExpiredError,
    SessionConflictError,
    SessionEndedError,
    SessionForbiddenError,
    SessionNotFoundError,
    SessionSchemaError,
    StoreError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

LOST = StreamInterruptedError("ReadError", 512)
LOST_SENTENCE = "the stream ended after 512 bytes, before the message did (ReadError)"
SECRET = "what the model said"
PARTIAL = {"role": "assistant", "content": [{"type": "text", "text": SECRET}]}

SENTENCES: list[tuple[ResumableError, str]] = [
    (
        ConfigurationError("max_wait", "-1 is out of range", "pass a positive number"),
        "max_wait: -1 is out of range; pass a positive number",
    ),
    (LocalProtocolError("OPEN", "DONE"), "OPEN is not allowed in state DONE"),
    (ConnectError("ConnectError"), "no response arrived (ConnectError)"),
    (ConnectError("ConnectTimeout", is_timeout=True), "no response arrived (ConnectTimeout)"),
    (ConnectError("ConnectError", is_certificate=True), "TLS refused the server's certificate (ConnectError)"),
    (UpstreamStatusError(502), "upstream answered 502 (no error type)"),
    (UpstreamStatusError(529, "overloaded_error"), "upstream answered 529 (overloaded_error)"),
    (
        UpstreamStatusError(429, "rate_limit_error", "ramp_limit_exceeded", 2.5, should_retry=True),
        "upstream answered 429 (ramp_limit_exceeded)",
    ),
    (
        UpstreamStatusError(400, "invalid_request_error", None, None, should_retry=False, is_prefill_refusal=True),
        "upstream answered 400 (invalid_request_error)",
    ),
    (UpstreamEventError(None), "upstream sent an error event (no error type)"),
    (UpstreamEventError("api_error"), "upstream sent an error event (api_error)"),
    (
        UpstreamEventError("overloaded_error", "compaction_unavailable", b"event: error\n\n"),
        "upstream sent an error event (compaction_unavailable)",
    ),
    (StreamInterruptedError("EOF"), "the stream ended after 0 bytes, before the message did (EOF)"),
    (LOST, LOST_SENTENCE),
    (StreamStalledError("bytes", 180.0), "upstream stalled: the bytes watchdog allows 180 s"),
    (StreamStalledError("progress", 0.25), "upstream stalled: the progress watchdog allows 0.25 s"),
    (
        RemoteProtocolError("index 3 follows 1"),
        "upstream sent what is not a message stream: index 3 follows 1",
    ),
    (SeamMissedError("diverged"), "the continuation did not join (diverged)"),
    (RecoveryError(2, LOST), f"the stream could not be recovered after 2 attempts: {LOST_SENTENCE}"),
    *(
        (
            RetriesExhaustedError(10, LOST, PARTIAL, "s1", limit),
            f"gave up after 10 attempts (limit: {limit.value}): {LOST_SENTENCE}",
        )
        for limit in (Exhausted.ATTEMPTS, Exhausted.NO_PROGRESS, Exhausted.WAITING, Exhausted.TOTAL)
    ),
    (
        RetriesExhaustedError(1, UpstreamStatusError(401), limit=Exhausted.TERMINAL),
        "the failure does not heal by waiting: upstream answered 401 (no error type)",
    ),
    (
        RetriesExhaustedError(1, UpstreamStatusError(429), PARTIAL, "s1", Exhausted.RETRY_AFTER, 3600.0),
        ("upstream asks to come back in 3600 s, longer than the policy waits: upstream answered 429 (no error type)"),
    ),
    (
        RetriesExhaustedError(1, LOST, limit=Exhausted.RETRY_AFTER),
        f"gave up after 1 attempts (limit: longest acceptable retry-after): {LOST_SENTENCE}",
    ),
    *(
        (
            NotContinuableError(2, LOST, PARTIAL, "s1", obstacle),
            f"cannot continue: {obstacle.value}; first failure: {LOST_SENTENCE}",
        )
        for obstacle in Obstacle
    ),
    (
        NotContinuableError(2, LOST, PARTIAL, "s1", Obstacle.UNKNOWN_BLOCK, "hologram"),
        f"cannot continue: an unknown block was delivered unfinished [hologram]; first failure: {LOST_SENTENCE}",
    ),
    (
        SeamError(3, SeamMissedError("diverged"), PARTIAL, "s1"),
        (
            "no continuation joined with certainty after 3 attempts (the continuation did not join (diverged)); "
            "keep the partial, or set on_uncertain='join' to accept a seam that is not verified"
        ),
    ),
    (
        StoreUnavailableError("timeout", "TimeoutError"),
        "the store cannot be used: timeout (TimeoutError)",
    ),
    (
        StoreUnavailableError("auth", "AuthenticationError", retryable=False),
        "the store cannot be used: auth (AuthenticationError), and waiting does not help",
    ),
    (LeaseHeldError("s1", "host:7:x", 12.5), "session s1 is written by host:7:x, for another 12.5 s at least"),
    (FencedError("s1", 5, 7, "host:7:x"), "session s1 is no longer yours: token 5 is behind 7 (host:7:x)"),
    (FencedError("s1", 5, 7), "session s1 is no longer yours: token 5 is behind 7 (nobody)"),
    (
        DivergedError("s1", 41, PARTIAL),
        "session s1 was taken over, and what was delivered here after event 41 is not in its log",
    ),
    (SessionNotFoundError("s1"), "there is no session s1, or no longer"),
    (SessionEndedError("s1", "cancelled", 41), "session s1 is over (cancelled) with event 41"),
    (
        SessionConflictError("s1"),
        "session s1 was opened with another request; choose another ID or delete the session",
    ),
    (SessionForbiddenError("s1"), "session s1 belongs to another principal"),
    *(
        (SealedError("s1", reason, "2026-11"), f"session s1 cannot be opened: {why}")
        for reason, why in {
            "no_key": "it is encrypted with key '2026-11', which this process does not have",
            "wrong_key": "the key that this process calls '2026-11' is not the one it is encrypted with",
            "shredded": "its data key was deleted, and its content with it",
            "altered": "something in it is not what was written there",
            "new": "new",
        }.items()
    ),
    (
        SessionSchemaError("s1", "2.1", 1),
        "session s1 was written with schema 2.1; this version reads schemas up to 1",
    ),
    (CursorError("$", "not of the form <token>-<seq>"), "cursor '$': not of the form <token>-<seq>"),
    (SeqExpiredError("s1", 3, 40), "event 3 of session s1 is gone; the log begins with 40"),
    (
        LogRewoundError("s1", 60, 10),
        "the log of session s1 went back: events after 10 were lost, of which you have seen up to 60",
    ),
    (
        LogLostError("s1", "log"),
        "the store lost the log of session s1; is its eviction policy noeviction?",
    ),
]
EVERY = [error for error, _ in SENTENCES]


def family(cls: type[ResumableError]) -> Iterator[type[ResumableError]]:
    """Walk the classes in the order of their definition, parents first."""
    yield cls
    for child in cls.__subclasses__():
        # The middleware makes children that carry their parent's name and module; they are no part of the tree.
        if {**vars(errors), **vars(store_errors)}.get(child.__name__) is child:
            yield from family(child)


def depth(cls: type[ResumableError]) -> int:
    """Count the steps down from the root of the tree."""
    return cls.__mro__.index(ResumableError)


def drawn_branch(module: ModuleType) -> list[tuple[int, str]]:
    """Read the names and depths from the drawing in a module's docstring."""
    lines = (module.__doc__ or "").partition("::\n\n")[2].splitlines()
    return [
        (len(line.partition("── ")[0]) // 4 if "──" in line else 0, line.partition("── ")[2] or line.strip())
        for line in lines
        if line.strip()
    ]


def drawn_tree() -> list[tuple[int, str]]:
    """Put the branch of the store in the place where the tree names it."""
    *tree, (level, name) = drawn_branch(errors)
    branch = [(below + level, text) for below, text in drawn_branch(store_errors)]
    assert name.split()[0] == branch[0][1].split()[0]
    return [*tree, *branch]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=range(len(SENTENCES)))
def test_every_error_makes_its_sentence(error: ResumableError, sentence: str):
    """Each sentence, word for word; one line, without a full stop."""
    assert str(error) == sentence
    assert "\n" not in sentence
    assert not sentence.endswith(".")


def test_every_class_that_has_a_sentence_is_in_the_table():
    """A new error class, or a limit without a sentence, fails here until it has one."""
    without = {ResumableError, AttemptError, StoreError}  # bases that are never made
    assert {type(error) for error in EVERY} == set(family(ResumableError)) - without
    assert {error.limit for error in EVERY if isinstance(error, RetriesExhaustedError)} == set(Exhausted)
    assert {error.reason for error in EVERY if isinstance(error, NotContinuableError)} == set(Obstacle)


def test_the_drawn_tree_is_the_tree():
    """The docstring of the module draws every class, in order, under its parent."""
    drawn = [(level, text.split()[0]) for level, text in drawn_tree()]
    assert drawn == [(depth(cls), cls.__name__) for cls in family(ResumableError)]


def test_every_class_but_the_root_says_in_the_tree_what_it_means():
    """Each name in the drawing is followed by whose fault it is, or what happened."""
    assert all(len(text.split()) > 2 for level, text in drawn_tree() if level)


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy], ids=range(3))
@pytest.mark.parametrize("error", EVERY, ids=range(len(EVERY)))
def test_an_error_survives_whole(error: ResumableError, again: Callable[[ResumableError], ResumableError]):
    """Pickled or copied, an error keeps its class, its facts and its sentence."""
    twin = again(error)
    assert type(twin) is type(error)
    assert facts(twin) == facts(error)
    assert str(twin) == str(error)
    assert repr(twin) == repr(error)


def facts(error: ResumableError) -> dict[str, Any]:
    """Return the attributes, with the failures inside as their own facts: errors compare by identity."""
    return {
        name: (type(value), facts(value)) if isinstance(value, ResumableError) else value
        for name, value in vars(error).items()
    }


@pytest.mark.parametrize("error", EVERY, ids=range(len(EVERY)))
def test_every_argument_is_an_attribute_and_in_args(error: ResumableError):
    """What the constructor took is all there, under its own name and in order."""
    names = list(inspect.signature(type(error)).parameters)
    assert error.args == tuple(getattr(error, name) for name in names)
    assert list(vars(error)) == names


@pytest.mark.parametrize("error", [error for error in EVERY if isinstance(error, RecoveryError)])
def test_what_the_model_said_is_in_the_attribute_only(error: RecoveryError):
    """The partial is for the caller; no sentence and no repr quotes it."""
    assert SECRET not in str(error)
    assert SECRET not in repr(error)
    assert repr(error).startswith(f"{type(error).__name__}(attempts={error.attempts}, last=")


def test_what_was_delivered_beside_the_log_is_in_the_attribute_only():
    """A partial that diverged is for the caller too."""
    error = DivergedError("s1", 41, PARTIAL)
    assert repr(error) == "DivergedError(session_id='s1', last_seq=41)"
    assert SECRET not in str(error)


def test_the_frame_of_an_error_event_is_in_the_attribute_only():
    """Upstream's words go to the caller as they came; no sentence and no repr quotes them, not even an outer one."""
    error = UpstreamEventError("api_error", None, SECRET.encode())
    outer = RecoveryError(1, error)
    assert repr(error) == "UpstreamEventError(error_type='api_error', error_code=None)"
    assert not [text for text in (str(error), repr(error), str(outer), repr(outer)) if SECRET in text]


def test_a_caller_may_catch_a_bad_argument_as_a_value_error():
    """Python's own word for it works too."""
    assert issubclass(ConfigurationError, ValueError)
