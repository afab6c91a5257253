"""KeyBook: the keys that hold, this process's own or those of another."""

from collections.abc import Mapping
from typing import Protocol

from service.access.key import Key, NewKey, Presented, presented
from service.errors import UnauthenticatedError


class KeyBook(Protocol):
    """Who may ask; any thread may call."""

    @property
    def are_needed(self) -> bool:
        """Nobody gets in without one."""

    @property
    def holding(self) -> list[Key]:
        """Those that are not revoked, the oldest first."""

    @property
    def trouble(self) -> str | None:
        """Why nobody can be told to hold a key or not; None where they can."""

    def listed(self) -> list[Key]:
        """Every key that is known, the oldest first, also revoked ones."""

    def get(self, key_id: str) -> Key | None:
        """A key, also a revoked one."""

    def shown(self, text: str) -> Key:
        """The key that a client shows.

        Raises:
            UnauthenticatedError: it is none, or holds no more.
            KeysUnavailableError: see ``trouble``.
        """

    def create(self, new: NewKey, *, leaving_admin: bool = False) -> tuple[Key, Presented]:
        """Make a key; it holds when this returns.

        Raises:
            KeyConflictError: there are too many, ``leaving_admin`` forbids it, or keys are made elsewhere.
            KeysUnavailableError: it cannot be written.
        """

    def revoke(self, key_id: str, *, leaving_admin: bool = False) -> Key:
        """Let a key open nothing any more.

        Raises:
            KeyNotFoundError: there is none of that id.
            KeyConflictError, KeysUnavailableError: as for ``create``.
        """


def shown_key(text: str, keys: Mapping[str, Key], admin: Key | None) -> Key:
    """The one of ``keys``, or the configured one, that a client shows.

    Raises:
        UnauthenticatedError: it is none of these, or holds no more.
    """
    if admin is not None and admin.fits(text):
        return admin
    shown = presented(text)
    key = keys.get(shown.id) if shown else None
    if shown is None or key is None or not key.fits(shown.secret):
        raise UnauthenticatedError("the key is not one of this server's")
    if key.is_revoked:
        raise UnauthenticatedError(f"the key {key.id} was revoked")
    return key
