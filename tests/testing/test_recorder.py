"""Recording a real client's exchanges: nothing changes for the client, no secret is kept, every byte comes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anthropic
import anyio
import pytest

import resumable
from resumable.testing import Drop, Garbage, Recorder, Recording, Refuse, Reject, Replay, ScriptedUpstream, Text
from resumable.testing._tape import scrub, scrubbed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-ant-api03-verysecret"
ORGANIZATION = "00000000-0000-0000-0000-000000000000"
BODY: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": f"What is {KEY}?"}],
}


@pytest.fixture
def upstream(request: pytest.FixtureRequest) -> Iterator[ScriptedUpstream]:
    """Serve an answer; a parameter says what happens to it."""
    with ScriptedUpstream("markdown", getattr(request, "param", ()), vary=False, gzip=True) as served:
        yield served


def heard(client: anthropic.Anthropic, body: dict[str, Any] = BODY) -> str:
    """Stream an answer and give its text."""
    with client.messages.stream(**body) as stream:
        return stream.get_final_text()


def client_of(upstream: ScriptedUpstream) -> anthropic.Anthropic:
    """Make a bare client."""
    return anthropic.Anthropic(base_url=upstream.url, api_key=KEY, max_retries=0)


def test_a_recording_is_the_answer(upstream: ScriptedUpstream):
    """The client gets what it always got, and the recording holds the same message, decoded."""
    recorder = Recorder()
    with client_of(upstream) as client:
        text = heard(recorder.wrap(client))
    [recording] = recorder.recordings
    assert text == upstream.expected_text(BODY)
    assert recording.is_whole
    assert recording.status == 200
    assert recording.headers == (("content-type", "text/event-stream; charset=utf-8"),)
    assert recording.reply().text == text
    assert recording.body.startswith(b"event: message_start\n")
    assert len(recording.pieces) > 1


async def test_an_async_client_is_recorded_too(upstream: ScriptedUpstream):
    """The same in a task."""
    recorder = Recorder()
    async with anthropic.AsyncAnthropic(base_url=upstream.url, api_key=KEY) as client:
        async with recorder.wrap(client).messages.stream(**BODY) as stream:
            text = await stream.get_final_text()
        counted = await recorder.wrap(client).messages.count_tokens(model=BODY["model"], messages=BODY["messages"])
    [recording] = recorder.recordings
    assert counted.input_tokens
    assert recording.reply().text == text


@pytest.mark.parametrize("content", [False, True])
def test_no_secret_is_kept(upstream: ScriptedUpstream, tmp_path: Path, content):
    """Neither the key nor the organization's id is in the file, also where the caller wrote it into the prompt."""
    recorder = Recorder(tmp_path, content=content)
    with client_of(upstream) as client:
        heard(recorder.wrap(client))
    [path] = tmp_path.iterdir()
    written = path.read_text(encoding="ascii")
    assert path.name == "0001.json"
    assert KEY not in written
    assert ORGANIZATION not in written
    request = json.loads(written)["request"]
    assert request["headers"]["anthropic-version"]
    assert set(request["headers"]) <= {"anthropic-version", "anthropic-beta", "content-type"}
    if content:
        assert request["body"]["messages"] == [{"role": "user", "content": f"What is {'x' * len(KEY)}?"}]
    else:
        kept = {"model": "claude-sonnet-5", "max_tokens": 500, "number_of_messages": 1}
        assert {name: request["body"].get(name) for name in kept} == kept
        assert "messages" not in request["body"]


def test_a_secret_across_two_pieces_is_found():
    """Cuts do not hide a secret, and no piece changes its length, so the timing stays true."""
    pieces = [(0.1, b"the key sk-ant-"), (0.2, b"abc and org-1"), (0.3, b"23456 too")]
    assert scrubbed(pieces, {b"org-123456"}) == [
        (0.1, b"the key xxxxxxx"),
        (0.2, b"xxx and xxxxx"),
        (0.3, b"xxxxx too"),
    ]
    assert scrub(b"aa-bb-cc aa-bb", {b"aa-bb", b"aa-bb-cc"}) == b"xxxxxxxx xxxxx"


