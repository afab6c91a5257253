"""Keys: every key of a data directory, in memory while it serves, and on the disk before it counts."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from indexes.data_directory import KEYS
from indexes.durable import discard, make_folder, move, write_synced
from indexes.errors import InvalidFilterError
from indexes.filters import parse_filter, to_json
from service.access.key import UNLIMITED, Key, KeyLimits, Presented, digest_of, new_secret, presented
from service.access.rights import ALL, Rights
from service.access.scope import Scope
from service.errors import KeyConflictError, KeyNotFoundError, KeysUnavailableError, UnauthenticatedError
from service.unique_members import repeated_member

MAX_KEYS = 10_000  # that hold: every change writes them all
MAX_REVOKED = 1000  # that are remembered
ADMIN_ID = "configured"
_MODE = 0o600
_LAST_SECOND = 253_402_300_799  # of the year 9999, behind which there is no date


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as its maker wants it."""

    name: str
    rights: Rights
    limits: KeyLimits = UNLIMITED


class Keys:
    """Any thread may call; writes are few and wait for the disk.

    Args:
        folder: the data directory, under whose lock they are changed.
        admin: a key with all rights that is configured rather than kept here, as its text.

    Raises:
        KeysUnavailableError: what is on the disk is damaged or cannot be read: nobody is let in by it.
    """

    def __init__(self, folder: Path, admin: str | None = None) -> None:
        self._path = folder / KEYS
        self._keys = _read(self._path)
        self._admin = Key(ADMIN_ID, ADMIN_ID, digest_of(admin), ALL) if admin else None
        self._changing = threading.Lock()

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
        if self._admin is not None and self._admin.fits(text):
            return self._admin
        shown = presented(text)
        key = self._keys.get(shown.id) if shown else None
        if shown is None or key is None or not key.fits(shown.secret):
            raise UnauthenticatedError("the key is not one of this server's")
        if key.is_revoked:
            raise UnauthenticatedError(f"the key {key.id} was revoked")
        return key

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
        data = _File(version=1, keys=[_Stored.of(key) for key in keys.values()]).model_dump_json(indent=1)
        unfinished = self._path.with_suffix(".new")
        try:
            make_folder(self._path.parent)
            os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT, _MODE))
            unfinished.chmod(_MODE)  # one that is left from before may have another
            write_synced(unfinished, data.encode())
            move(unfinished, self._path)
        except OSError as error:
            discard(unfinished)
            raise KeysUnavailableError(f"{self._path} cannot be written: {error.strerror}") from error
        self._keys = dict(keys)


def _has_admin(keys: Mapping[str, Key]) -> bool:
    rights = [key.rights for key in keys.values() if not key.is_revoked]
    return any("admin" in each.scopes and each.is_whole for each in rights)


def _without_oldest_revoked(keys: Mapping[str, Key]) -> dict[str, Key]:
    revoked = sorted((key.revoked_at, key.id) for key in keys.values() if key.revoked_at is not None)
    forgotten = {key_id for _, key_id in revoked[: max(0, len(revoked) - MAX_REVOKED)]}
    return {key_id: key for key_id, key in keys.items() if key_id not in forgotten}


_EXACTLY = ConfigDict(extra="forbid", strict=True)
_Limit = Annotated[int, Field(ge=1)] | None
_Time = Annotated[float, Field(ge=0, le=_LAST_SECOND, allow_inf_nan=False)]


class _StoredLimits(BaseModel):
    """Limits as the file has them: one that is not there is not one that is null."""

    model_config = _EXACTLY

    requests_per_minute: _Limit
    tokens_per_minute: _Limit
    concurrency: _Limit


class _Stored(BaseModel):
    """A key as the file has it."""

    model_config = _EXACTLY

    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: Annotated[list[Scope], Field(min_length=1)]
    collections: list[str] | None
    filter: dict[str, Any] | None
    limits: _StoredLimits
    created_at: _Time
    revoked_at: _Time | None

    @classmethod
    def of(cls, key: Key) -> "_Stored":
        rights = key.rights
        return cls(
            id=key.id,
            name=key.name,
            sha256=key.digest.hex(),
            scopes=sorted(rights.scopes),
            collections=None if rights.collections is None else sorted(rights.collections),
            filter=rights.filter and to_json(rights.filter),
            limits=_StoredLimits(**asdict(key.limits)),
            created_at=key.created_at,
            revoked_at=key.revoked_at,
        )

    def key(self) -> Key:
        """The key.

        Raises:
            InvalidFilterError: its filter is none.
        """
        collections = None if self.collections is None else frozenset(self.collections)
        filter_ = None if self.filter is None else parse_filter(self.filter)
        rights = Rights(frozenset(self.scopes), collections, filter_)
        digest = bytes.fromhex(self.sha256)
        limits = KeyLimits(**self.limits.model_dump())
        return Key(self.id, self.name, digest, rights, limits, self.created_at, self.revoked_at)


class _File(BaseModel):
    """The whole file; what is not exactly this is damage, and a key with fewer limits than it had would be worse."""

    model_config = _EXACTLY

    version: Literal[1]
    keys: list[_Stored]

    @field_validator("keys")
    @classmethod
    def _are_different(cls, keys: list[_Stored]) -> list[_Stored]:
        if len({key.id for key in keys}) < len(keys):
            raise ValueError("two of them have one id")
        return keys


def _read(path: Path) -> dict[str, Key]:
    try:
        # A link that leads nowhere is no absence: a secret that is not mounted must not open the door.
        data = path.read_bytes() if os.path.lexists(path) else None
        keys = [] if data is None else _File.model_validate_json(data).keys
        if data is not None and (name := repeated_member(data)) is not None:
            raise _damaged(path, f"an object has {name!r} twice")
        return {stored.id: stored.key() for stored in keys}
    except OSError as error:
        raise KeysUnavailableError(f"{path} cannot be read: {error.strerror}") from error
    except (ValidationError, InvalidFilterError) as error:
        raise _damaged(path, _said(error)) from error


def _damaged(path: Path, said: str) -> KeysUnavailableError:
    return KeysUnavailableError(
        f"{path} is damaged ({said}): put it back from a backup, or remove it and make every key anew"
    )


def _said(error: ValidationError | InvalidFilterError) -> str:
    """Where it is wrong and what is, without the value that is there."""
    if isinstance(error, InvalidFilterError):
        return str(error)
    first = error.errors(include_input=False)[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
