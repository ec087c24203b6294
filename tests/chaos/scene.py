"""Brings a storm about: a server, a proxy that loses, processes that write and read, and what befalls them."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resumable._core.store_errors import StoreError
from resumable.store._redis import RedisStore
from tests.chaos.plan import READERS, SLOTS, Deed, Plan, Task
from tests.chaos.verdict import Verdict
from tests.store.proxy import Fate, Proxy
from tests.store.servers import Server, short_directory

if TYPE_CHECKING:
    from tests.chaos.plan import Event
    from tests.chaos.zygote import Zygote

CALM = 60.0  # [s] For everything to come to its end once nothing breaks any more.
KINDS = ("async", "sync")


class Loss:
    """The proxy's rule of a storm; seeded, and asked by many threads."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(f"loss {plan.seed}")
        self._lock = threading.Lock()
        self.is_over = False

    def __call__(self, piece: bytes) -> Fate:
        """Judge a piece."""
        with self._lock:
            drawn = self._chance.random()
        if self.is_over or b"XREAD" in piece[:40]:  # a lost wait is made by cutting everything
            return Fate.PASS
        if drawn < self._plan.lost_replies:
            return Fate.LOSE_REPLY
        return Fate.CUT if drawn < self._plan.lost_replies + self._plan.lost_requests else Fate.PASS


@dataclass
class Scene:
    """
    A storm under way.

    Attributes:
        plan: What is to happen.
        zygote: Forks and signals the processes.
        server: What they all talk to.
        proxy: Through this.
        folder: Where they write down what they did.
        loss: The proxy's rule.
        calm: [s] For everything to come to its end.
        slots: The processes that write.
        readers: The processes that read.
        started: How many processes there were.
        late: When to wake whom.
        done: How often what happened.
    """

    plan: Plan
    zygote: Zygote
    server: Server
    proxy: Proxy
    folder: Path
    loss: Loss
    calm: float = CALM
    slots: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)
    started: int = 0
    late: list[tuple[float, int]] = field(default_factory=list)
    done: dict[Deed, int] = field(default_factory=lambda: dict.fromkeys(Deed, 0))

    def run(self) -> list[str]:
        """Let it happen; list what did not come to its end."""
        self.proxy.rule = self.loss
        self.readers = [self._start("reading", KINDS[number % 2]) for number in range(READERS)]
        self.slots = [self._start("writing", self.plan.way.value) for _ in range(SLOTS)]
        began = time.monotonic()
        for event in self.plan.events:
            self._sleep_until(began + event.at)
            self._do(event)
        self._sleep_until(began + self.plan.storm)
        self._calm()
        return self._wait()

    def _start(self, role: str, way: str) -> int:
        self.started += 1
        plan = self.plan
        task = Task(
            f"{plan.seed}-{self.started}",
            self.proxy.url,
            tuple(plan.ids()),
            plan.lease,
            str(self.folder),
            way,
            plan.mutation,
        )
        return self.zygote.start(role, task.dump())

    def _sleep_until(self, until: float) -> None:
        """Wait, and wake whom it is time to wake."""
        while True:
            now = time.monotonic()
            for at, pid in list(self.late):
                if at <= now:
                    self.zygote.signal(pid, signal.SIGCONT)
                    self.late.remove((at, pid))
            if now >= until:
                return
            time.sleep(max(min([until - now, *(at - now for at, _ in self.late)]), 0.0))

    def _do(self, event: Event) -> None:
        self.done[event.deed] += 1
        match event.deed:
            case Deed.KILL:
                self.zygote.signal(self.slots[event.whom], signal.SIGKILL)
                self.slots[event.whom] = self._start("writing", self.plan.way.value)
            case Deed.STALL:
                pid = self.slots[event.whom]
                self.zygote.signal(pid, signal.SIGSTOP)
                self.late.append((time.monotonic() + event.lasting, pid))
            case Deed.BLIND:
                self.zygote.signal(self.readers[event.whom], signal.SIGKILL)
                self.readers[event.whom] = self._start("reading", KINDS[event.whom % 2])
            case Deed.CRASH:
                self.server.kill()
                forget(self.server.directory, self.plan.forgets)
                time.sleep(event.lasting)
                self.server.start()
            case Deed.CUT:
                self.proxy.cut_all()
            case Deed.CANCEL:
                store = RedisStore.from_url(self.server.url)
                with suppress(StoreError):
                    store.cancel(f"s{event.whom}", "by a stranger")
                store.close()

    def _calm(self) -> None:
        self.loss.is_over = True
        (self.folder / "calm").touch()
        for _, pid in self.late:
            self.zygote.signal(pid, signal.SIGCONT)

    def _wait(self) -> list[str]:
        limit = time.monotonic() + self.calm
        running = self.zygote.alive()
        while time.monotonic() < limit:
            running = self.zygote.alive()
            if not running & {*self.slots, *self.readers}:
                return []
            time.sleep(0.05)
        left = [("writer", pid) for pid in self.slots if pid in running]
        left += [("reader", pid) for pid in self.readers if pid in running]
        for _, pid in left:
            self.zygote.signal(pid, signal.SIGKILL)
        return [f"a {role} did not come to its end" for role, _ in left]


def forget(directory: Path, size: int) -> None:
    """Cut the end off a server's file, as if it had acknowledged what it had not written yet."""
    for path in directory.glob("appendonlydir/*.incr.aof") if size else ():
        kept = path.read_bytes()[:-size]
        # It writes scripts whole. A file that ends within one is completed by what comes next, at the next start.
        os.truncate(path, max(kept.rfind(b"*1\r\n$5\r\nMULTI\r\n"), 0))


def weather(plan: Plan, zygote: Zygote, program: str, *, calm: float = CALM, keep: str | None = None) -> Verdict:
    """
    Let a storm happen, and judge it.

    Args:
        plan: What is to happen.
        zygote: Forks the processes.
        program: Which server.
        calm: [s] For everything to come to its end.
        keep: Where to keep what the processes wrote down; else it is thrown away.
    """
    with ExitStack() as stack:
        server = Server(program, short_directory(stack), appendfsync=plan.appendfsync)
        stack.callback(server.stop)
        server.start()
        proxy = stack.enter_context(Proxy(server.socket))
        folder = Path(keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="storm-")))
        folder.mkdir(exist_ok=True, parents=True)
        loss = Loss(plan)
        scene = Scene(plan, zygote, server, proxy, folder, loss, calm)
        hanging = scene.run()
        with server.client as client:
            verdict = Verdict(plan, client, folder)
        verdict.flaws += hanging
        verdict.counts["runs"] = plan.sessions
        for deed, count in scene.done.items():
            verdict.counts[f"deed: {deed.value}"] += count
        for fate, count in proxy.fates.items():
            verdict.counts[f"fate: {fate.value}"] += count
        return verdict
