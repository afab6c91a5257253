"""Keys as they are written, to a file or to other processes: names, rights, limits and hashes, and no secret."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from indexes.errors import InvalidFilterError
from indexes.filters import parse_filter, to_json
from service.access.key import Key, KeyLimits
from service.access.rights import Rights
from service.access.scope import Scope
from service.unique_members import repeated_member

_LAST_SECOND = 253_402_300_799  # of the year 9999, behind which there is no date
_EXACTLY = ConfigDict(extra="forbid", strict=True)
_Limit = Annotated[int, Field(ge=1)] | None
_Time = Annotated[float, Field(ge=0, le=_LAST_SECOND, allow_inf_nan=False)]


class DamagedKeysError(Exception):
    """What is to be keys is none; the message says where, without the value that is there."""


def written(keys: Iterable[Key]) -> bytes:
    """As ``read`` reads them."""
    return _File(version=1, keys=[_Stored.of(key) for key in keys]).model_dump_json(indent=1).encode()


def read(data: bytes) -> dict[str, Key]:
    """By id.

    Raises:
        DamagedKeysError: it is not exactly what ``written`` writes: a key with fewer limits than it had would be worse.
    """
    try:
        stored = _File.model_validate_json(data).keys
        if (name := repeated_member(data)) is not None:
            raise DamagedKeysError(f"an object has {name!r} twice")
        return {each.id: each.key() for each in stored}
    except InvalidFilterError as error:
        raise DamagedKeysError(str(error)) from error
    except ValidationError as error:
        raise DamagedKeysError(_said(error)) from error


class _StoredLimits(BaseModel):
    """Limits as they are written: one that is not there is not one that is null."""

    model_config = _EXACTLY

    requests_per_minute: _Limit
    tokens_per_minute: _Limit
    concurrency: _Limit


class _Stored(BaseModel):
    """A key as it is written."""

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
    """All of them."""

    model_config = _EXACTLY

    version: Literal[1]
    keys: list[_Stored]

    @field_validator("keys")
    @classmethod
    def _are_different(cls, keys: list[_Stored]) -> list[_Stored]:
        if len({key.id for key in keys}) < len(keys):
            raise ValueError("two of them have one id")
        return keys


def _said(error: ValidationError) -> str:
    """Where it is wrong and what is, without the value that is there."""
    first = error.errors(include_input=False)[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
