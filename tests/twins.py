"""Which functions are one program in two colours, and what an async word is in the sync half."""

from __future__ import annotations

STORE_METHODS = (
    "acquire",
    "append",
    "renew",
    "release",
    "orphan",
    "cancel",
    "wait_cancelled",
    "read",
    "wait",
    "wake",
    "get",
    "look",
    "request",
    "list",
    "due",
    "claim",
    "compact",
    "delete",
    "ping",
    "close",
)
NOTE_METHODS = ("note", "notes")

# A pair that stands in two files: both names, the async one last.
RECORDED = "_recording/_recorded.py+_recording/_recorded_async.py"
# The two colours: (file, sync name, async name). Each pair is identical once `await` is taken away.
TWINS: tuple[tuple[str, str, str], ...] = (
    ("_drive.py", "Clock.sleep", "Clock.asleep"),
    ("_drive.py", "SystemClock.sleep", "SystemClock.asleep"),
    ("_drive.py", "Wire.open", "AsyncWire.open"),
    ("_drive.py", "Wire.close", "AsyncWire.close"),
    ("_drive.py", "Driver.start", "AsyncDriver.start"),
    ("_drive.py", "Driver.__next__", "AsyncDriver.__anext__"),
    ("_drive.py", "Driver._perform", "AsyncDriver._perform"),
    ("_drive.py", "Driver._act", "AsyncDriver._act"),
    ("_drive.py", "Driver.close", "AsyncDriver.aclose"),
    ("middleware/__init__.py", "Resumable.handle", "Resumable.handle_async"),
    ("middleware/__init__.py", "Resumable._keep", "Resumable._keep_async"),
    ("middleware/__init__.py", "Resumable._recover", "Resumable._recover_async"),
    (RECORDED, "Recorded.start", "AsyncRecorded.start"),
    (RECORDED, "Recorded.__next__", "AsyncRecorded.__anext__"),
    (RECORDED, "Recorded._acquire", "AsyncRecorded._acquire"),
    (RECORDED, "Recorded._contend", "AsyncRecorded._contend"),
    (RECORDED, "Recorded._follow", "AsyncRecorded._follow"),
    (RECORDED, "Recorded._go_on", "AsyncRecorded._go_on"),
    (RECORDED, "Recorded._produce", "AsyncRecorded._produce"),
    (RECORDED, "Recorded._write", "AsyncRecorded._write"),
    (RECORDED, "Recorded._note", "AsyncRecorded._note"),
    (RECORDED, "Recorded._step_down", "AsyncRecorded._step_down"),
    (RECORDED, "Recorded._turn_back", "AsyncRecorded._turn_back"),
    (RECORDED, "Recorded._read_on", "AsyncRecorded._read_on"),
    (RECORDED, "Recorded._end", "AsyncRecorded._end"),
    (RECORDED, "Recorded.close", "AsyncRecorded.aclose"),
    *(
        ("_recording/_journal.py", f"Journal.{name}", f"AsyncJournal.{name}")
        for name in ("open", "_acquire", "write", "end", "release", "_judge")
    ),
    ("_recording/_flight.py", "Flight.append", "AsyncFlight.append"),
    ("_recording/_flight.py", "Flight._send", "AsyncFlight._send"),
    ("_recording/_keeper.py", "Keeper._renew", "AsyncKeeper._renew"),
    ("middleware/_bedrock.py", "Decoded.__next__", "AsyncDecoded.__anext__"),
    ("middleware/_bedrock.py", "Reframed.__next__", "AsyncReframed.__anext__"),
    ("middleware/_bedrock.py", "Reframed.close", "AsyncReframed.aclose"),
    ("middleware/_splice.py", "Body.close", "AsyncBody.aclose"),
    ("middleware/_threads.py", "ThreadBody.__next__", "AsyncThreadBody.__anext__"),
    ("middleware/_threads.py", "ThreadBody.fetch", "AsyncThreadBody.fetch"),
    ("middleware/_wire.py", "SDKWire.open", "AsyncSDKWire.open"),
    ("middleware/_wire.py", "SDKWire._ended", "AsyncSDKWire._ended"),
    ("middleware/_wire.py", "SDKWire.close", "AsyncSDKWire.close"),
    ("middleware/_wire.py", "SDKWire._finish", "AsyncSDKWire._finish"),
    *(("store/_interface.py", f"Store.{name}", f"AsyncStore.{name}") for name in STORE_METHODS),
    *(("store/memory/_stores.py", f"MemoryStore.{name}", f"AsyncMemoryStore.{name}") for name in STORE_METHODS),
    *(
        ("store/encrypted/_stores.py", f"SealedStore.{name}", f"AsyncSealedStore.{name}")
        for name in (*STORE_METHODS, "_look")
    ),
    *(
        ("store/redis/_stores.py", f"RedisStore.{name}", f"AsyncRedisStore.{name}")
        for name in (*STORE_METHODS, "_drive", "_send", "_exchange")
    ),
    *(
        ("_recording/_late.py", f"Late.{name}", f"AsyncLate.{name}")
        for name in ("write", "end", "release", "try_open", "_open", "_hand_over")
    ),
    ("store/redis/_wire.py", "exchange", "aexchange"),
    ("store/redis/_wire.py", "_ask", "_aask"),
    *(
        ("store/cluster/_routed.py", f"RoutedStore.{name}", f"AsyncRoutedStore.{name}")
        for name in ("close", "_send", "_deliver", "_carry")
    ),
    *(
        ("store/cluster/_stores.py", f"ClusterStore.{name}", f"AsyncClusterStore.{name}")
        for name in ("wait", "wake", "ping", "close")
    ),
    *(
        (f"store/{where}_notes.py", f"{kind}.{name}", f"Async{kind}.{name}")
        for where, kind in (
            ("", "Notes"),
            ("memory/", "MemoryNotes"),
            ("redis/", "RedisNotes"),
            ("encrypted/", "SealedNotes"),
        )
        for name in NOTE_METHODS
    ),
    ("middleware/_fleet.py", "Member.look", "Member.alook"),
    ("store/cluster/_nodes.py", "Nodes.close", "AsyncNodes.close"),
    ("sessions/_upkeep.py", "compact", "acompact"),
    *(
        ("sessions/_upkeep.py", f"Sweeper.{name}", f"AsyncSweeper.{name}")
        for name in ("sweep", "_settle", "_mark", "_continue", "_compact")
    ),
)
# Files whose every `async def` must stand in TWINS.
COLOURED = (
    "_drive.py",
    "middleware/__init__.py",
    "middleware/_bedrock.py",
    "middleware/_fleet.py",
    "middleware/_splice.py",
    "middleware/_threads.py",
    "middleware/_wire.py",
    "_recording/_flight.py",
    "_recording/_journal.py",
    "_recording/_late.py",
    "_recording/_keeper.py",
    "store/_interface.py",
    "store/memory/_stores.py",
    "store/_notes.py",
    "store/memory/_notes.py",
    "store/redis/_notes.py",
    "store/encrypted/_notes.py",
    "store/redis/_stores.py",
    "store/cluster/_stores.py",
    "store/cluster/_nodes.py",
    "store/cluster/_routed.py",
    "store/redis/_wire.py",
    "store/encrypted/_stores.py",
    "sessions/_upkeep.py",
    "_recording/_recorded_async.py",
)
# Async functions of those files that have no twin, with the reason.
SINGLE: dict[str, str] = {
    **dict.fromkeys(
        (f"_recording/_flight.py::AsyncFlight.{name}" for name in ("flush", "_fly")),
        "whoever waits takes a flight off in threads; in a loop one task does",
    ),
    **dict.fromkeys(
        (
            f"_recording/_keeper.py::AsyncKeeper.{name}"
            for name in ("close", "_keep", "_listen", "_is_needed", "_change")
        ),
        "a condition of threads is not an event of a loop",
    ),
    **dict.fromkeys(
        (f"_recording/_late.py::AsyncReception.{name}" for name in ("close", "_run")),
        "a thread is told to end, a task is cancelled",
    ),
    "sessions/_upkeep.py::AsyncSweeper._each": "threads of a pool are not tasks behind a semaphore",
    "sessions/_upkeep.py::AsyncSweeper._each.one": "threads of a pool are not tasks behind a semaphore",
    "middleware/_wire.py::_Patience.read": "a thread's read cannot be cancelled",
    "store/cluster/_stores.py::AsyncClusterStore._rings": "an event of a loop waits without a limit",
    "store/cluster/_routed.py::AsyncRoutedStore._take": "tasks ask several servers at once, a thread one after another",
    "store/memory/_stores.py::AsyncMemoryStore._wait_for": "a condition of threads is not an event of a loop",
}
# Async words and what they are in the sync half; whole words, also inside docstrings' absence.
SYNC_WORDS = {
    "AsyncDesk": "Desk",
    "AsyncDriver": "Driver",
    "AsyncFollower": "Follower",
    "AsyncGeneratorType": "GeneratorType",
    "AsyncIterator": "Iterator",
    "AsyncNote": "Note",
    "AsyncJournal": "Journal",
    "AsyncRecorded": "Recorded",
    "StopAsyncIteration": "StopIteration",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "_aask": "_ask",
    "aclose": "close",
    "acompact": "compact",
    "aclosing": "closing",
    "_async_body": "_body",
    "_keep_async": "_keep",
    "_recover_async": "_recover",
    "_recorded_async": "_recorded",
    "adesk": "desk",
    "aexchange": "exchange",
    "aiter": "iter",
    "alook": "look",
    "aiter_raw": "iter_raw",
    "anext": "next",
    "anyio": "time",
    "aread": "read",
    "asleep": "sleep",
    "handle_async": "handle",
}
