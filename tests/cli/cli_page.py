"""
Writes docs/reference/cli.md from the command line's own help.

After a change of the command line: `python -m tests.cli.cli_page`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/reference/cli.md"

HEAD = """\
# The command line

`pip install 'resumable-anthropic[cli]'` brings the command `resumable`; `python -m resumable` is the same.

The help texts on this page are the program's own, and a test compares the two.
"""

CODES = """\
## Exit codes

| code | means |
|---|---|
| 0 | the command did what it was asked to; `demo`: every byte of the answer came; \
`run`, `sessions resume`: the answer is whole; `sessions tail`: the session is complete; \
`doctor`: nothing needs to be changed |
| 1 | it did not; `demo`: the text differs, or the stream broke; \
`run`, `sessions resume`: the answer broke off or was refused; `sessions tail`: the session failed or was cancelled; \
`sessions cancel`: it was over already; the log of a session is damaged; `doctor`: something should be changed; \
`sessions sweep`: something could not be done |
| 2 | the command line is wrong: also an ID, a cursor or a store's URL that cannot be one; `doctor`: it cannot work |
| 3 | `run`, `sessions resume` or `sessions sweep --continue` has no key, or its key was refused |
| 4 | `sessions`: there is no such session, or no longer |
| 5 | `sessions`: the store cannot be used |
| 130 | interrupted by Ctrl-C |
"""

MORE = """\
The JSON of `run`, and how to use it: [ask from the shell](../how-to/run.md).
What `doctor` checks, and its JSON: [`resumable doctor`](doctor.md).
How to use the commands of sessions: [find, follow and finish sessions](../how-to/sessions.md).
"""

SESSIONS = """\
## `resumable sessions … --json`

In ASCII. Durations and times are whole milliseconds, times since 1970 by the store's clock.
Fields may be added; none is renamed or removed within a major version.

`show` prints one object, `list` an array of them:

| field | means |
|---|---|
| `session_id` | its ID |
| `status` | `running`, `complete`, `failed`, `cancelled` or `orphaned` |
| `is_held` | whether somebody may be writing it: its lease has not run out |
| `holder` | who writes it, or wrote it last; `null` when nobody did |
| `lease_left_ms` | until the lease runs out unless it is renewed; 0 when nobody has it |
| `takeovers` | how often it went to another holder |
| `last_seq` | number of events |
| `cancel` | why it was asked to stop, or `null` |
| `principal` | who it belongs to, or `null` |
| `created_ms` | when it was opened |
| `updated_ms` | its last write |
| `model` | who was asked, or `null` |
| `attempt` | requests so far, or `null` |
| `strategy` | how the last of them continued the answer, or `null` |
| `text_chars` | characters of the text, as of the last block that ended; or `null` |
| `stop_reason` | how the model ended, or `null` |
| `usage` | the API's `usage` of the whole message, or `null` |
| `is_estimated` | whether some of it is an estimate |
| `error` | what it failed of, or `null` |
| `fields` | an object with whatever else there is in text |
| `request` | with `show --request`: `path`, `body` and `headers`, without credentials |

`events` and `tail` print one object a line for each entry; `resume` the same without `cursor`:

| field | means |
|---|---|
| `cursor` | pass it to `--after` to go on behind this entry |
| `type` | the API's type of event; or `session.opened`, `session.taken_over`, `session.released`, `session.lapsed`, \
`session.orphaned`, `session.complete`, `session.failed`, `session.cancelled` |
| `event` | the event; of a session's own `status`, `holder` and `last_seq` |

`cancel` prints `session_id`, `holder` (who was asked to stop; `null` where it was ended in place) and `last_seq`;
`delete` prints `session_id` and `is_deleted`.
`sweep` prints one object a sweep: `continued`, `orphaned` and `compacted`, each a list of IDs;
`failures`, ID to error; and `again_in_ms`, when to come again.
"""

FIELDS = """\
## `resumable demo --json`

One object, in ASCII. Durations are whole milliseconds.
Fields may be added; none is renamed or removed within a major version.

| field | means |
|---|---|
| `version` | of `resumable` |
| `seed` | of the storm |
| `is_identical` | whether the caller got the fault-free answer: its bytes, its ending, no error |
| `expected_bytes` | size of the fault-free text in UTF-8 |
| `received_bytes` | size of what the caller got |
| `stop_reason` | of the message the caller got; `null` when it never came |
| `error` | `type` and `message` of what the caller had to catch, or `null` |
| `attempts` | requests that the library made |
| `requests` | requests that the upstream counted |
| `elapsed_ms` | from the call to its end |
| `waited_ms` | of that, waits between attempts |
| `failed_attempts` | one object for each, in order; see below |
| `seams` | one object for each join, in order; see below |
| `bare_sdk` | `received_bytes`, `stop_reason` and `error` of the same call through the SDK alone |
| `takeover` | the second act; see below. `skipped` says why where there was none |

| field of a failed attempt | means |
|---|---|
| `attempt` | its number, from 1 |
| `fault` | what the upstream was told to do to it; `null` when it failed by itself |
| `failure` | what the library saw |
| `verdict` | what it decided: `retry`, `continue`, `finish`, `give_up` |
| `at` | characters that the caller had by then |
| `delay_ms` | waited before the next attempt |
| `recovered_after_ms` | from the failure's being noticed to the caller's next text; `null` when none came |

| field of a seam | means |
|---|---|
| `attempt` | number of the attempt that went on, from 2 |
| `at` | characters of the text before it |
| `quality` | `exact`, `aligned` or `unverified` |
| `strategy` | how the model was asked to go on |

| field of the second act | means |
|---|---|
| `is_identical` | whether both together are the fault-free answer, byte for byte |
| `killed_after_bytes` | what the caller of the killed process had |
| `resumed_bytes` | what the caller of the next one got, from the beginning |
| `back_after_ms` | from the kill to the first text that the killed process had not said |
| `requests` | that both sent upstream |
"""

COMMANDS = (
    (),
    ("demo",),
    ("run",),
    ("doctor",),
    ("sessions",),
    *(("sessions", name) for name in ("list", "show", "events", "tail", "resume", "cancel", "delete", "sweep")),
)


def page() -> str:
    """Write the page."""
    return "\n".join([HEAD, *map(helped, COMMANDS), CODES, MORE, SESSIONS, FIELDS])


def helped(command: tuple[str, ...]) -> str:
    """Quote the help of one command."""
    name = " ".join(("resumable", *command))
    done = subprocess.run(
        [sys.executable, "-m", "resumable", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "100"},
    )
    return f"## `{name}`\n\n```text\n{done.stdout.strip()}\n```\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
