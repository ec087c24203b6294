"""
A scripted upstream that speaks the Messages API, and the faults it can suffer.

``with ScriptedUpstream(reply="text", faults=[Drop(after=9)]) as upstream:`` serves HTTP at ``upstream.url``;
``upstream.transport()`` and ``upstream.async_transport()`` do the same in process.
"""

from ._answer import Answer, Ending, Fault
from ._clock import ManualClock
from ._conformance import STORE_CHECKS, check_async_store, check_store
from ._continuers import CONTINUERS, Continuer, Interrupted, Opening
from ._conversation import Conversation
from ._faults import Drop, ErrorEvent, NoMessageStop, Refuse, Reject, Slow, Split, Stall, Truncate
from ._garbage import GARBAGE_KINDS, Garbage
from ._kinds import FAULT_KINDS
from ._log import Recorded, RequestLog
from ._recorder import Recorder
from ._replay import Recording, Replay
from ._replies import Block, Raw, Reply, ServerToolResult, ServerToolUse, Text, Thinking, ToolUse
from ._rules import accepts_prefill, binds_thinking
from ._scripts import SCRIPTS, Script, conforming, markdown, prose
from ._upstream import ScriptedUpstream

__all__ = (
    "CONTINUERS",
    "FAULT_KINDS",
    "GARBAGE_KINDS",
    "SCRIPTS",
    "STORE_CHECKS",
    "Answer",
    "Block",
    "Continuer",
    "Conversation",
    "Drop",
    "Ending",
    "ErrorEvent",
    "Fault",
    "Garbage",
    "Interrupted",
    "ManualClock",
    "NoMessageStop",
    "Opening",
    "Raw",
    "Recorded",
    "Recorder",
    "Recording",
    "Refuse",
    "Reject",
    "Replay",
    "Reply",
    "RequestLog",
    "Script",
    "ScriptedUpstream",
    "ServerToolResult",
    "ServerToolUse",
    "Slow",
    "Split",
    "Stall",
    "Text",
    "Thinking",
    "ToolUse",
    "Truncate",
    "accepts_prefill",
    "binds_thinking",
    "check_async_store",
    "check_store",
    "conforming",
    "markdown",
    "prose",
)
