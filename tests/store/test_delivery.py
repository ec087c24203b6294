"""How a flight reaches its servers, whatever they answer; with servers that are functions."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from resumable._core.store_errors import StoreUnavailableError
from resumable.store import Vitals
from resumable.store._keys import Keys
from resumable.store.cluster._delivery import (
    PATIENCE,
    ROUNDS,
    Barrier,
    Parcel,
    Pause,
    Redirect,
    Unknown,
    deliver,
    find,
    survey,
)
from resumable.store.cluster._places import Node, Primary, Slots, slot_of
from resumable.store.redis._commands import Command, run
from resumable.store.redis._scripts import APPEND, HINT, LOOK
from tests.store.commands import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

A, B = Node("a", 1), Node("b", 2)
KEYS = Keys()
TRY_AGAIN = StoreUnavailableError("cluster", "TRYAGAIN")
LOST = StoreUnavailableError("connection", "ConnectionError")
SILENT = StoreUnavailableError("timeout", "TimeoutError")
OK = [b"OK"]


def named(node: Node, below: int = 8192) -> str:
    """Find a session whose keys are at a node of `Fleet`."""
    return next(name for name in map(str, range(100)) if (slot_of(f"{{{name}}}") < below) is (node == A))


AT_A, AT_B = named(A), named(B)


def look(name: str) -> Command:
    """Ask for a session."""
    return run(LOOK, KEYS.session(name)[:2])


def add(name: str, mark: str = "") -> Command:
    """Write to a session."""
    return run(APPEND, KEYS.session(name), mark)


class Fleet:
    """
    Two servers with half of the slots each.

    Attributes:
        sent: What every round sent, by node; pauses as numbers.
        answers: What comes next for a key, instead of `OK`.
        absent: What a node fails with.
    """

    def __init__(self, places: Slots | Primary | None = None) -> None:
        self.places = places or Slots([A, B])
        self.sent: list[Any] = []
        self.answers: dict[str, deque[Any]] = {}
        self.absent: dict[Node, StoreUnavailableError] = {}
        self.replicas = 1
        self.map: Any = [[0, 8191, [b"a", 1, b""]], [8192, 16383, [b"b", 2, b""]]]

    def drive(self, delivery: Any) -> Any:
        """Be the driver of a delivery."""
        try:
            step = next(delivery)
            while True:
                step = delivery.send(self._take(step))
        except StopIteration as done:
            return done.value

    def deliver(self, flight: Sequence[Command], **options: Any) -> Any:
        """Deliver a flight."""
        return self.drive(deliver(self.places, flight, **options))

    def _take(self, step: Any) -> Sequence[Any]:
        if isinstance(step, Pause):
            self.sent.append(step.seconds)
            return ()
        self.sent.append({parcel.node: [plain(words)[0] for words in parcel.commands] for parcel in step})
        return [self._answer(parcel) for parcel in step]

    def _answer(self, parcel: Parcel) -> Any:
        if parcel.node in self.absent:
            return self.absent[parcel.node]
        return [self._reply(plain(words)) for words in parcel.commands]

    def _reply(self, words: Sequence[str]) -> Any:
        match words[0]:
            case "CLUSTER":
                return self.map
            case "SENTINEL":
                return [b"a", b"1"]
            case "WAIT":
                return self.replicas
            case "INFO":
                return b"run_id:x\r\nuptime_in_seconds:7\r\nrole:master\r\n"
            case "EVALSHA" | "EVAL":
                queue = self.answers.get(words[3].partition("{")[2].partition("}")[0])
                return queue.popleft() if queue else OK
            case _:
                return OK


@pytest.fixture
def fleet() -> Fleet:
    """Two servers that serve."""
    return Fleet()


MAP = {A: ["CLUSTER"]}


def test_each_node_gets_its_own(fleet):
    """A flight is split by node and put together again; where keys are is asked once."""
    flight = [look(AT_B), look(AT_A), look(AT_B)]
    fleet.answers = {AT_A: deque(["a"]), AT_B: deque(["b", "c"])}
    assert fleet.deliver(flight) == ["b", "a", "c"]
    assert fleet.deliver([look(AT_A)]) == [OK]
    assert fleet.sent == [MAP, {B: ["EVALSHA", "EVALSHA"], A: ["EVALSHA"]}, {A: ["EVALSHA"]}]


def test_a_session_waits_for_its_index(fleet):
    """What is cut into stages is sent stage by stage, and not at all behind one that failed."""
    hint = run(HINT, [KEYS.active], 1, 1, "0", "s")
    assert fleet.deliver([hint, add(AT_A)]) == [OK, OK]
    assert len(fleet.sent) == 3
    owner = fleet.places.node_of(KEYS.active)
    other = AT_B if owner == A else AT_A
    fleet.absent[owner] = SILENT
    fleet.sent.clear()
    with pytest.raises(StoreUnavailableError):
        fleet.deliver([hint, add(other)])
    assert fleet.sent == [{owner: ["EVALSHA"]}]


def test_moved_is_followed_and_learned(fleet):
    """The next flight goes there at once, and nobody pauses."""
    fleet.answers[AT_A] = deque([Redirect(slot_of(f"{{{AT_A}}}"), B, is_once=False)])
    assert fleet.deliver([look(AT_A)]) == [OK]
    fleet.deliver([look(AT_A)])
    assert fleet.sent == [MAP, {A: ["EVALSHA"]}, {B: ["EVALSHA"]}, {B: ["EVALSHA"]}]


def test_moved_without_a_host(fleet):
    """It is another port where it was asked."""
    fleet.answers[AT_A] = deque([Redirect(slot_of(f"{{{AT_A}}}"), Node("", 9), is_once=False)])
    assert fleet.deliver([look(AT_A)]) == [OK]
    assert fleet.sent[-1] == {Node("a", 9): ["EVALSHA"]}


def test_ask_is_followed_once(fleet):
    """The other node is told that it is being asked, and nothing is learned from it."""
    fleet.answers[AT_A] = deque([Redirect(slot_of(f"{{{AT_A}}}"), B, is_once=True), Unknown()])
    assert fleet.deliver([look(AT_A)]) == [OK]
    fleet.deliver([look(AT_A)])
    assert fleet.sent[1:] == [{A: ["EVALSHA"]}, {B: ["ASKING", "EVALSHA"]}, {B: ["ASKING", "EVAL"]}, {A: ["EVALSHA"]}]


def test_a_moving_slot_is_tried_again(fleet):
    """Pauses double; what the others said stays."""
    fleet.answers = {AT_A: deque([TRY_AGAIN] * 3), AT_B: deque(["once"])}
    assert fleet.deliver([look(AT_A), look(AT_B)]) == [OK, "once"]
    assert [step for step in fleet.sent if isinstance(step, float)] == [0.01, 0.02, 0.04]


def test_patience_has_an_end(fleet):
    """What cannot be done is an error among the answers; a flight of nothing else raises it."""
    fleet.answers = {AT_A: deque([TRY_AGAIN] * 99)}
    assert fleet.deliver([look(AT_A), look(AT_B)]) == [TRY_AGAIN, OK]
    assert PATIENCE / 2 < sum(step for step in fleet.sent if isinstance(step, float)) <= PATIENCE
    with pytest.raises(StoreUnavailableError):
        fleet.deliver([look(AT_A)])
    fleet.sent.clear()
    fleet.deliver([look(AT_A), look(AT_B)], patience=0.0)
    assert not any(isinstance(step, float) for step in fleet.sent)


def test_what_follows_in_a_session_is_sent_again(fleet):
    """An append behind one that was not done was refused for it; both go again, in order, and alone."""
    fleet.answers = {AT_A: deque([TRY_AGAIN, [b"GAP"], "first", "second"]), AT_B: deque(["other"])}
    assert fleet.deliver([add(AT_A), add(AT_B), add(AT_A)]) == ["first", "other", "second"]
    assert fleet.sent[-1] == {A: ["EVALSHA", "EVALSHA"]}


def test_what_follows_shares_the_failure(fleet):
    """A refusal that only came of what was not done before it is not passed on."""
    fleet.answers = {AT_A: deque([TRY_AGAIN, [b"GAP"]] * 99)}
    assert fleet.deliver([add(AT_A), add(AT_B), add(AT_A)]) == [TRY_AGAIN, OK, TRY_AGAIN]


def test_a_node_that_is_lost(fleet):
    """Another one is asked who has its slots now; what the others did is not done again."""
    fleet.deliver([look(AT_A)])
    fleet.absent[A] = LOST
    fleet.sent.clear()
    assert fleet.deliver([look(AT_A), look(AT_B)]) == [LOST, OK]
    assert fleet.sent[:4] == [{A: ["EVALSHA"], B: ["EVALSHA"]}, 0.01, {B: ["CLUSTER"]}, {A: ["EVALSHA"]}]
    del fleet.absent[A]
    assert fleet.deliver([look(AT_A)]) == [OK]


def test_a_node_that_is_silent(fleet):
    """A timeout is not tried again in the same call, but the next one asks first."""
    fleet.absent[A] = SILENT
    assert fleet.deliver([look(AT_A), look(AT_B)]) == [SILENT, OK]
    fleet.sent.clear()
    fleet.deliver([look(AT_B)])
    assert fleet.sent == [{B: ["CLUSTER"]}, {B: ["EVALSHA"]}]


def test_nobody_answers(fleet):
    """Every seed is asked, and the first failure told; later, what is known is believed until somebody answers."""
    fleet.absent = {A: LOST, B: SILENT}
    with pytest.raises(StoreUnavailableError, match="connection"):
        fleet.deliver([look(AT_A)])
    assert fleet.sent == [MAP, {B: ["CLUSTER"]}]
    fleet.absent = {}
    fleet.deliver([look(AT_A)])
    fleet.absent = {A: SILENT, B: SILENT}
    fleet.places.doubt(None)
    fleet.sent.clear()
    with pytest.raises(StoreUnavailableError, match="timeout"):
        fleet.deliver([look(AT_A)])
    assert fleet.sent == [MAP, {A: ["EVALSHA"]}]


def test_nobody_knows(fleet):
    """Nodes that have not met any others are no Cluster; nor is a Sentinel that knows no such primary."""
    fleet.map = None
    with pytest.raises(StoreUnavailableError, match="NoPrimary"):
        fleet.deliver([look(AT_A)])
    fleet.map = StoreUnavailableError("auth", "NOAUTH", retryable=False)
    with pytest.raises(StoreUnavailableError, match="auth"):
        fleet.deliver([look(AT_A)])


def test_a_slot_that_nobody_has(fleet):
    """It is as a node that is away: asked for again, then an error among the others' answers."""
    del fleet.map[0]
    [lost, found] = fleet.deliver([look(AT_A), look(AT_B)])
    assert (lost.reason, lost.cause_name, found) == ("cluster", "NoPrimary", OK)
    with pytest.raises(StoreUnavailableError, match="NoPrimary"):
        fleet.deliver([look(AT_A)])


