"""What a process did, written down as it happens; what stands there outlives the process, killed or not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Diary:
    """A file of one JSON line an entry, handed to the kernel whole."""

    def __init__(self, folder: str, name: str) -> None:
        self._file = os.open(Path(folder) / f"{name}.diary", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, what: str, session_id: str, **facts: object) -> None:
        """Write an entry down."""
        self.say_all([(what, session_id, facts)])

    def say_all(self, entries: list[tuple[str, str, dict[str, object]]]) -> None:
        """Write several entries down at once."""
        lines = [json.dumps({"what": what, "session": session_id, **facts}) for what, session_id, facts in entries]
        os.write(self._file, "".join(f"{line}\n" for line in lines).encode())


def read_all(folder: Path, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the entries of all diaries whose names begin so, each with the name of its writer."""
    for path in sorted(folder.glob(f"{prefix}*.diary")):
        whole = path.read_text(encoding="utf-8")
        # What is behind the last line break was being written when the process was killed.
        for line in whole[: whole.rfind("\n") + 1].splitlines():
            yield path.stem, json.loads(line)