@pytest.mark.parametrize("upstream", [[Drop(after=20), Reject(529, headers={"retry-after-ms": "1"})]], indirect=True)
def test_every_attempt_of_a_recovered_stream_is_recorded(upstream: ScriptedUpstream):
    """Next to the network the recorder sees each attempt, and the replayed storm is recovered to the same text."""
    recorder = Recorder()
    with client_of(upstream) as client:
        text = heard(recorder.wrap(resumable.wrap(client)))
    assert [one.status for one in recorder.recordings] == [200, 529, 200]
    assert [one.ending for one in recorder.recordings] == ["lost", "eof", "eof"]
    assert [one.is_whole for one in recorder.recordings] == [False, False, True]
    assert recorder.recordings[0].error == "ReadError"
    assert recorder.recordings[1].headers[-1] == ("retry-after-ms", "1")
    replayed = ScriptedUpstream("auto", [Replay(one) for one in recorder.recordings])
    with wired(replayed) as client:
        assert heard(client) == text == upstream.expected_text(BODY)
    assert [one.status for one in replayed.log.messages] == [200, 529, 200]


def wired(upstream: ScriptedUpstream) -> anthropic.Anthropic:
    """Make a wrapped client that reaches an upstream in process."""
    transport = anthropic.DefaultHttpxClient(transport=upstream.transport())
    recovery = resumable.Resumable(clock=upstream.clock, chance=lambda: 0.5)
    return anthropic.Anthropic(api_key="any", http_client=transport, middleware=[recovery])


def test_a_file_comes_back_as_it_was(upstream: ScriptedUpstream, tmp_path: Path):
    """Writing and reading a recording loses nothing, also bytes that are no text."""
    recorder = Recorder(tmp_path)
    with client_of(upstream) as client:
        heard(recorder.wrap(client))
    [recording] = recorder.recordings
    odd = Recording({}, 200, (("content-type", "x"),), ((0.5, b"\xf0\x9f"), (0.25, b"\x8c\x8a\xff")), "closed")
    odd.save(tmp_path / "odd.json")
    assert Recording.load(tmp_path / "odd.json") == odd
    loaded = Recording.load(tmp_path / "0001.json")
    assert (loaded.body, loaded.request, loaded.headers) == (recording.body, recording.request, recording.headers)


@pytest.mark.parametrize("written", ["[]", "{}", '{"format": "other"}'])
def test_another_file_is_refused(tmp_path: Path, written):
    """What is no recording is named with the format that is wanted."""
    (tmp_path / "x.json").write_text(written, encoding="ascii")
    with pytest.raises(ValueError, match=r"x\.json is no recording of the format resumable-recording-1"):
        Recording.load(tmp_path / "x.json")


def test_files_are_numbered_on(upstream: ScriptedUpstream, tmp_path: Path):
    """A second recorder in the same folder overwrites nothing."""
    with client_of(upstream) as client:
        heard(Recorder(tmp_path).wrap(client))
        heard(Recorder(tmp_path).wrap(client))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001.json", "0002.json"]


SCRIPTS = ["text", "unicode", "thinking", "thinking_omitted", "redacted_thinking", "tools", "parallel_tools"]


@pytest.mark.parametrize("script", [*SCRIPTS, "server_tools", "citations", "json", "refusal", "max_tokens"])
def test_a_reply_is_what_was_recorded(script):
    """A reply made from a recording gives the same content and ending as the upstream that was recorded."""
    body = {**BODY, "thinking": {"type": "adaptive"}, "tools": [{"name": "t", "input_schema": {"type": "object"}}]}
    original = ScriptedUpstream(script, vary=False)
    recorder = Recorder()
    with wired(original) as client:
        message = client_final(recorder.wrap(client), body)
    faults = [] if "thinking" in script else [Drop(after=9)]  # Cut thinking is shown twice.
    again = ScriptedUpstream(recorder.recordings[0].reply(), faults)
    with wired(again) as client:
        repeated = client_final(client, body)
    assert repeated.stop_reason == message.stop_reason
    assert list(map(plain, repeated.content)) == list(map(plain, message.content))


def client_final(client: anthropic.Anthropic, body: dict[str, Any]) -> Any:
    """Stream a message and give it whole."""
    with client.messages.stream(**body) as stream:
        return stream.get_final_message()


def plain(block: Any) -> dict[str, Any]:
    """Leave out what every upstream makes up by itself: ids and signatures."""
    dumped = block.model_dump(exclude_none=True)
    return {name: value for name, value in dumped.items() if name not in {"id", "signature", "tool_use_id"}}


@pytest.mark.parametrize("upstream", [[Drop(after=20)]], indirect=True)
def test_half_a_message_makes_no_reply(upstream: ScriptedUpstream):
    """What was cut says so, and what to use instead."""
    recorder = Recorder()
    with client_of(upstream) as client, pytest.raises(Exception):  # noqa: B017, PT011  # Reason: the transport's own
        heard(recorder.wrap(client))
    with pytest.raises(ValueError, match=r"replay it with Replay\(recording\)"):
        recorder.recordings[0].reply()