def test_a_script_that_a_node_does_not_know(fleet):
    """Its text travels with it, to that node alone."""
    fleet.answers[AT_A] = deque([Unknown()])
    assert fleet.deliver([look(AT_A), look(AT_B)]) == [OK, OK]
    assert fleet.sent[1:] == [{A: ["EVALSHA"], B: ["EVALSHA"]}, {A: ["EVAL"]}]


def test_round_in_a_circle(fleet):
    """Nodes that send us round end in an error."""
    slot = slot_of(f"{{{AT_A}}}")
    fleet.answers[AT_A] = deque([Redirect(slot, A, is_once=False)] * 99)
    with pytest.raises(StoreUnavailableError, match="Redirect"):
        fleet.deliver([look(AT_A)])
    assert len(fleet.sent) <= ROUNDS + 1


def test_errors_that_do_not_pass(fleet):
    """What waiting does not cure is an answer at once."""
    full = StoreUnavailableError("memory", "OOM")
    fleet.answers[AT_A] = deque([full])
    assert fleet.deliver([look(AT_A), look(AT_B)]) == [full, OK]
    assert len(fleet.sent) == 2


def test_a_primary_behind_sentinels():
    """The whole flight goes there at once; when it will not be written to, a Sentinel is asked again."""
    fleet = Fleet(Primary("main", [Node("s", 26379), Node("t", 26379)]))
    hint = run(HINT, [KEYS.active], 1, 1, "0", "s")
    fleet.answers[AT_B] = deque([StoreUnavailableError("readonly", "READONLY")])
    assert fleet.deliver([hint, add(AT_B)]) == [OK, OK]
    asked = [next(iter(step)) for step in fleet.sent if isinstance(step, dict)]
    assert [node.host for node in asked] == ["s", "a", "t", "a"]


