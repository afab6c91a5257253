"""Keys: every key of a data directory, in memory while it serves, and on the disk before it counts."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from indexes.data_directory import KEYS
from indexes.durable import discard, make_folder, move, write_synced
from service.access.key import Key, NewKey, Presented, configured_key, digest_of, new_secret
from service.access.key_book import shown_key
from service.access.stored_keys import DamagedKeysError, read, written
from service.errors import KeyConflictError, KeyNotFoundError, KeysUnavailableError

__all__ = ["MAX_KEYS", "MAX_REVOKED", "Keys", "NewKey"]

MAX_KEYS = 10_000  # that hold: every change writes them all
MAX_REVOKED = 1000  # that are remembered
_MODE = 0o600


class Keys:
    """A key book of its own. Any thread may call; writes are few and wait for the disk.

    Args:
        folder: the data directory, under whose lock they are changed.
        admin: a key with all rights that is configured rather than kept here, as its text.

    Raises:
        KeysUnavailableError: what is on the disk is damaged or cannot be read: nobody is let in by it.
    """

    def __init__(self, folder: Path, admin: str | None = None) -> None:
        self._path = folder / KEYS
        self._keys = _read(self._path)
        self._admin = configured_key(admin)
        self._changing = threading.Lock()
        self._on_change: Callable[[], None] = lambda: None

    def on_change(self, call: Callable[[], None]) -> None:
        """Have it called after every change, on the thread that made it."""
        self._on_change = call

    @property
    def trouble(self) -> str | None:
        """Why it cannot be told who may ask: it always can."""
        return None

    @property
    def are_needed(self) -> bool:
        """There is a key, or was one: to revoke the last one opens nothing."""
        return bool(self._keys) or self._admin is not None

    def listed(self) -> list[Key]:
        """Every key that was ever made here, the oldest first."""
        return sorted(self._keys.values(), key=lambda key: key.created_at)

    @property
    def holding(self) -> list[Key]:
        """Those that are not revoked, the oldest first."""
        return [key for key in self.listed() if not key.is_revoked]

    @property
    def are_administered(self) -> bool:
        """Somebody may make and revoke keys over the API."""
        return self._is_administered_with(self._keys)

    def get(self, key_id: str) -> Key | None:
        """A key, also a revoked one."""
        return self._keys.get(key_id)

    def shown(self, text: str) -> Key:
        """The key that a client shows.

        Raises:
            UnauthenticatedError: it is none, or holds no more.
        """
        return shown_key(text, self._keys, self._admin)

    def create(self, new: NewKey, *, leaving_admin: bool = False) -> tuple[Key, Presented]:
        """Make a key; it holds when this returns. The oldest revoked ones are forgotten where they are many.

        Args:
            leaving_admin: refuse what would leave nobody who may make and revoke keys over the API.

        Returns:
            The key, and its text, which nobody can be told again.

        Raises:
            KeyConflictError: there are ``MAX_KEYS``, or ``leaving_admin`` forbids it.
            KeysUnavailableError: it cannot be written.
        """
        shown = new_secret()
        key = Key(shown.id, new.name, digest_of(shown.secret), new.rights, new.limits, time.time())
        with self._changing:
            keys = {**self._keys, key.id: key}
            if leaving_admin and not self._is_administered_with(keys):
                raise KeyConflictError(
                    "from the first key on nobody gets in without one, so it must have the scope admin and neither "
                    "collections nor a filter; make that one first"
                )
            if len(self.holding) >= MAX_KEYS:
                raise KeyConflictError(f"there are {MAX_KEYS} keys, which is the limit: revoke one first")
            self._store(_without_oldest_revoked(keys))
        return key, shown

    def revoke(self, key_id: str, *, leaving_admin: bool = False) -> Key:
        """Let a key open nothing any more; to do it again changes nothing.

        Args:
            leaving_admin: as for ``create``.

        Raises:
            KeyNotFoundError: there is none of that id.
            KeyConflictError: ``leaving_admin`` forbids it.
            KeysUnavailableError: it cannot be written, and holds as before.
        """
        with self._changing:
            key = self._keys.get(key_id)
            if key is None:
                raise KeyNotFoundError(key_id)
            if not key.is_revoked:
                key = replace(key, revoked_at=time.time())
                keys = {**self._keys, key_id: key}
                if leaving_admin and not self._is_administered_with(keys):
                    raise KeyConflictError(
                        f"{key_id} is the last key that may make and revoke others: make another one of scope admin "
                        "first, or revoke it with `quarry keys revoke --data-dir` while no server runs"
                    )
                self._store(keys)
        return key

    def _is_administered_with(self, keys: Mapping[str, Key]) -> bool:
        return self._admin is not None or _has_admin(keys)

    def _store(self, keys: Mapping[str, Key]) -> None:
        data = written(keys.values())
        unfinished = self._path.with_suffix(".new")
        try:
            make_folder(self._path.parent)
            os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT, _MODE))
            unfinished.chmod(_MODE)  # one that is left from before may have another
            write_synced(unfinished, data)
            move(unfinished, self._path)
        except OSError as error:
            discard(unfinished)
            raise KeysUnavailableError(f"{self._path} cannot be written: {error.strerror}") from error
        self._keys = dict(keys)
        self._on_change()


def _has_admin(keys: Mapping[str, Key]) -> bool:
    rights = [key.rights for key in keys.values() if not key.is_revoked]
    return any("admin" in each.scopes and each.is_whole for each in rights)


def _without_oldest_revoked(keys: Mapping[str, Key]) -> dict[str, Key]:
    revoked = sorted((key.revoked_at, key.id) for key in keys.values() if key.revoked_at is not None)
    forgotten = {key_id for _, key_id in revoked[: max(0, len(revoked) - MAX_REVOKED)]}
    return {key_id: key for key_id, key in keys.items() if key_id not in forgotten}


def _read(path: Path) -> dict[str, Key]:
    try:
        # A link that leads nowhere is no absence: a secret that is not mounted must not open the door.
        return read(path.read_bytes()) if os.path.lexists(path) else {}
    except OSError as error:
        raise KeysUnavailableError(f"{path} cannot be read: {error.strerror}") from error
    except DamagedKeysError as error:
        raise KeysUnavailableError(
            f"{path} is damaged ({error}): put it back from a backup, or remove it and make every key anew"
        ) from error
