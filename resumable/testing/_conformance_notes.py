"""Checks of a store: notes that workers leave each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resumable._core.errors import ConfigurationError

from ._conformance_scene import KEPT, SHORT, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable.store import Store

_TOO_LONG: Final = 1025  # bytes


def notes_are_kept_for_a_while(store: Store) -> None:
    """A note is there for everybody until its time is over, and says how much of it is left."""
    store.note("kept", b"{}", KEPT)
    store.note("gone", b"x", SHORT)
    [kept] = store.notes(["kept"])
    assert kept is not None
    assert kept.value == b"{}"
    assert 0 < kept.left <= KEPT
    until(lambda: store.notes(["gone"]) == [None])
    assert store.notes(["kept"]) != [None]


def the_last_note_counts(store: Store) -> None:
    """A note takes the place of the one before it, value and time."""
    store.note("n", b"first", KEPT)
    store.note("n", b"second", 2 * KEPT)
    [note] = store.notes(["n"])
    assert note is not None
    assert (note.value, note.left > KEPT) == (b"second", True)


def notes_come_in_order(store: Store) -> None:
    """Several are read at once, in the order of their names; where there is none, nothing stands in its place."""
    store.note("a:1", b"one", KEPT)
    store.note("b:2", b"\x00\xff", KEPT)
    found = store.notes(["b:2", "none", "a:1", "b:2"])
    assert [note and note.value for note in found] == [b"\x00\xff", None, b"one", b"\x00\xff"]
    assert list(store.notes([])) == []


def what_is_no_note_is_refused(store: Store) -> None:
    """A name that is none, a value that is too long and a time that is none are refused, and nothing is written."""
    for name, value, ttl in (("", b"", KEPT), ("a b", b"", KEPT), ("n", b"x" * _TOO_LONG, KEPT), ("n", b"", 0.0)):
        try:
            store.note(name, value, ttl)
        except ConfigurationError:
            continue
        raise AssertionError((name, len(value), ttl))
    assert store.notes(["n"]) == [None]


NOTE_CHECKS: tuple[Callable[[Store], None], ...] = (
    notes_are_kept_for_a_while,
    the_last_note_counts,
    notes_come_in_order,
    what_is_no_note_is_refused,
)
