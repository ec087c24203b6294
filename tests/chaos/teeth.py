"""Rules of the scripts that a storm must miss: taken out, some law is broken."""

from __future__ import annotations

import hashlib

from resumable.store.redis import _scripts

# Script, the rule as it stands there, and what is left when it is taken out.
RULES = {
    "fence": ("APPEND", "if token ~= ARGV[1] or m[2] ~= ARGV[2] then", "if false then"),
    "send again": ("APPEND", "local skip = last - first + 1", "local skip = 0"),
    "takeover marker": (
        "ACQUIRE",
        "redis.call('XADD', log, fresh .. '-0', 'status', 'running', 'holder', ARGV[1], 'base', last, 'after', known)",
        "",
    ),
}


def mutate(name: str) -> None:
    """Take a rule out of the scripts of this process; none where no name is given."""
    if not name:
        return
    script, rule, left = RULES[name]
    whole: _scripts.Script = getattr(_scripts, script)
    assert whole.text.count(rule) == 1
    text = whole.text.replace(rule, left)
    setattr(_scripts, script, _scripts.Script(whole.name, text, hashlib.sha1(text.encode()).hexdigest()))
