"""One fault of each kind, by name, for tests that are to hold whatever breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._faults import Drop, ErrorEvent, NoMessageStop, Refuse, Reject, Stall, Truncate
from ._garbage import Garbage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._answer import Fault

#: Each hits an answer with some text; what strikes in the middle does so behind a few words.
FAULT_KINDS: Final[Mapping[str, Fault]] = {
    "reset": Drop(after=12),
    "closed": Drop(after=12, how="fin"),
    "clean_eof": Truncate(after=12),
    "cut_at_once": Drop(after=0),
    "stall": Stall(after=12),
    "stall_with_pings": Stall(after=12, pings=True),
    "overloaded_event": ErrorEvent("overloaded_error", after=12),
    "api_error_event": ErrorEvent("api_error", after=12),
    "overloaded": Reject(529),
    "rate_limited": Reject(429, headers={"retry-after": "7"}),
    "server_error": Reject(500),
    "bad_gateway_page": Reject(502, html=True),
    "refused": Refuse(),
    "no_response": Refuse("fin"),
    "page_instead": Garbage("html200"),
    "bad_json": Garbage("bad_json"),
    "no_message_stop": NoMessageStop(),
}
