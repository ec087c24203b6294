"""Law L7: no bytes from upstream make the library raise anything outside its error tree and the SDK's."""

from __future__ import annotations

import anthropic
import pytest
from hypothesis import strategies as st

import resumable
from resumable.testing import CONTINUERS, SCRIPTS
from tests.laws.calls import WAYS, call
from tests.laws.grammar import content_of, events_of, flaw, text_of
from tests.laws.machine import play
from tests.laws.noise import Noise, body_of, noise
from tests.laws.schedules import MODELS, Schedule, law

EXPECTED = (resumable.RecoveryError, anthropic.APIError)

_noisy = st.builds(
    Schedule,
    st.sampled_from(tuple(SCRIPTS)),
    st.sampled_from(MODELS),
    st.sampled_from(tuple(CONTINUERS)),
    st.lists(noise.map(lambda one: (one,)), min_size=1, max_size=4).map(tuple),
)


@law(_noisy, st.sampled_from(WAYS), st.booleans(), sample=150, campaign=8000)
def test_l7_totality(schedule: Schedule, way: str, is_async) -> None:
    """Whatever a body holds, a caller reads a message or gets an error of ours or the SDK's."""
    outcome = call(schedule, way=way, is_async=is_async)
    assert outcome.error is None or isinstance(outcome.error, EXPECTED), repr(outcome.error)
    unheard = [notice for notice in outcome.notices if isinstance(notice.failure, resumable.ConnectError)]
    assert not unheard, "the noise did not get through"


@law(st.lists(noise, min_size=1, max_size=4), st.sampled_from(tuple(SCRIPTS)), sample=200, campaign=8000)
def test_l7_totality_of_the_core(spoils: list[Noise], reply: str) -> None:
    """Whatever the bodies hold, the machine stops with a well-formed message or an error of recovery's."""
    answers = [one.spoil(body_of(reply)) for one in spoils]
    played = play(Schedule(reply, "claude-haiku-4-5").body, answers, [97, 1024])
    assert played.error is None or isinstance(played.error, resumable.RecoveryError)
    events = events_of(bytes(played.out))
    if played.error is None and not (events and events[-1]["type"] == "error"):
        assert flaw([event for event in events if event["event"] in _KNOWN], whole=True) is None


_KNOWN = {
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
}
_NAMES = {name.encode() for name in _KNOWN}


@law(st.lists(st.binary(max_size=400), min_size=1, max_size=3), sample=100, campaign=4000)
def test_l7_totality_of_plain_bytes(answers: list[bytes]) -> None:
    """Bytes that are no stream end in an error, recovery's or what reads as upstream's own, never in a message."""
    played = play(Schedule().body, answers, [7, 31])
    names = [line.partition(b":")[2].strip() for line in bytes(played.out).splitlines() if line.startswith(b"event:")]
    assert not _NAMES.intersection(names)
    if played.error is None:
        assert names[-1:] == [b"error"]
    else:
        assert isinstance(played.error, resumable.RecoveryError)
        assert played.error.partial is None


_DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"#"}'
)


@pytest.mark.parametrize(
    "record",
    [
        b": \x80",
        b"event: \x80\ndata: {}",
        b"id: \x80\n" + _DELTA + b"}",
        _DELTA + b',"note":"\x80"}',
        _DELTA + b',"note":1e999}',
        b'event: ping\ndata: {"type":"ping","note":"\x80"}',
        b"event: error",
        b": note\nevent: error",
        b'event: error\ndata: {"type":"ping"}',
        b'event: message_stop\ndata: {"type":"ping"}',
        b'event: ping\ndata: {"type":"new\\n\\nevent: error"}',
        _DELTA.replace(b"event: content_block_delta", b"event: ping") + b"}",
        _DELTA.replace(b"event: content_block_delta", b"event: error") + b"}",
        _DELTA.replace(b'"text_delta"', b"[]") + b"}",
        _DELTA.replace(b'"content_block_delta"', b'""') + b"}",
        _DELTA.replace(b'"type":"content_block_delta",', b"") + b"}",
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_l7_one_bad_record(record: bytes, way: str) -> None:
    """A record that a client would choke on, skip or take for an error never reaches the caller as it is."""
    good = body_of("text").split(b"\n\n")
    spoiled = Noise(instead=b"\n\n".join([*good[:6], record, *good[6:]]))
    outcome = call(Schedule(faults=((spoiled,),)), way=way)
    assert outcome.error is None, repr(outcome.error)
    events = outcome.events if way != "bytes" else events_of(outcome.body)
    assert flaw(events, whole=True) is None
    whole = outcome.upstream.expected_text(outcome.schedule.body)
    assert text_of(content_of(events)).replace("#", "") == whole


@pytest.mark.parametrize("kind", ["[]", "{}", "5", "true", "null"])
def test_l7_a_block_whose_type_is_no_text(kind: str) -> None:
    """A block whose type is no string ends the attempt: no caller and no continuation could use it."""
    good = body_of("text")
    spoiled = Noise(
        instead=good.replace(b'"content_block":{"type":"text"', b'"content_block":{"type":' + kind.encode())
    )
    outcome = call(Schedule(faults=((spoiled,),)))
    assert outcome.error is None, repr(outcome.error)
    assert isinstance(outcome.attempts[0].failure, resumable.RemoteProtocolError)
    assert text_of(content_of(outcome.events)) == text_of(outcome.expected["content"])