@pytest.mark.parametrize(
    ("upstream", "status", "error"),
    [([Refuse("fin")], 0, "RemoteProtocolError"), ([Garbage("html200")], 200, None), ([Reject(404)], 404, None)],
    indirect=["upstream"],
    ids=["no response", "a page", "a status"],
)
def test_what_is_no_stream_is_recorded_and_replayed(upstream: ScriptedUpstream, status, error):
    """No response, a page and a status come back as they were, and a wrapped client does with them what it does."""
    recorder = Recorder()
    with client_of(upstream) as client, pytest.raises(Exception):  # noqa: B017, PT011  # Reason: the SDK's own
        heard(recorder.wrap(client))
    [recording] = recorder.recordings
    assert (recording.status, recording.error, recording.is_whole) == (status, error, False)
    again = ScriptedUpstream("text", [Replay(recording)], vary=False)
    with wired(again) as client:
        if status == 404:
            with pytest.raises(anthropic.NotFoundError):
                heard(client)
        else:
            assert heard(client) == again.expected_text(BODY)


def test_a_call_without_a_stream_is_recorded(upstream: ScriptedUpstream):
    """Its body is JSON, and it is no streamed message."""
    recorder = Recorder()
    with client_of(upstream) as client:
        message = recorder.wrap(client).messages.create(**BODY)
    [recording] = recorder.recordings
    assert json.loads(recording.body)["id"] == message.id
    assert not recording.is_whole


def test_a_caller_who_leaves_ends_the_recording(upstream: ScriptedUpstream):
    """What had come by then is kept."""
    recorder = Recorder()
    with client_of(upstream) as client:
        stream = recorder.wrap(client).messages.create(**BODY, stream=True)
        next(iter(stream))
        stream.close()
    [recording] = recorder.recordings
    assert recording.ending == "closed"
    assert recording.body.startswith(b"event: message_start")


def test_an_encoding_that_is_not_known_breaks_nothing(monkeypatch):
    """A body that cannot be decoded is kept as it travelled, with the name of its encoding."""
    from resumable.testing import _tape  # noqa: PLC0415  # Reason: only this test looks inside

    monkeypatch.setattr(_tape, "_WINDOWS", {})
    recorder = Recorder()
    with ScriptedUpstream("text", vary=False, gzip=True) as served, client_of(served) as client:
        text = heard(recorder.wrap(client))
    [recording] = recorder.recordings
    assert text == served.expected_text(BODY)
    assert recording.headers[-1] == ("content-encoding", "gzip")
    assert recording.body[:2] == b"\x1f\x8b"


def test_recorders_share(upstream: ScriptedUpstream):
    """Streams of many tasks are recorded apart."""
    recorder = Recorder()

    async def ask_all() -> None:
        async with anthropic.AsyncAnthropic(base_url=upstream.url, api_key=KEY) as client:
            wrapped = recorder.wrap(client)

            async def ask() -> None:
                async with wrapped.messages.stream(**BODY) as stream:
                    await stream.until_done()

            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(ask)

    anyio.run(ask_all)
    texts = {one.reply().text for one in recorder.recordings}
    assert (len(recorder.recordings), texts) == (8, {upstream.expected_text(BODY)})
    assert all(isinstance(block, Text) for one in recorder.recordings for block in one.reply().blocks)


async def test_an_async_stream_that_breaks_is_recorded():
    """What came before the break is kept, with how it broke; no response at all is a recording too."""
    recorder = Recorder()
    faulty = ScriptedUpstream("text", [Drop(after=20), Refuse("fin")])
    http_client = anthropic.DefaultAsyncHttpxClient(transport=faulty.async_transport())
    async with anthropic.AsyncAnthropic(api_key=KEY, http_client=http_client, max_retries=0) as client:
        for _ in range(2):
            with pytest.raises(Exception):  # noqa: B017, PT011  # Reason: the transport's own, and the SDK's
                async with recorder.wrap(client).messages.stream(**BODY) as stream:
                    await stream.until_done()
    broken, nothing = recorder.recordings
    assert (broken.status, broken.ending, broken.error) == (200, "lost", "ReadError")
    assert broken.body.startswith(b"event: message_start")
    assert (nothing.status, nothing.error) == (0, "RemoteProtocolError")
