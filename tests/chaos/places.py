"""The one server that a storm breaks over, and the proxy before it; what else it may lack is in `shortages`."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.chaos.plan import Deed
from tests.store.proxy import Fate, Proxy
from tests.store.servers import Server, short_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from tests.chaos.plan import Event, Plan


class Loss:
    """The proxies' rule of a storm; seeded, and asked by many threads."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(f"loss {plan.seed}")
        self._lock = threading.Lock()
        self.is_over = False

    def __call__(self, piece: bytes) -> Fate:
        """Judge a piece; what servers say to each other is none of ours."""
        with self._lock:
            drawn = self._chance.random()
        if self.is_over or b"XREAD" in piece[:40] or b"resumable" not in piece:
            return Fate.PASS  # a lost wait is made by cutting everything
        if drawn < self._plan.lost_replies:
            return Fate.LOSE_REPLY
        return Fate.CUT if drawn < self._plan.lost_replies + self._plan.lost_requests else Fate.PASS


class Place:
    """
    Servers behind proxies.

    Attributes:
        plan: Of the storm.
        proxies: Everything that a store sends goes through these.
        loss: Their rule.
    """

    url: str

    def __init__(self, plan: Plan, proxies: list[Proxy]) -> None:
        self.plan = plan
        self.proxies = proxies
        self.loss = Loss(plan)
        for proxy in proxies:
            proxy.fates.clear()
            proxy.rule = self.loss

    @property
    def fates(self) -> Counter[Fate]:
        """How many pieces met which fate."""
        return sum((proxy.fates for proxy in self.proxies), Counter[Fate]())

    def befall(self, event: Event) -> bool:
        """Let a deed happen, until it is over; tell whether it could."""
        if event.deed is Deed.CUT:
            for proxy in self.proxies:
                proxy.cut_all()
            return True
        raise NotImplementedError(event)

    def mend(self) -> None:
        """Let nothing break any more, and servers be whole."""
        self.loss.is_over = True

    @contextmanager
    def bare(self) -> Iterator[Any]:
        """Open a client that knows nothing of the library."""
        raise NotImplementedError


class Alone(Place):
    """
    One server.

    Attributes:
        server: That one.
    """

    def __init__(
        self,
        plan: Plan,
        stack: ExitStack,
        program: str,
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        directory = directory or short_directory(stack)
        self.server = Server(program, directory, appendfsync=plan.appendfsync, environment=environment)
        stack.callback(self.server.stop)
        self.server.start()
        super().__init__(plan, [stack.enter_context(Proxy(self.server.socket))])
        self.url = self.proxies[0].url

    def befall(self, event: Event) -> bool:
        """As `Place.befall`."""
        if event.deed is not Deed.CRASH:
            return super().befall(event)
        self.server.kill()
        forget(self.server.directory, self.plan.forgets)
        time.sleep(event.lasting)
        self.server.start()
        return True

    @contextmanager
    def bare(self) -> Iterator[Any]:
        """As `Place.bare`."""
        with self.server.client as client:
            yield client


def forget(directory: Path, size: int) -> None:
    """Cut the end off a server's file, as if it had acknowledged what it had not written yet."""
    for path in directory.glob("appendonlydir/*.incr.aof") if size else ():
        kept = path.read_bytes()[:-size]
        # It writes scripts whole. A file that ends within one is completed by what comes next, at the next start.
        os.truncate(path, max(kept.rfind(b"*1\r\n$5\r\nMULTI\r\n"), 0))
