"""Conversations that upstream holds: how they are told again, and for how long they can be."""

from __future__ import annotations

import msgspec
import pytest

from resumable._core.threads import TTL, History, Threads, grown, is_upstreams, previous_id

ASK = {"role": "user", "content": "Tell me."}
MORE = {"role": "user", "content": "And then?"}
TEXT = {"type": "text", "text": "It is so."}
CREATE = {"model": "m", "system": "Be kind.", "tools": [], "messages": [ASK], "thread": {"type": "create"}}
SAID = {"role": "assistant", "content": [TEXT]}


def going_on(message_id="m1", *messages):
    """Write a request that continues from a message."""
    thread = {"type": "continue", "previous_message_id": message_id}
    return {"model": "m", "max_tokens": 9, "messages": list(messages), "thread": thread}


def history(before=None, body=None, content=(TEXT,)):
    """Add a turn that can be written down."""
    made = grown(before, body or CREATE, list(content))
    assert made is not None
    return made


def sized(size):
    """Make a history that counts as so large."""
    return History(b"{}", (), size)


@pytest.mark.parametrize(
    ("thread", "expected"),
    [
        (None, None),
        ("continue", None),
        ({"type": "create"}, None),
        ({"type": "continue", "previous_message_id": "m1"}, "m1"),
        ({"type": "continue"}, "None"),
    ],
)
def test_a_continue_names_its_message(thread, expected):
    """What carries its conversation itself names none; what names none properly is known nowhere."""
    assert previous_id({"thread": thread}) == expected


def test_a_continue_is_rebuilt_as_a_create():
    """The whole conversation, with what the thread was created with, and the rest as the request itself says."""
    two = history(history(), going_on("m1", MORE))
    asked = going_on("m2", ASK)
    assert two.whole(asked) == {
        "system": "Be kind.",
        "tools": [],
        "model": "m",
        "max_tokens": 9,
        "messages": [ASK, SAID, MORE, SAID, ASK],
        "thread": {"type": "create"},
    }
    assert asked == going_on("m2", ASK)


def test_what_the_caller_changes_later_changes_no_history():
    """A conversation is kept as it was sent, whatever becomes of the caller's own objects."""
    message = dict(ASK)
    kept = history(None, CREATE | {"messages": [message]})
    message["content"] = "Something else."
    assert kept.whole(going_on())["messages"] == [ASK, SAID]


def test_a_reply_without_content_is_no_turn():
    """An empty assistant message would be refused."""
    assert history(content=[]).whole(going_on("m1", MORE))["messages"] == [ASK, MORE]


@pytest.mark.parametrize("messages", [None, "Tell me."])
def test_messages_that_are_no_list_are_left_out(messages):
    """Upstream refuses them by itself; here they must not do harm."""
    kept = history(None, CREATE | {"messages": messages})
    assert kept.whole(going_on() | {"messages": messages})["messages"] == [SAID]


@pytest.mark.parametrize("body", [CREATE | {"system": object()}, CREATE | {"messages": [object()]}])
def test_what_is_no_json_is_not_kept(body):
    """An object that only the SDK knows how to write cannot be told again."""
    assert grown(None, body, [TEXT]) is None
    if body["system"] == "Be kind.":
        assert grown(history(), body, [TEXT]) is None


def test_conversations_share_their_beginning():
    """Each turn costs what is new in it; the size is that of all the JSON."""
    one = history()
    two = history(one, going_on("m1", MORE))
    assert two.turns[0] is one.turns[0]
    assert two.size == len(two.fields) + sum(map(len, two.turns))
    assert msgspec.json.decode(two.turns[1]) == [MORE, SAID]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [(("m1", "m1", None), True), (("m1", "m2", None), False), (("m1", None, None), False), (("m1", "m1", "x"), False)],
)
def test_only_one_whole_attempt_is_upstreams_own_reply(facts, expected):
    """What was stitched, or ended by us, upstream may hold in other words."""
    assert is_upstreams(*facts) is expected


def test_a_conversation_is_found_until_its_time_is_over():
    """Upstream forgets it too."""
    threads = Threads()
    threads.keep("m1", one := history(), 100.0)
    assert threads.find("m1", 100.0) is one
    assert threads.find("m1", 99.9 + TTL) is one
    assert threads.find("m1", 100.0 + TTL) is None
    assert threads.find("m2", 100.0) is None


def test_what_is_over_is_dropped_by_the_next():
    """Nothing lies about for ever, and what is new stays."""
    threads = Threads(ttl=10.0)
    threads.keep("m1", sized(3), 0.0)
    threads.keep("m2", sized(4), 5.0)
    assert threads.size == 7
    threads.keep("m3", sized(5), 10.0)
    assert threads.size == 9
    assert [threads.find(name, 10.0) is None for name in ("m1", "m2", "m3")] == [True, False, False]


def test_the_oldest_goes_where_there_is_no_room():
    """Size is bounded; what alone is too large is not kept either."""
    threads = Threads(max_bytes=10)
    threads.keep("m1", sized(6), 0.0)
    threads.keep("m2", sized(5), 1.0)
    assert [threads.find(name, 1.0) is None for name in ("m1", "m2")] == [True, False]
    threads.keep("m3", sized(11), 2.0)
    assert (threads.find("m3", 2.0), threads.size) == (None, 0)


def test_a_turn_takes_the_place_of_the_one_before():
    """Upstream lets nobody continue a second time from a message; one that is kept again counts once."""
    threads = Threads()
    threads.keep("m1", sized(6), 0.0)
    threads.keep("m2", sized(7), 0.0, after="m1")
    threads.keep("m2", sized(8), 0.0, after="m0")
    assert (threads.find("m1", 0.0), threads.size) == (None, 8)


def test_a_stitched_reply_is_known_for_as_long_as_upstream_may_hold_it():
    """Then its id means nothing to anybody."""
    threads = Threads(ttl=10.0)
    threads.mark_stitched("m1", 0.0)
    threads.mark_stitched("m2", 5.0)
    threads.mark_stitched("m1", 6.0)
    assert [threads.is_stitched(name, 10.0) for name in ("m0", "m1", "m2")] == [False, True, True]
    assert not threads.is_stitched("m2", 15.0)
    threads.mark_stitched("m3", 15.5)
    assert list(threads._stitched) == ["m1", "m3"]


def test_there_is_room_for_so_many_stitched_replies():
    """Their number is bounded; the oldest goes."""
    threads = Threads()
    for number in range(10_001):
        threads.mark_stitched(f"m{number}", 0.0)
    assert not threads.is_stitched("m0", 0.0)
    assert threads.is_stitched("m1", 0.0)


def test_nothing_is_remembered_for_no_time():
    """A time of 0 turns it off."""
    threads = Threads(ttl=0.0)
    threads.mark_stitched("m1", 0.0)
    threads.keep("m1", sized(1), 0.0)
    assert (threads.is_stitched("m1", 0.0), threads.find("m1", 0.0), threads.size) == (False, None, 0)
