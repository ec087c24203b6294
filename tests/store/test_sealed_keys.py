"""Keys as a user names them: what is read, what is refused, and that no refusal shows one."""

from __future__ import annotations

import base64
from importlib.util import find_spec

import pytest

from resumable import ConfigurationError
from resumable.store import AsyncMemoryStore, MemoryStore, asealed, sealed
from resumable.store._url import aopen_store, open_store
from resumable.store.encrypted._keyring import VARIABLE, find_keys
from resumable.store.encrypted._seals import CLEAR
from resumable.store.encrypted._stores import AsyncSealedStore, SealedStore
from tests.pages import names, read, section, tables

ONE, TWO = bytes(range(224, 256)), b"two" * 10 + b"22"
STANDARD, URLSAFE = base64.b64encode(ONE).decode(), base64.urlsafe_b64encode(TWO).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"a:{STANDARD},b:{URLSAFE}",
        f" a:{STANDARD.rstrip('=')}\n b:{URLSAFE},\n",
        f"a:{base64.urlsafe_b64encode(ONE).decode()} b:{URLSAFE}",
    ],
)
def test_the_first_key_is_for_new_sessions(text):
    """Either alphabet is read, with or without padding, with commas or lines between; the first key is current."""
    ring = find_keys(text, {})
    assert (len(ring), repr(ring)) == (2, "Keyring(a, b)")
    by_bytes = find_keys({"a": ONE, "b": TWO}, {})
    assert ring.current is ring.find("a")
    for name in "ab":
        here, there = ring.find(name), by_bytes.find(name)
        assert here is not None
        assert there is not None
        assert there.unwrap("s", here.wrap("s", b"secret")) == b"secret"
        assert there.unwrap("t", here.wrap("s", b"secret")) is None
        assert here.mark("s", "x") == there.mark("s", "x") != here.mark("t", "x")
    assert ring.find("c") is None


def test_the_argument_comes_before_the_variable():
    """Without an argument the variable is read; where that is empty, there are no keys."""
    environ = {VARIABLE: f"env:{STANDARD}"}
    assert repr(find_keys(None, environ)) == "Keyring(env)"
    assert repr(find_keys({"arg": ONE}, environ)) == "Keyring(arg)"
    for empty in ({}, {VARIABLE: " "}):
        assert len(find_keys(None, empty)) == 0
        assert find_keys(None, empty).current is None


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("", "there is no key in it"),
        ({}, "there is no key in it"),
        (STANDARD, "key 1 of 1 has no name"),
        (f"a:{STANDARD},{URLSAFE}", "key 2 of 2 has no name"),
        (f"{URLSAFE.rstrip('=')}:name", "key 1 of 1 is not of 32 bytes"),
        (f"{STANDARD}:name", "key 1 of 1 has a name that is not"),
        ("a:not-base64!", "key 1 of 1 is not of 32 bytes"),
        ("a:A", "key 1 of 1 is not of 32 bytes"),
        (f"a:{STANDARD},a:{URLSAFE}", "key 2 of 2 has a name that stands there twice"),
        ({"a": ONE[:-1]}, "key 1 of 1 is not of 32 bytes"),
        ({"": ONE}, "key 1 of 1 has a name that is not"),
    ],
)
def test_a_refusal_shows_no_key(keys, problem):
    """What cannot be a key is refused by its place in the list, in the name of whoever named it; it is not quoted."""
    with pytest.raises(ConfigurationError) as caught:
        find_keys(keys, {})
    assert caught.value.argument == "keys"
    assert caught.value.problem.startswith(problem)
    told = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert not any(word in told for word in (STANDARD[:8], URLSAFE[:8], "not-base64", "name:"))
    if isinstance(keys, str) and keys:
        with pytest.raises(ConfigurationError, match=VARIABLE):
            find_keys(None, {VARIABLE: keys})


def test_without_the_extra(monkeypatch):
    """Without the package, keys are refused with the command that installs it; without keys nothing is missing."""
    monkeypatch.setattr(
        "resumable.store.encrypted._keyring.find_spec", lambda name: None if name == "cryptography" else find_spec(name)
    )
    with pytest.raises(ConfigurationError, match=r"pip install 'resumable-anthropic\[crypto\]'"):
        find_keys({"a": ONE}, {})
    assert not find_keys(None, {})


async def test_sealed_needs_a_key(monkeypatch):
    """Who asks for encryption and names no key is refused, and not served in the clear."""
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ConfigurationError, match=VARIABLE):
        sealed(MemoryStore())
    with pytest.raises(ConfigurationError, match=VARIABLE):
        await asealed(AsyncMemoryStore())


async def test_stores_by_url_are_encrypted_with_the_variable_s_keys(monkeypatch):
    """What a URL opens is encrypted when the variable is set; a wrong variable is refused before anything is opened."""
    monkeypatch.setenv(VARIABLE, f"env:{STANDARD}")
    for store in (open_store("memory://"), sealed("memory://"), sealed("memory://", {"a": ONE})):
        assert isinstance(store, SealedStore)
        assert repr(store).startswith("SealedStore(<")
        store.close()
    for other in (await aopen_store("memory://"), await asealed("memory://")):
        assert isinstance(other, AsyncSealedStore)
        await other.close()
    monkeypatch.setenv(VARIABLE, "env")
    with pytest.raises(ConfigurationError, match=VARIABLE):
        open_store("memory://")
    monkeypatch.delenv(VARIABLE)
    assert not isinstance(open_store("memory://"), SealedStore)
    assert not isinstance(await aopen_store("memory://"), AsyncSealedStore)


def test_the_page_says_what_stays_readable():
    """The page on encryption lists the fields that are not encrypted, and shows the variable's form."""
    page = read("docs/how-to/encrypt.md")
    [row] = [row for row in tables(section(page, "## What is encrypted"))[0] if row[0] == "readable"]
    assert set(names(row[1])) == CLEAR
    assert f"`{VARIABLE}` is `<name>:<key>`" in page


def test_the_page_s_example_is_read():
    """What the page's shell makes is a key."""
    made = base64.b64encode(ONE).decode()  # as `openssl rand -base64 32` does
    assert repr(find_keys(None, {VARIABLE: f"2026-11:{made}"})) == "Keyring(2026-11)"
