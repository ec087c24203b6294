"""Brings a storm about: servers behind proxies that lose, processes that write and read, and what befalls them."""

from __future__ import annotations

import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resumable._core.store_errors import StoreError
from tests.chaos.fleets import Fleets
from tests.chaos.places import Alone
from tests.chaos.plan import READERS, SLOTS, Deed, Ground, Plan, Task
from tests.chaos.shortages import ShortOfDisk, ShortOfMemory, Unsteady
from tests.chaos.stores import open_
from tests.chaos.verdict import Verdict

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tests.chaos.places import Place
    from tests.chaos.plan import Event
    from tests.chaos.zygote import Zygote

BEFALLS = 120.0  # [s] For one thing that befalls servers.
CALM = 240.0  # [s] For everything to come to its end once nothing breaks any more; the machine may be busy.
KINDS = ("async", "sync")
ALONE = {
    Ground.SERVER: Alone,
    Ground.MEMORY: ShortOfMemory,
    Ground.DISK: ShortOfDisk,
    Ground.CLOCK: Unsteady,
}


@dataclass
class Scene:
    """
    A storm under way.

    Attributes:
        plan: What is to happen.
        zygote: Forks and signals the processes.
        place: The servers that they all talk to.
        folder: Where they write down what they did.
        calm: [s] For everything to come to its end.
        slots: The processes that write.
        readers: The processes that read.
        started: How many processes there were.
        late: When to wake whom.
        done: How often what happened.
    """

    plan: Plan
    zygote: Zygote
    place: Place
    folder: Path
    calm: float = CALM
    slots: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)
    started: int = 0
    late: list[tuple[float, int]] = field(default_factory=list)
    done: dict[Deed, int] = field(default_factory=lambda: dict.fromkeys(Deed, 0))

    def run(self) -> list[str]:
        """Let it happen; list what did not come to its end."""
        self.readers = [self._start("reading", KINDS[number % 2]) for number in range(READERS)]
        self.slots = [self._start("writing", self.plan.way.value) for _ in range(SLOTS)]
        began = time.monotonic()
        # What befalls servers takes its time, one after the other; what befalls processes does not wait for it.
        with ThreadPoolExecutor(1) as servers:
            befell: list[tuple[Event, Future[bool]]] = []
            for event in self.plan.events:
                self._sleep_until(began + event.at)
                if not self._do(event):
                    befell.append((event, servers.submit(self.place.befall, event)))
            self._sleep_until(began + self.plan.storm)
            for event, future in befell:
                if not future.cancel() and future.result(BEFALLS):
                    self.done[event.deed] += 1
        self._calm()
        return self._wait()

    def _start(self, role: str, way: str) -> int:
        self.started += 1
        plan = self.plan
        task = Task(
            f"{plan.seed}-{self.started}",
            self.place.url,
            tuple(plan.ids()),
            plan.lease,
            str(self.folder),
            way,
            plan.mutation,
            plan.ground is Ground.CLOCK,
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

    def _do(self, event: Event) -> bool:
        """Let a deed happen, unless it is one that befalls servers."""
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
            case Deed.CANCEL:
                store = open_(self.place.url)
                with suppress(StoreError):
                    store.cancel(f"s{event.whom}", "by a stranger")
                store.close()
            case _:
                return False
        self.done[event.deed] += 1
        return True

    def _calm(self) -> None:
        self.place.mend()
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


def weather(
    plan: Plan,
    zygote: Zygote,
    program: str,
    *,
    fleets: Fleets | None = None,
    calm: float = CALM,
    keep: str | None = None,
) -> Verdict:
    """
    Let a storm happen, and judge it.

    Args:
        plan: What is to happen.
        zygote: Forks the processes.
        program: Which server.
        fleets: Clusters and Sentinels that run already.
        calm: [s] For everything to come to its end.
        keep: Where to keep what the processes wrote down; else it is thrown away.
    """
    with ExitStack() as stack:
        if plan.ground.is_fleet:
            place: Place = (fleets or stack.enter_context(Fleets())).take(plan, program)
        else:
            place = ALONE[plan.ground](plan, stack, program)
        folder = Path(keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="storm-")))
        folder.mkdir(exist_ok=True, parents=True)
        scene = Scene(plan, zygote, place, folder, calm)
        hanging = scene.run()
        with place.bare() as client:
            verdict = Verdict(plan, client, folder)
        verdict.flaws += hanging
        verdict.counts["runs"] = plan.sessions
        for deed, count in scene.done.items():
            verdict.counts[f"deed: {deed.value}"] += count
        for fate, count in place.fates.items():
            verdict.counts[f"fate: {fate.value}"] += count
        return verdict