def test_a_replica_is_waited_for(fleet):
    """Behind a write and one of the connection's own; what only reads does not wait."""
    assert fleet.deliver([add(AT_A), look(AT_B), look(AT_A)], barrier=Barrier(KEYS.replica, 1)) == [OK, OK, OK]
    assert fleet.sent[-1] == {A: ["EVALSHA", "EVALSHA", "SET", "WAIT"], B: ["EVALSHA"]}


def test_no_replica_has_it(fleet):
    """The write is an error, at once: it may be lost; a refusal and what was read stay what they are."""
    fleet.replicas = 0
    fleet.answers[AT_A] = deque([OK, StoreUnavailableError("memory", "OOM")])
    [first, second, read] = fleet.deliver([add(AT_A), add(AT_A), look(AT_B)], barrier=Barrier(KEYS.replica, 1))
    assert (first.reason, first.cause_name, first.retryable) == ("readonly", "WAIT", True)
    assert (second.reason, read) == ("memory", OK)
    assert len(fleet.sent) == 2


def test_one_replica_of_two_has_it(fleet):
    """Where two must have a write, one is not enough."""
    fleet.replicas = 1
    [reply] = fleet.deliver([add(AT_A), look(AT_A)], barrier=Barrier(KEYS.replica, 2))[:1]
    assert (reply.reason, reply.cause_name) == ("readonly", "WAIT")
    fleet.replicas = 2
    assert fleet.deliver([add(AT_A)], barrier=Barrier(KEYS.replica, 2)) == [OK]


def test_a_survey_is_of_all(fleet):
    """Every primary is asked, and one that is away is the whole's absence."""
    assert fleet.drive(survey(fleet.places)) == Vitals("x,x", 7.0, "master")
    fleet.absent[B] = SILENT
    with pytest.raises(StoreUnavailableError):
        fleet.drive(survey(fleet.places))
    assert fleet.places.is_stale


def test_a_known_place_is_not_asked_for(fleet):
    """Asking costs a round only where it is stale."""
    fleet.drive(find(fleet.places))
    fleet.drive(find(fleet.places))
    assert fleet.sent == [MAP]
