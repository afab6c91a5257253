"""Keys of another process: what was told last holds, for as long as it may, and nobody is let in before."""

import pytest

from service.access.key import Key, NewKey, Presented, digest_of, new_secret
from service.access.key_book import KeyBook
from service.access.replicated_keys import ReplicatedKeys
from service.access.rights import ALL
from service.errors import KeyConflictError, KeysUnavailableError, UnauthenticatedError

ADMIN = "a" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def key(revoked_at: float | None = None) -> tuple[Key, Presented]:
    shown = new_secret()
    return Key(shown.id, "a", digest_of(shown.secret), ALL, revoked_at=revoked_at), shown


def told(*keys: Key) -> dict[str, Key]:
    return {each.id: each for each in keys}


def test_nobody_is_let_in_before_anything_was_told_but_by_the_configured_key() -> None:
    book: KeyBook = ReplicatedKeys(ADMIN)
    _, shown = key()
    assert book.are_needed
    for text in (str(shown), "nonsense", ""):
        with pytest.raises(KeysUnavailableError, match="no process has published keys yet"):
            book.shown(text)
    assert book.shown(ADMIN).id == "configured"


def test_what_was_told_last_holds() -> None:
    book = ReplicatedKeys()
    (one, first), (other, second) = key(), key()
    book.tell(told(one))
    assert book.shown(str(first)) == one
    with pytest.raises(UnauthenticatedError, match="not one of this server's"):
        book.shown(str(second))
    book.tell(told(other))
    assert book.shown(str(second)) == book.get(other.id) == other
    with pytest.raises(UnauthenticatedError):
        book.shown(str(first))
    revoked, third = key(revoked_at=1.0)
    book.tell(told(revoked))
    with pytest.raises(UnauthenticatedError, match="was revoked"):
        book.shown(str(third))
    assert (book.listed(), book.holding) == ([revoked], [])


def test_keys_hold_as_long_as_they_may_without_being_told_again() -> None:
    clock = Clock()
    for keep_s, ages in ((None, 1e9), (60.0, 59.0)):
        book = ReplicatedKeys(ADMIN, keep_s, clock)
        one, shown = key()
        book.tell(told(one))
        clock.now += ages
        assert book.age_s == pytest.approx(ages)
        assert book.shown(str(shown)) == one
    clock.now += 2
    assert "keys are 61 s old; access.keep_keys_s is 60" in (book.trouble or "")
    with pytest.raises(KeysUnavailableError, match="61 s old"):
        book.shown(str(shown))
    assert book.shown(ADMIN).id == "configured"
    book.confirm()
    assert book.shown(str(shown)) == one


def test_keys_are_made_and_revoked_elsewhere() -> None:
    book = ReplicatedKeys()
    with pytest.raises(KeyConflictError, match="make and revoke them there"):
        book.create(NewKey("a", ALL))
    with pytest.raises(KeyConflictError, match="make and revoke them there"):
        book.revoke("0" * 16)
