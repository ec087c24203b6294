"""What the doctor makes of the way to the API: what is set, and with `--probe` whether it is let in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from resumable.cli._doctor_findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEFAULT: Final = "https://api.anthropic.com"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_PATIENCE: Final = 10.0  # [s]
_REFUSED: Final = (401, 403)
_LIMITED: Final = 429
_BROKEN: Final = 500
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_SET: Final = "set ANTHROPIC_API_KEY to a key of yours"


def examine_upstream(base_url: str | None, environ: Mapping[str, str], *, probe: bool) -> Iterator[Finding]:
    """
    Examine the way to the API.

    Args:
        base_url: As of `--base-url`.
        environ: The process's environment.
        probe: Whether to ask it for a list of models, with the key.
    """
    address = _address(base_url, environ)
    key = _key(environ)
    yield address
    yield key
    proxy = next((name for name in _PROXIES if environ.get(name)), None)
    if proxy is not None:
        why = "a proxy may cut streams that are silent for a while, or hold them back; both are recovered from"
        yield Finding("proxy", Level.NOTE, f"{proxy} is set", why, "let it pass text/event-stream unbuffered")
    if not probe:
        return
    if Level.FAILURE in {address.level, key.level} or key.level is Level.WARNING:
        yield Finding("probe", Level.NOTE, "not sent: see above")
    else:
        yield _probe(base_url)


def _address(base_url: str | None, environ: Mapping[str, str]) -> Finding:
    """Judge the base URL; no word of it is shown but scheme and host, since a password may stand in it."""
    origin = "--base-url" if base_url else "ANTHROPIC_BASE_URL" if environ.get("ANTHROPIC_BASE_URL") else "default"
    url = base_url or environ.get("ANTHROPIC_BASE_URL") or _DEFAULT
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not host or url != url.strip():
        change = f"write it as {_DEFAULT}, without spaces"
        return Finding("base_url", Level.FAILURE, f"{origin} is no address of an API", "nothing can be sent", change)
    where = f"{parts.scheme}://{host}, by {origin}"
    if re.search(r"/v1/?$", parts.path):
        return Finding(
            "base_url", Level.WARNING, where, "the SDK adds /v1 itself: calls end in a 404", f"take /v1 off {origin}"
        )
    if parts.username or parts.password:
        return Finding(
            "base_url", Level.WARNING, where, "a password in a URL ends up in logs", "pass it as a header or a key"
        )
    if parts.scheme == "http" and host not in _LOOPBACK:
        why = "the key and every word travel in the clear"
        return Finding("base_url", Level.WARNING, where, why, "use https://")
    return Finding("base_url", Level.OK, where)


def _key(environ: Mapping[str, str]) -> Finding:
    """Judge the key, without showing a character of it."""
    names = [name for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN") if environ.get(name)]
    strange = [name for name in names if not _is_plain(environ[name])]
    if strange:
        why = "it has spaces, quotes or other characters that no key has: it will be refused"
        return Finding("key", Level.WARNING, f"{strange[0]} is set", why, "copy it again, without quotes and line ends")
    if len(names) > 1:
        why = "both are sent, and which one counts is upstream's choice"
        return Finding("key", Level.NOTE, "ANTHROPIC_API_KEY and ANTHROPIC_AUTH_TOKEN are set", why, "unset one")
    if names:
        return Finding("key", Level.OK, f"{names[0]} is set")
    if _has_credentials():
        return Finding("key", Level.OK, "the SDK finds credentials of its own")
    why = "calls that bring no key of their own are refused"
    return Finding("key", Level.WARNING, "there is none", why, _SET)


def _is_plain(key: str) -> bool:
    return key.isascii() and key.isprintable() and not set(key) & set(" \"'")


def _has_credentials() -> bool:
    import anthropic  # noqa: PLC0415  # Reason: half a second, and needed by few

    try:  # What else is named is judged elsewhere.
        with anthropic.Anthropic(base_url=_DEFAULT) as client:
            return getattr(client, "credentials", None) is not None
    except anthropic.AnthropicError:  # A profile was chosen, and there is none.
        return False


def _probe(base_url: str | None) -> Finding:
    import anthropic  # noqa: PLC0415  # Reason: as above

    try:
        with anthropic.Anthropic(base_url=base_url, max_retries=0, timeout=_PATIENCE) as client:
            client.models.list(limit=1)
    except anthropic.APIStatusError as error:
        return _answered(error.status_code)
    except anthropic.APIConnectionError as error:
        found = f"no connection ({type(error.__cause__ or error).__name__})"
        change = "look at the network, the proxy and the certificates of this machine"
        return Finding("probe", Level.FAILURE, found, "nothing can be asked", change)
    except Exception as error:  # noqa: BLE001  # Reason: whatever answered, it is told in one line, without its words
        found = f"what answered is no such API ({type(error).__name__})"
        return Finding("probe", Level.FAILURE, found, "nothing can be asked", "correct the base URL")
    return Finding("probe", Level.OK, "the key is let in")


def _answered(status: int) -> Finding:
    if status in _REFUSED:
        return Finding("probe", Level.FAILURE, f"the key was refused ({status})", "nothing can be asked", _SET)
    found = f"GET /v1/models was answered with {status}"
    if status == _LIMITED or status >= _BROKEN:
        return Finding("probe", Level.WARNING, found, "upstream is there, and busy or broken", "try again later")
    why = "upstream is there and did not refuse the key; it may not offer this path"
    return Finding("probe", Level.NOTE, found, why, "nothing, if calls work")
